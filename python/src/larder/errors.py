"""The errors of larder: one tree, and messages that say what to do."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import warnings
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, ParamSpec, TypeVar, cast

P = ParamSpec("P")
R = TypeVar("R")
C = TypeVar("C", bound=type)


class LarderError(Exception):
    """Whatever larder raises by its own choice.

    ``status`` is the HTTP status that a node answered, and ``type`` the name of its problem, such as
    ``not-found``; ``request_id`` is what the node's log calls the request. They are None where no node answered.
    """

    def __init__(self, message: str, *, status: int | None = None, type: str | None = None, request_id: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.type = type
        self.request_id = request_id

    def __str__(self) -> str:
        return str(self.args[0])


class ConfigError(LarderError, ValueError):
    """A setting of the client, such as LARDER_URL, is missing or wrong: no node of Larder answers there, for example."""


class NotInitialised(LarderError, RuntimeError):
    """There is no environment yet: call ``larder.init``."""


class SettingError(LarderError, TypeError):
    """A setting of an environment is of a type that has no defined hash."""


class ArgumentError(LarderError, TypeError):
    """An argument of a decorated function has no digest, so that no key can be made of it."""


class NotFound(LarderError, KeyError):
    """There is no such object. Its text may say what there is instead, which is looked for when the text is read."""

    after_unknown: bool = False  # an earlier attempt of the same call may have been carried out
    _explain: Callable[[], str] | None = None

    def explained(self, explain: Callable[[], str]) -> NotFound:
        """This error, with more text, that costs nothing to who only catches it."""
        self._explain = explain
        return self

    def __str__(self) -> str:
        explain, self._explain = self._explain, None
        if explain is not None:
            with suppress(Exception):  # what cannot be explained is a miss all the same
                self.args = (f"{self.args[0]}{explain()}",)
        return super().__str__()

    def __reduce__(self) -> Any:
        return _not_found, (type(self), str(self), self.status, self.type, self.request_id)


def _not_found(kind: type[NotFound], text: str, status: int | None, type: str | None, request_id: str | None) -> NotFound:
    return kind(text, status=status, type=type, request_id=request_id)


class NotBuilt(LarderError, ValueError):
    """A strategy says that it is not built yet, or has no name."""


class AuthError(LarderError):
    """The token is missing, not known, expired, or may not write."""


class BadRequest(LarderError, ValueError):
    """A node refused a request as wrong, for example a bad key."""


class Conflict(LarderError):
    """Another write came in between."""


class TooLarge(LarderError):
    """The object is larger than the cluster takes, or its organisation has as much as it may have (type ``quota``)."""


class Unavailable(LarderError):
    """No node answered, or those that did cannot serve now. Nothing is lost; try again later.

    ``retry_after`` is how many seconds the node advised to wait, or 0.
    """

    retry_after: float = 0.0


class OutcomeUnknown(Unavailable):
    """A write may or may not have happened: read the key, or send the same write again."""


class ServerError(LarderError):
    """A node or its store has a fault that an operator must look at."""


class IntegrityError(LarderError):
    """The bytes are not those that were written, or not signed by someone who holds the signing key."""


class BuildFailed(LarderError):
    """Another process of the organisation built what was asked for, and its function raised an exception.

    ``builder`` is whose process it was, ``error`` what was raised there, as text.
    """

    def __init__(self, message: str, *, builder: str = "", error: str = "") -> None:
        super().__init__(message, status=409, type="build-failed")
        self.builder = builder
        self.error = error

    def __reduce__(self) -> Any:
        return _build_failed, (str(self), self.builder, self.error)


def _build_failed(message: str, builder: str, error: str) -> BuildFailed:
    return BuildFailed(message, builder=builder, error=error)


class EncodeError(LarderError):
    """A value cannot be turned into bytes."""


class DecodeError(LarderError):
    """Bytes cannot be turned into a value again. ``original`` is the error beneath, if there is one."""

    original: BaseException | None = None


class NotAFrame(DecodeError):
    """The object was not written by this client: ``get_raw`` returns its bytes."""


class VersionMismatch(DecodeError):
    """The object was written by versions of Python or of libraries that do not go with those here."""


class LarderWarning(UserWarning):
    """Something was worked round, or is not as safe as it could be."""


def warn(text: str) -> None:
    """Give a LarderWarning, at the line outside this package that leads here."""
    here = os.path.dirname(__file__) + os.sep
    level, frame = 1, sys._getframe()
    while frame.f_back is not None and frame.f_code.co_filename.startswith(here):
        level, frame = level + 1, frame.f_back
    warnings.warn(text, LarderWarning, stacklevel=level)


def short_tracebacks(cls: C) -> C:
    """A class whose public methods raise a LarderError as their own: what lies beneath them is not shown."""
    for name, method in list(vars(cls).items()):
        if callable(method) and not isinstance(method, type) and (not name.startswith("_") or name in _OPERATORS):
            setattr(cls, name, short_traceback(method))
    return cls


_OPERATORS = ("__init__", "__getitem__", "__setitem__", "__delitem__", "__contains__", "__len__")


def _cut(here: TracebackType | None) -> None:
    """End a traceback with the frame that the one here called. A frame that kept it would keep itself alive."""
    if here is not None and here.tb_next is not None:
        here.tb_next.tb_next = None


def short_traceback(method: Callable[P, R]) -> Callable[P, R]:
    """A function, or coroutine function, that raises a LarderError as its own. It calls no function that is cached."""

    @functools.wraps(method)
    def call(*args: P.args, **kwargs: P.kwargs) -> R:
        __tracebackhide__ = True  # of IPython and pytest
        try:
            return method(*args, **kwargs)
        except LarderError as error:
            _cut(error.__traceback__)
            raise

    @functools.wraps(method)
    async def call_later(*args: P.args, **kwargs: P.kwargs) -> Any:
        __tracebackhide__ = True
        try:
            return await method(*args, **kwargs)  # type: ignore[misc]
        except LarderError as error:
            _cut(error.__traceback__)
            raise

    return cast(Callable[P, R], call_later) if inspect.iscoroutinefunction(method) else call
