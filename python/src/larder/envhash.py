"""The hash of an environment's settings, the same on every machine and Python version.

The canonical encoding is defined here and in docs/python.md. Within a type, values that Python calls equal
have one encoding (so 0.0 and -0.0 have one, as has every nan); values of different types never share one
(so 1, 1.0 and True differ). Every encoding is self-delimiting, so that no two structures meet.

====================  ============================================================================
value                 encoding (``LEN`` counts bytes, ``N`` items, both in decimal)
====================  ============================================================================
None, True, False     ``n``, ``t``, ``f``
int                   ``i`` decimal ``;``
float                 ``d`` 16 hex digits of the IEEE 754 double, big-endian; nan is 7ff8000000000000
Decimal               ``c`` [``-``] digits without trailing zeros ``E`` exponent ``;``; zero is ``c0E0;``
str                   ``s`` LEN ``:`` UTF-8, not normalised
bytes                 ``b`` LEN ``:`` the bytes
date                  ``D`` YYYY-MM-DD
datetime, naive       ``T`` YYYY-MM-DDTHH:MM:SS.ffffff
datetime with a zone  ``Z`` the same, in UTC: one instant has one encoding in all zones
timedelta             ``p`` microseconds in decimal ``;``
list, tuple           ``l`` N ``:`` the items in their order
set, frozenset        ``e`` N ``:`` the items, sorted by their encodings
mapping               ``m`` N ``:`` key, value, key, value …, sorted by the encodings of the keys
====================  ============================================================================

numpy's scalars are encoded as the Python value of ``item()``, where that is exact. The hash is the first 32
hex digits of SHA-256 over ``larder-env-1\\n`` and the encoding of the mapping of settings.
"""

from __future__ import annotations

import hashlib
import math
import struct
import sys
from collections.abc import Mapping, Set
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

from larder.errors import SettingError

_PREFIX = b"larder-env-1\n"
_MAX_DEPTH = 100
_LISTED = "None, bool, int, float, Decimal, str, bytes, date, datetime, timedelta, and lists, tuples, sets and mappings"


def env_hash(settings: Mapping[str, Any]) -> str:
    """The hash of settings: 32 lower-case hex digits. Raises SettingError for a type that is not listed."""
    return hashlib.sha256(_PREFIX + canonical(settings)).hexdigest()[:32]


class Hash:
    """The hash of settings as they are now, which tells later whether it still is that of what they hold.

    Values that cannot change are not looked at again. Of a list or tuple of plain values there is a copy to compare
    it with; anything else is encoded again.
    """

    def __init__(self, settings: Mapping[str, Any]) -> None:
        self._watched: list[tuple[Any, list[Any] | bytes]] = []
        pairs: dict[bytes, bytes] = {}
        for name, value in dict(settings).items():
            copied = _copy(value)
            encoded = canonical(value if copied is None else copied, f"settings[{name!r}]")
            pairs[canonical(name)] = encoded
            if type(value) not in _FIXED and type(value) is not datetime:
                self._watched.append((value, encoded if copied is None else copied))
        self.text = hashlib.sha256(_PREFIX + _joined(pairs)).hexdigest()[:32]

    def holds(self) -> bool:
        """Reports whether no value was changed in place. Raises SettingError if one was, to what has no hash."""
        return all(_is_still(value, seen) for value, seen in self._watched)


# Types whose values cannot change, and of which two that are equal and of one type have one encoding.
_FIXED = (str, int, float, bool, type(None), bytes, date, timedelta, Decimal)


def _copy(value: Any) -> list[Any] | None:
    """A copy of a list or tuple of plain values; None for anything else."""
    if type(value) not in (list, tuple):
        return None
    copied = list(value)
    return copied if all(type(v) in _FIXED for v in copied) else None


def _is_still(value: Any, seen: list[Any] | bytes) -> bool:
    if isinstance(seen, bytes):
        return canonical(value) == seen
    now = list(value)
    return now == seen and list(map(type, now)) == list(map(type, seen))  # 1, 1.0 and True are equal


def canonical(value: Any, path: str = "settings") -> bytes:
    """The canonical encoding of a value. ``path`` is what an error calls it."""
    return _encode(value, path, 0)


