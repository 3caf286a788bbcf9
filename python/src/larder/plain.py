"""What can be told in JSON, or by the name of a dtype, and is exactly that again."""

from __future__ import annotations

import math
from typing import Any

_VALUES = 1000  # larger structures are pickled, which is faster
_DEPTH = 50


def is_plain_json(value: Any) -> bool:
    """Reports whether JSON gives back exactly this value, and quickly."""
    left = _VALUES
    seen: set[int] = set()

    def plain(v: Any, depth: int) -> bool:
        nonlocal left
        left -= 1
        if left < 0 or depth > _DEPTH:
            return False
        kind = type(v)
        if kind is float:
            return math.isfinite(v)
        if kind is int:
            return bool(-(1 << 63) <= v < 1 << 64)
        if v is None or kind is bool or kind is str:
            return True
        if kind not in (list, dict) or id(v) in seen:  # of what is there twice, JSON would make two
            return False
        seen.add(id(v))
        if kind is list:
            return all(plain(item, depth + 1) for item in v)
        return all(type(k) is str and plain(item, depth + 1) for k, item in v.items())

    return plain(value, 0)


def is_plain_dtype(dtype: Any) -> bool:
    """Reports whether the name of a dtype of numpy says all of it. Others may be of other libraries, have fields or hold Python objects."""
    return dtype.kind in "biufcmMSU" and dtype.type.__module__ == "numpy" and dtype.itemsize > 0 and not dtype.metadata
