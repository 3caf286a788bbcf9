"""What another process finds by its name."""

from __future__ import annotations

import importlib
import pickle
import sys
import types
from typing import Any

from larder.definitions import MAIN

_UNNAMED = (type(None), type(NotImplemented), type(...))  # which pickle knows without names


def is_importable(obj: Any) -> bool:
    """Reports whether a function or class is what its module has under its name.

    Raises PicklingError if its module has another version of it, which is what a reload leaves behind.
    """
    module, name = getattr(obj, "__module__", None), getattr(obj, "__qualname__", None) or obj.__name__
    if obj in _UNNAMED or module is None:
        return True
    if module in MAIN or "<locals>" in name or "<lambda>" in name:
        return False
    found = _lookup(module, name)
    if found is obj:
        return True
    if type(found) is type(obj) and not _is_below(found, obj):
        raise pickle.PicklingError(
            f"{module}.{name} is not what {module} has under that name: its module was reloaded, or it was defined anew. "
            "Make the object again"
        )
    return False


def _lookup(module: str, name: str) -> Any:
    found: Any
    try:
        found = sys.modules.get(module) or importlib.import_module(module)
    except Exception:
        return None
    for part in name.split("."):
        found = getattr(found, part, None)
    return found


def _is_below(wrapper: Any, obj: Any) -> bool:
    """Reports whether a decorator put the wrapper over the function."""
    seen = 0
    while isinstance(wrapper, types.FunctionType) and seen < 100:
        if wrapper is obj:
            return True
        wrapper, seen = getattr(wrapper, "__wrapped__", None), seen + 1
    return False