def _encode(value: Any, path: str, depth: int) -> bytes:
    if depth > _MAX_DEPTH:
        raise SettingError(f"{path} is nested more than {_MAX_DEPTH} deep, or holds itself")
    if isinstance(value, Mapping):
        return _mapping(value, path, depth)
    if isinstance(value, (list, tuple)):
        items = [_encode(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(value)]
        return b"l%d:" % len(items) + b"".join(items)
    if isinstance(value, Set):
        items = sorted(_encode(v, f"an item of {path}", depth + 1) for v in value)
        return b"e%d:" % len(items) + b"".join(items)
    return _scalar(value, path)


def _mapping(value: Mapping[Any, Any], path: str, depth: int) -> bytes:
    pairs: dict[bytes, bytes] = {}
    for k, v in value.items():
        pairs[_scalar(k, f"a key of {path}")] = _encode(v, f"{path}[{k!r}]", depth + 1)
    if len(pairs) != len(value):
        raise SettingError(f"two keys of {path} have the same encoding, for example a number and numpy's of the same value")
    return _joined(pairs)


def _joined(pairs: Mapping[bytes, bytes]) -> bytes:
    return b"m%d:" % len(pairs) + b"".join(k + pairs[k] for k in sorted(pairs))


def _scalar(value: Any, path: str) -> bytes:
    value = plain(value, path)
    match value:
        case None:
            return b"n"
        case bool():
            return b"t" if value else b"f"
        case int():
            return b"i%d;" % int(value)
        case float():
            return b"d" + _double(float(value)).hex().encode()
        case Decimal():
            return _decimal(value, path)
        case str():
            return _text(str.__str__(value), path)
        case bytes():
            return b"b%d:" % len(value) + bytes(value)
        case datetime():
            return _datetime(value, path)
        case date():
            return f"D{value.year:04d}-{value.month:02d}-{value.day:02d}".encode()
        case timedelta():
            if getattr(value, "nanoseconds", 0):
                raise SettingError(f"{path} is {value}, which has no defined hash; use a timedelta in microseconds")
            return b"p%d;" % ((value.days * 86_400 + value.seconds) * 1_000_000 + value.microseconds)
    kind = f"{type(value).__module__}.{type(value).__qualname__}"
    raise SettingError(f"{path} is a {kind}, which has no defined hash; use {_LISTED} (an array: its tolist())")


def _double(value: float) -> bytes:
    if math.isnan(value):
        return b"\x7f\xf8\0\0\0\0\0\0"
    return struct.pack(">d", value if value != 0 else 0.0)


def _decimal(value: Decimal, path: str) -> bytes:
    if not value.is_finite():
        raise SettingError(f"{path} is {value}, which has no defined hash; use a finite Decimal, or a float")
    sign, digits, exponent = value.as_tuple()
    text = "".join(map(str, digits)).lstrip("0")
    short = text.rstrip("0")
    if not short:
        return b"c0E0;"
    return f"c{'-' if sign else ''}{short}E{int(exponent) + len(text) - len(short)};".encode()


def _text(value: str, path: str) -> bytes:
    try:
        data = value.encode()
    except UnicodeEncodeError:
        raise SettingError(f"{path} holds half of a surrogate pair, which is no text in UTF-8") from None
    return b"s%d:" % len(data) + data


def _datetime(value: datetime, path: str) -> bytes:
    if value != value or getattr(value, "nanosecond", False):
        raise SettingError(f"{path} is {value}, which has no defined hash; use a datetime in microseconds")
    tag = "T"
    if value.utcoffset() is not None:
        tag = "Z"
        try:
            value = value.astimezone(UTC)
        except OverflowError:
            raise SettingError(f"{path} is {value}, which UTC has no year for") from None
    date_part = f"{value.year:04d}-{value.month:02d}-{value.day:02d}"
    time_part = f"{value.hour:02d}:{value.minute:02d}:{value.second:02d}.{value.microsecond:06d}"
    return f"{tag}{date_part}T{time_part}".encode()


def plain(value: Any, path: str) -> Any:
    """A numpy scalar as the Python value that is exactly it; others as they are."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    if isinstance(value, numpy.timedelta64):  # which numpy takes for an integer
        raise SettingError(f"{path} is numpy's {value!r}, which has no defined hash; use a timedelta")
    if isinstance(value, (numpy.bool_, numpy.integer, numpy.float16, numpy.float32, numpy.float64, numpy.str_, numpy.bytes_)):
        return value.item()
    if isinstance(value, numpy.datetime64) and not numpy.isnat(value):
        unit = numpy.datetime_data(value.dtype)[0]
        plain = value.item() if unit == "D" else value.astype("datetime64[us]").item()
        if unit in ("D", "h", "m", "s", "ms", "us", "ns") and isinstance(plain, date) and numpy.datetime64(plain) == value:
            return plain
    raise SettingError(f"{path} is numpy's {value!r}, which is not exactly a Python value; convert it first")
