"""The arguments of a call as a part of its key.

Arguments are bound to the function's signature first, with its defaults, so that ``f(1)``, ``f(1, 5)`` and
``f(x=1)`` are one call if they mean the same. A short plain value stands in the key as text, such as
``ticker='SAP'``; anything else as ``#`` and its digest.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence, Set
from datetime import date, datetime
from typing import Any

from larder.errors import ArgumentError
from larder.fingerprint import fingerprint, plain_scalar

_MAX_VALUE = 60  # bytes of one value in a key
_MAX_ITEMS, _MAX_DEPTH = 20, 3  # of a container that is shown as text
_ELIDED = "..."  # in the text of large arrays and tables
_MAX_ALL = 200  # bytes of all of them; a key has at most 512 bytes

_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)
_PLAIN = (str, int, float, bool, type(None), date)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """The arguments of one function. ``ignore`` names those that the key leaves out."""

    def __init__(self, function: Callable[..., Any], title: str, ignore: Sequence[str]) -> None:
        self.signature = _signature(function)
        self._title = title
        self._ignore = frozenset(ignore)
        unknown = sorted(self._ignore - set(self.signature.parameters))
        takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.signature.parameters.values())
        if unknown and not takes_more:
            raise TypeError(f"ignore names {unknown[0]!r}, which is no argument of {title}: it takes {self.signature}")
        parameters = self.signature.parameters.values()
        self._is_common = all(p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY) for p in parameters)
        self._defaults = {p.name: p.default for p in parameters}
        self._positional = [p.name for p in parameters if p.kind is p.POSITIONAL_OR_KEYWORD]
        self._name_function: tuple[Callable[..., Any], Mapping[str, inspect.Parameter]] | None = None

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments by name, defaults among them. Raises TypeError as a call does."""
        common = self._common(args, kwargs) if self._is_common else None
        if common is not None:
            return inspect.BoundArguments(self.signature, common)
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def _common(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any] | None:
        """The arguments of a call that fits a signature of the common form, ten times as fast; None if it does not."""
        arguments = self._defaults.copy()
        given = self._positional[: len(args)]
        arguments.update(zip(given, args, strict=False))
        if kwargs:
            arguments.update(kwargs)
            if not kwargs.keys().isdisjoint(given):
                return None
        if len(args) > len(given) or len(arguments) > len(self._defaults):
            return None
        return None if any(value is inspect.Parameter.empty for value in arguments.values()) else arguments

    def text(self, bound: inspect.BoundArguments) -> str:
        """The arguments as text: ``ticker='SAP', window=20``. Raises ArgumentError."""
        parts, digests = [], []
        for name, value in self._named(bound):
            path = f"{self._title}'s argument {name.lstrip('*')!r}"
            text = plain_text(value)
            if text is None or _size(text) > _MAX_VALUE:
                text = "#" + fingerprint(value, path)
            parts.append(f"{name}={text}")
            digests.append((name, text))
        whole = ", ".join(parts)
        return whole if _size(whole) <= _MAX_ALL else "#" + fingerprint(digests, self._title)

    def _named(self, bound: inspect.BoundArguments) -> list[tuple[str, Any]]:
        if self._is_common and not self._ignore:
            return list(bound.arguments.items())
        named: list[tuple[str, Any]] = []
        for name, value in bound.arguments.items():
            kind = self.signature.parameters[name].kind
            if name in self._ignore:
                continue
            if kind is inspect.Parameter.VAR_KEYWORD:
                named += [(f"**{key}", v) for key, v in sorted(value.items()) if key not in self._ignore]
            elif kind is not inspect.Parameter.VAR_POSITIONAL:
                named.append((name, value))
            elif value:
                named.append((f"*{name}", value))
        return named

    def name_by(self, function: Callable[..., Any], bound: inspect.BoundArguments) -> Any:
        """What a name function makes of the arguments, of which it may take fewer than there are."""
        if self._name_function is None or self._name_function[0] is not function:
            self._name_function = function, _signature(function).parameters
        wanted = self._name_function[1]
        if any(p.kind in _VARIABLE for p in wanted.values()):
            return function(*bound.args, **bound.kwargs)
        if set(wanted) <= set(bound.arguments):
            self._check_left_out(bound, set(bound.arguments) - set(wanted))
            positional = [bound.arguments[n] for n, p in wanted.items() if p.kind is inspect.Parameter.POSITIONAL_ONLY]
            return function(*positional, **{n: bound.arguments[n] for n in list(wanted)[len(positional) :]})
        keywords = {n: bound.arguments[n] for n, p in wanted.items() if p.kind is inspect.Parameter.KEYWORD_ONLY and n in bound.arguments}
        count = sum(p.kind is not inspect.Parameter.KEYWORD_ONLY for p in wanted.values())
        self._check_left_out(bound, set(list(bound.arguments)[count:]) - set(keywords))
        return function(*bound.args[:count], **keywords)

    def check_whole(self, text: str, bound: inspect.BoundArguments) -> None:
        """A name does not hold the text of an array without some of its items, or results of other arrays would be returned."""
        if _ELIDED not in text:
            return
        for name, value in bound.arguments.items():
            if hasattr(value, "shape") and any(_ELIDED in shown and shown in text for shown in (str(value), repr(value))):
                raise ArgumentError(
                    f"the name function of {self._title} uses the text of {name!r}, in which {_ELIDED} stands for items that are left out: "
                    "give a name that is text, so that arrays are told by their content, or let the name say what tells them apart"
                )

    def _check_left_out(self, bound: inspect.BoundArguments, names: set[str]) -> None:
        """An argument that the name leaves out has its default, or results of other arguments would be returned."""
        for name in names:
            parameter = self.signature.parameters[name]
            value = bound.arguments[name]
            if parameter.kind in _VARIABLE:
                is_default = not value
            else:
                is_default = value is parameter.default or plain_text(value) == plain_text(parameter.default) is not None
            if not is_default:
                raise ArgumentError(
                    f"the name function of {self._title} does not take {name!r}, which is not its default here: "
                    "let the name depend on it, or take it as an argument and leave it out of the text"
                )


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(function)
    except (TypeError, ValueError):  # some functions in C
        return _ANYTHING


