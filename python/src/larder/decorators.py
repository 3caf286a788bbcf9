"""Decorators that look into the cache first, and call only on a miss."""

from __future__ import annotations

import functools
import inspect
import sys
import types
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any, overload

from larder.calls import OPERATIONS, Calls, CoroutineCalls, FunctionCalls
from larder.client import OBJECTS, STRATEGIES
from larder.decorated import Decorator, NameOrFunction, P, R
from larder.definitions import title_of
from larder.entry import Entry, Name, Options
from larder.errors import warn
from larder.service import check_wait, expires_in_field, seconds_of, seconds_stale

_CODE = ("warn", "recompute", "ignore")
_USE = "write, for example, @larder.object_service_cache('DAX')"


@overload
def strategy_service_cache(
    name: str | None = None,
    *,
    ignore: Sequence[str] = (),
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> Decorator: ...
@overload
def strategy_service_cache(
    name: Callable[P, R],
    *,
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> NameOrFunction[P, R]: ...
def strategy_service_cache(
    name: Any = None,
    *,
    ignore: Sequence[str] = (),
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> Any:
    """Cache what a function returns as a strategy of the current environment: ``NAME|ENV_DATE||ENV_HASH``.

    ``name`` is text, or a function of the arguments that returns the text, or nothing, for the function's own name.
    To a text the arguments are added, as in ``momentum(ticker='SAP', window=20)``, with a digest of what is long or
    not plain; ``ignore`` names those that the result does not depend on.

    ``code`` is what to do if what is stored was made by other code of the function: "warn", "recompute", or
    "ignore". What was stored more than ``max_age`` seconds ago is as if it were not there; with ``stale_ok`` it is returned
    for so many seconds more, or with True however old it is, and rebuilt behind the call, by one process of the
    organisation. ``expires_in`` seconds after it was stored it is there no more, for anybody.

    One process of the organisation builds at a time, and all others that want the same wait for it: at most ``wait``
    seconds, and without it as long as the builder lives. If the function raises there, they get BuildFailed.
    ``single_build=False`` has each build for itself.

    A cache that does not answer, or holds what cannot be read, costs one warning, and the function is called; what
    the function raises is the caller's.
    """
    life = _life(max_age, stale_ok, expires_in)
    options = Options(STRATEGIES, None, _names(ignore), False, _known_code(code), *life, single_build, check_wait(wait))
    return _decorator(name, options, sys._getframe(1))


@overload
def object_service_cache(
    name: str | None = None,
    *,
    ignore: Sequence[str] = (),
    settings: bool = False,
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> Decorator: ...
@overload
def object_service_cache(
    name: Callable[P, R],
    *,
    settings: bool = False,
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> NameOrFunction[P, R]: ...
def object_service_cache(
    name: Any = None,
    *,
    ignore: Sequence[str] = (),
    settings: bool = False,
    code: str = "warn",
    max_age: float | timedelta | None = None,
    stale_ok: bool | float | timedelta | None = None,
    expires_in: float | timedelta | None = None,
    single_build: bool = True,
    wait: float | timedelta | None = None,
) -> Any:
    """Cache what a function returns as the object ``{name}_{env.asofdate}``, **whatever the environment's settings are**.

    With ``settings=True`` the key is ``{name}_{env.asofdate}_{env.env_hash}``, so that each setting has results of
    its own. Without it, a result that was made with other settings is returned with a warning that names them.
    See strategy_service_cache for the rest.
    """
    if not isinstance(settings, bool):
        raise TypeError(f"settings is True or False, not {settings!r}")
    life = _life(max_age, stale_ok, expires_in)
    options = Options(OBJECTS, None, _names(ignore), settings, _known_code(code), *life, single_build, check_wait(wait))
    return _decorator(name, options, sys._getframe(1))


def _names(ignore: Any) -> tuple[str, ...]:
    names = (ignore,) if isinstance(ignore, str) else tuple(ignore)
    if not all(isinstance(n, str) for n in names):
        raise TypeError(f"ignore has names of arguments, for example ignore=('verbose',), not {ignore!r}")
    return names


def _life(max_age: Any, stale_ok: Any, expires_in: Any) -> tuple[float | None, float, float | None]:
    """How old a result may be, for how long after that it is returned while it is rebuilt, and how long it is there."""
    expires_in_field(expires_in)
    life = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
    return seconds_of(max_age), seconds_stale(stale_ok, max_age), life


def _known_code(code: str) -> str:
    if code not in _CODE:
        raise ValueError(f"code is 'warn', 'recompute' or 'ignore', not {code!r}")
    return code


def _decorator(name: Any, options: Options, frame: types.FrameType) -> Any:
    if isinstance(name, (staticmethod, classmethod, property)) or (isinstance(name, types.FunctionType) and name.__name__ != "<lambda>"):
        return _decorate_or_name(name, options, frame)
    if name == "":
        raise ValueError(f"the name of a cached function is text that is not empty; {_USE}")
    if name is not None and not isinstance(name, str) and not callable(name):
        raise TypeError(f"the name of a cached function is text, or a function of the arguments, not {name!r}; {_USE}")
    return _with_name(name, options)


def _with_name(name: Name | None, options: Options) -> Any:
    if callable(name) and options.ignore:
        raise TypeError("ignore goes with a name that is text; a name function leaves out what it does not use")
    named = Options(**{**vars(options), "name": name})

    def decorate(function: Any = None, /) -> Any:
        return _decorate(function, named)

    return decorate


def _decorate_or_name(function: Any, options: Options, frame: types.FrameType) -> Any:
    """A function that a decorator was given: to be decorated, or to make names.

    ``@decorator`` is applied before the function has its name in the program. A function that has it already may be
    either, which tells what it is called with.
    """
    if not isinstance(function, types.FunctionType) or not _is_bound(function, frame):
        return _decorate(function, options)
    if inspect.iscoroutinefunction(function):
        return _decorate(function, options)
    cached = _decorate(function, options, quiet=True)

    @functools.wraps(cached)
    def either(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 and not kwargs and isinstance(args[0], (types.FunctionType, classmethod, staticmethod)):
            return _with_name(function, options)(args[0])
        return cached(*args, **kwargs)

    either.__wrapped__ = function
    return either


def _is_bound(function: types.FunctionType, frame: types.FrameType) -> bool:
    """Reports whether the program has the function by its name already."""
    name = function.__name__
    if frame.f_locals.get(name) is function or frame.f_globals.get(name) is function:
        return True
    found: Any = sys.modules.get(function.__module__)
    for part in function.__qualname__.split("."):
        found = getattr(found, part, None)
    return found is function or ("<locals>" in function.__qualname__ and function.__code__ not in frame.f_code.co_consts)


def _decorate(function: Any, options: Options, *, quiet: bool = False) -> Any:
    if isinstance(function, staticmethod):
        return staticmethod(_decorate(function.__func__, options))
    if isinstance(function, classmethod):
        return Method(_calls(function.__func__, options), of_class=True)
    _refuse(function)
    calls = _calls(function, options)
    if not quiet:
        _note_name(calls.entry)
    if _is_in_class(function):
        return Method(calls)
    return _wrapper(calls)


def _refuse(function: Any) -> None:
    """Raise TypeError for what cannot be decorated."""
    if isinstance(function, (property, functools.cached_property)):
        raise TypeError("a property cannot be cached as a whole: put the decorator of larder below @property")
    if isinstance(function, type):
        raise TypeError(f"{function.__qualname__} is a class: decorate a function that returns what shall be cached")
    if not callable(function):
        raise TypeError(f"a decorator of larder stands above a function, not {function!r}: {_USE}")
    if any(inspect.isgeneratorfunction(f) or inspect.isasyncgenfunction(f) for f in (function, _call_of(function))):
        raise TypeError(f"{title_of(function) or function!r} is a generator, which can be read once only: return a list of what it yields")


def _call_of(function: Any) -> Any:
    """The method that a callable object is called by."""
    return vars(type(function)).get("__call__")


def _calls(function: Any, options: Options) -> Calls:
    if options.name is None and title_of(function).rpartition(".")[2] in ("", "<lambda>"):
        raise TypeError(f"{function!r} has no name of its own to be stored under: {_USE}")
    entry = Entry(function, options)
    is_coroutine = inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(_call_of(function))
    return CoroutineCalls(entry) if is_coroutine else FunctionCalls(entry)


class _Names:
    """The functions of this process by the names of their results."""

    known: dict[tuple[str, str], str] = {}  # noqa: RUF012  # it is one for the process


def _note_name(entry: Entry) -> None:
    """Warn if another function has this name, for then each would get the other's results."""
    if callable(entry.name):
        return
    other = _Names.known.setdefault((entry.options.service, entry.name), entry.title)
    if other != entry.title:
        warn(f"{entry.title} has the name {entry.name!r}, as has {other}: each gets what the other has stored; give it a name of its own")


def _is_in_class(function: Any) -> bool:
    """Reports whether a function is defined in the body of a class."""
    around = getattr(function, "__qualname__", "").rpartition(".")[0]
    return isinstance(function, types.FunctionType) and bool(around) and not around.endswith("<locals>")


def _wrapper(calls: Calls) -> Any:
    """A function that is cached. It is a function in all respects, so that it is pickled and inspected as one."""
    if isinstance(calls, CoroutineCalls):

        @functools.wraps(calls.function)
        async def call(*args: Any, **kwargs: Any) -> Any:
            return await calls.call(args, kwargs)

    else:

        @functools.wraps(calls.function)
        def call(*args: Any, **kwargs: Any) -> Any:
            return calls.call(args, kwargs)  # type: ignore[attr-defined]

    for name in OPERATIONS:
        setattr(call, name, getattr(calls, name))
    return call


class Method:
    """A method that is cached. Bound to an object, or to a class, so are its operations."""

    def __init__(self, calls: Calls, *, of_class: bool = False) -> None:
        functools.update_wrapper(self, calls.function)
        self._function = _wrapper(calls)
        self._of_class = of_class

    def __getattr__(self, name: str) -> Any:
        if name == "_function":  # which is not there yet while a copy is made
            raise AttributeError(name)
        return getattr(self._function, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._function(*args, **kwargs)

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        if self._of_class:
            instance = type(instance) if owner is None else owner
        return self if instance is None else BoundMethod(self._function, instance)

    def __repr__(self) -> str:
        return f"<cached {self._function!r}>"

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name where that finds it in a module, and otherwise as a copy, as functions are."""
        found: Any = sys.modules.get(self.__module__)
        for part in self.__qualname__.split("."):
            found = getattr(found, part, None)
        by_name = found is self and self.__module__ != "__main__"
        return self.__qualname__ if by_name else super().__reduce_ex__(protocol)


class BoundMethod:
    """A cached method of one object."""

    def __init__(self, function: Any, instance: Any) -> None:
        self.__func__ = function
        self.__self__ = instance
        self.__doc__ = function.__doc__
        self.__module__ = function.__module__
        self.__wrapped__ = types.MethodType(function.__wrapped__, instance)

    def __getattr__(self, name: str) -> Any:
        if name in ("__func__", "__self__"):
            raise AttributeError(name)
        found = getattr(self.__func__, name)
        if name not in OPERATIONS or name in ("forget_all", "entries"):
            return found
        return functools.partial(found, self.__self__)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.__func__(self.__self__, *args, **kwargs)

    @property
    def __signature__(self) -> inspect.Signature:
        return inspect.signature(self.__wrapped__)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, BoundMethod) and self.__self__ is other.__self__ and self.__func__ is other.__func__

    def __hash__(self) -> int:
        return hash((id(self.__self__), self.__func__))

    def __repr__(self) -> str:
        return f"<cached {self.__wrapped__!r}>"

    def __reduce__(self) -> Any:
        return getattr, (self.__self__, self.__func__.__name__)
