"""The attributes that an object has, whatever else its class makes it consist of."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator
from typing import Any

_OF_PYDANTIC = ("__pydantic_extra__", "__pydantic_private__")  # slots with more attributes
_FOLLOWS = "_attrs_cached_hash"  # is another in each process


def is_foreign(kind: type) -> bool:
    """Reports whether a class is neither Python's own nor that of a library whose values are known here."""
    top = kind.__module__.partition(".")[0]
    return top not in sys.stdlib_module_names and top not in ("numpy", "pandas", "polars", "pyarrow")


def attributes(value: Any) -> dict[str, Any]:
    """What is in an object's ``__dict__`` and slots. Cached properties are left out, since they follow from the rest."""
    kind = type(value)
    names = [name for cls in kind.__mro__ if is_foreign(cls) for name in _slots(cls)]
    names += [name for name in getattr(value, "__dict__", ()) if not isinstance(getattr(kind, name, None), functools.cached_property)]
    if hasattr(kind, "_metadata"):  # of pandas, whose other attributes are its own
        names = [name for name in names if not name.startswith("_")] + list(kind._metadata)
    found = {name: getattr(value, name) for name in dict.fromkeys(names) if not _is_special(name) and hasattr(value, name)}
    for more in _OF_PYDANTIC if hasattr(kind, _OF_PYDANTIC[0]) else ():
        found |= getattr(value, more, None) or {}
    found.pop(_FOLLOWS, None)
    return found


def _slots(cls: type) -> Iterator[str]:
    """The names of the attributes that a class keeps in slots. Those of attrs are its fields, and its cached properties."""
    given = vars(cls).get("__slots__", ()) if "__attrs_attrs__" not in vars(cls) else ()
    for name in [given] if isinstance(given, str) else given:
        yield f"_{cls.__name__.lstrip('_')}{name}" if name.startswith("__") and not _is_special(name) else name


def _is_special(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")
