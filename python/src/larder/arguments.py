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
_MAX_ALL = 200  # bytes of all of them; a key has at most 512 bytes

_ANYTHING = inspect.Signature(
    [
        inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL),
        inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD),
    ]
)
_VARIABLE = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


class Arguments:
    """The arguments of one function. ``ignore`` names those that the key leaves out."""

    def __init__(self, function: Callable[..., Any], title: str, ignore: Sequence[str]) -> None:
        try:
            self.signature = inspect.signature(function)
        except (TypeError, ValueError):  # some functions in C
            self.signature = _ANYTHING
        self._title = title
        self._ignore = frozenset(ignore)
        unknown = sorted(self._ignore - set(self.signature.parameters))
        takes_more = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in self.signature.parameters.values())
        if unknown and not takes_more:
            raise TypeError(f"ignore names {unknown[0]!r}, which is no argument of {title}: it takes {self.signature}")

    def bind(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> inspect.BoundArguments:
        """The arguments by name, defaults among them. Raises TypeError as a call does."""
        bound = self.signature.bind(*args, **kwargs)
        bound.apply_defaults()
        return bound

    def text(self, bound: inspect.BoundArguments) -> str:
        """The arguments as text: ``ticker='SAP', window=20``. Raises ArgumentError."""
        parts, digests = [], []
        for name, value in self._named(bound):
            path = f"the argument {name.lstrip('*')!r} of {self._title}"
            text = plain_text(value)
            if text is None or len(text.encode()) > _MAX_VALUE:
                text = "#" + fingerprint(value, path)
            parts.append(f"{name}={text}")
            digests.append((name, text))
        whole = ", ".join(parts)
        return whole if len(whole.encode()) <= _MAX_ALL else "#" + fingerprint(digests, self._title)

    def _named(self, bound: inspect.BoundArguments) -> list[tuple[str, Any]]:
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
        try:
            wanted = inspect.signature(function).parameters
        except (TypeError, ValueError):
            return function(*bound.args, **bound.kwargs)
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


def plain_text(value: Any, depth: int = 0) -> str | None:
    """A plain value as text that no other value has, or None. Sets and mappings are in one order."""
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
        return str(value.isoformat()) if value.tzinfo is None else None  # one moment has a digest in all zones
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
