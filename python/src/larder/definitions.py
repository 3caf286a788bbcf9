"""Classes that a script or notebook defines: their names, and digests that tell one definition from another."""

from __future__ import annotations

import enum
import hashlib
import inspect
import re
import sys
import types
from collections.abc import Callable, Iterator
from typing import Any

from larder.codedigest import constant, plain_digest

MAIN = frozenset({"__main__", "__mp_main__"})  # the second is what spawned processes call it

# What Python adds to a class, and what says nothing of its definition.
_SKIPPED = frozenset(
    {
        "__dict__",
        "__weakref__",
        "__module__",
        "__doc__",
        "__qualname__",
        "__firstlineno__",
        "__static_attributes__",
        "__abstractmethods__",
        "__slotnames__",
        "__annotations__",
        "__annotate__",
        "__annotate_func__",
        "__annotations_cache__",
        "__dataclass_fields__",
        "__dataclass_params__",
        "__parameters__",
        "__orig_bases__",
        "__hash__",
        "__classdictcell__",
        "_abc_impl",
    }
)
_ADDRESS = re.compile(r" at 0x[0-9a-fA-F]+")


def of_main(obj: Any) -> bool:
    """Reports whether a class or function was defined in a script or notebook, and not inside a function."""
    return getattr(obj, "__module__", None) in MAIN and "<locals>" not in getattr(obj, "__qualname__", "<locals>")


def name_of(cls: type) -> str:
    """The name under which ``__main__`` has a class."""
    if own(cls.__qualname__) is cls:
        return cls.__qualname__
    return next((name for name, value in list(vars(sys.modules["__main__"]).items()) if value is cls), cls.__qualname__)


def own(name: str) -> type | None:
    """The class of that qualified name in the ``__main__`` of this process."""
    found: Any = sys.modules.get("__main__")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None


def describe(cls: type) -> dict[str, str]:
    """Digests of a definition.

    ``shape`` is of names, fields, members and constants, and the same in every Python; ``code`` is of the
    bytecode of the methods too, which is comparable within one minor version.
    """
    mine = [c for c in cls.__mro__ if c.__module__ in MAIN]
    shape = [line for c in mine for line in _shape(c)]
    code = [line for c in mine for name, value in _members(c) for line in _code(name, value)]
    return {"shape": _digest(shape), "code": _digest(shape + code)}


def _digest(lines: list[str]) -> str:
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogatepass")).hexdigest()[:32]


def _shape(cls: type) -> Iterator[str]:
    yield f"class {cls.__qualname__} {type(cls).__qualname__} {[_type_name(base) for base in cls.__bases__]}"
    for name, annotation in sorted(_annotations(cls).items()):
        yield f"field {name} {_type_name(annotation)}"
    if issubclass(cls, enum.Enum):
        for name, member in cls.__members__.items():
            yield f"member {name} {_constant(member.value)}"
    for name, value in _members(cls):
        if not name.startswith("__") or name == "__slots__":  # which others there are depends on the version of Python
            yield f"has {name} {_constant(value)}"


def _members(cls: type) -> list[tuple[str, Any]]:
    hidden = set(_SKIPPED)
    if issubclass(cls, enum.Enum):
        hidden |= {name for name in vars(cls) if name.startswith("_") or name in cls.__members__}
    return sorted((item for item in vars(cls).items() if item[0] not in hidden), key=lambda item: item[0])


def _annotations(cls: type) -> dict[str, Any]:
    try:
        return inspect.get_annotations(cls)
    except Exception:  # an annotation that cannot be evaluated any more
        return {}


def _type_name(annotation: Any) -> str:
    if isinstance(annotation, type) and not isinstance(annotation, types.GenericAlias):
        module = "" if annotation.__module__ in MAIN else annotation.__module__ + "."
        return module + annotation.__qualname__
    return _ADDRESS.sub("", str(annotation)).replace("__mp_main__.", "").replace("__main__.", "")


def _constant(value: Any) -> str:
    """A constant as text. What a dict holds is often of the session, and not of the definition."""
    return type(value).__qualname__ if isinstance(value, dict) else repr(constant(value))


def _code(name: str, value: Any) -> Iterator[str]:
    """The digests of the code of a method, property, or another thing that holds functions."""
    for function in (value, *(getattr(value, part, None) for part in ("__func__", "fget", "fset", "fdel", "func", "__wrapped__"))):
        if isinstance(function, types.FunctionType):
            yield f"code {name} {plain_digest(function)}"


def title_of(function: Callable[..., Any]) -> str:
    """The name of a function: with its module, unless that is the script or notebook itself."""
    name = getattr(function, "__qualname__", "") or getattr(function, "__name__", "")
    module = getattr(function, "__module__", None)
    name = name.replace("<locals>.", "")
    return name if not name or module is None or module in MAIN else f"{module}.{name}"