def _size(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode())


def plain_text(value: Any, depth: int = 0) -> str | None:
    """A plain value as text that no other value has, or None. Sets and mappings are in one order."""
    kind = type(value)
    if kind not in _PLAIN:
        value = plain_scalar(value)
        kind = type(value)
    if value is None or kind in (bool, int, bytes):
        return repr(value)
    if kind is str:
        return repr(value) if value.isprintable() else None
    if kind is float:
        return repr(value + 0.0)  # -0.0 equals 0.0
    if kind is date:
        return str(value.isoformat())
    if kind is datetime:
        return str(value.isoformat()) if value.tzinfo is None else None  # a zone is more than its text
    if kind in (list, tuple, set, frozenset, dict) and len(value) <= _MAX_ITEMS and depth < _MAX_DEPTH:
        return _container_text(value, depth + 1)
    return None


def _container_text(value: Any, depth: int) -> str | None:
    if isinstance(value, dict):
        pairs = [(plain_text(k, depth), plain_text(v, depth)) for k, v in value.items()]
        if any(k is None or v is None for k, v in pairs):
            return None
        return "{" + ", ".join(sorted(f"{k}: {v}" for k, v in pairs)) + "}"
    texts = [plain_text(v, depth) for v in value]
    known = [t for t in texts if t is not None]
    if len(known) != len(texts):
        return None
    if isinstance(value, Set):
        return "set(" + ", ".join(sorted(known)) + ")"
    if isinstance(value, tuple):
        return "(" + ", ".join(known) + ("," if len(known) == 1 else "") + ")"
    return "[" + ", ".join(known) + "]"
