"""Columns and indexes of pandas as runs of bytes, and back. Needs pandas and numpy, and no pyarrow.

Each has a description in JSON, in which ``data``, ``offsets`` and the like are numbers of buffers. Text is UTF-8 in
one buffer, and where each begins and ends in another. What is not covered raises Uncovered.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from datetime import timedelta, timezone
from typing import Any

import numpy as np
import pandas as pd

from larder.frame import Buffer
from larder.plain import is_plain_dtype, is_plain_json

FIXED = "biufcmM"  # kinds of numpy's dtypes whose values are bytes of one size
_MASKED = frozenset(f"{sign}{bits}" for sign in ("Int", "UInt") for bits in (8, 16, 32, 64)) | {"Float32", "Float64", "boolean"}
_TEXT, _NONE, _NAN, _NA = range(4)  # what a place of a column of text holds
_USUAL = ({_TEXT}, {_TEXT, _NONE}, {_TEXT, _NAN})  # what a pandas that has no dtype for text makes of text
_OBJECTS = 1000  # of other objects that are plain

Spec = dict[str, Any]


class Uncovered(Exception):
    """This has no format of its own."""


class Buffers(list[Buffer]):
    """Buffers, by number."""

    def add(self, array: Any) -> int:
        """Add the bytes of an array."""
        flat = np.ascontiguousarray(array).reshape(-1)
        self.append(flat.view(np.uint8).data if flat.size else b"")
        return len(self) - 1


class Held:
    """Buffers that were read, by number. Each is given once: else a short description could make much of few bytes."""

    def __init__(self, buffers: Sequence[Buffer]) -> None:
        self._left = dict(enumerate(buffers))

    def take(self, number: int) -> Buffer:
        """A buffer. Raises ValueError if it was given before, or is not there."""
        try:
            return self._left.pop(number)
        except KeyError:
            raise ValueError(f"the buffer {number!r} is not there, or is named twice") from None


def array_of(buffers: Held, number: int, dtype: Any) -> Any:
    """The array of a buffer, in the buffer's own memory."""
    data = buffers.take(number)
    return np.frombuffer(data, dtype=dtype) if memoryview(data).nbytes else np.empty(0, dtype=dtype)


@functools.cache
def _own_text() -> Any:
    """The dtype that this pandas gives to text; None if that is objects, as before pandas 3."""
    dtype = pd.Series(["x"]).dtype
    return dtype if isinstance(dtype, pd.StringDtype) else None


def write_values(values: Any, buffers: Buffers) -> Spec:
    """Describe the values of a Series or an Index."""
    dtype = values.dtype
    if isinstance(dtype, np.dtype):
        if dtype.kind in FIXED and is_plain_dtype(dtype):
            return {"type": "numpy", "dtype": dtype.str, "data": buffers.add(values.to_numpy())}
        if dtype.kind == "O":
            return _write_objects(values.to_numpy().tolist(), buffers)
    elif isinstance(dtype, pd.DatetimeTZDtype):
        return {"type": "datetimetz", "unit": dtype.unit, "zone": _zone(dtype.tz), "data": buffers.add(values.array.asi8)}
    elif isinstance(dtype, pd.CategoricalDtype):
        categories = write_index(values.array.categories, buffers)
        return {"type": "categorical", "ordered": bool(dtype.ordered), "categories": categories, **_codes(values.array.codes, buffers)}
    elif isinstance(dtype, pd.StringDtype):
        return _write_text_array(values.array, dtype, buffers)
    elif isinstance(dtype, pd.PeriodDtype):
        return {"type": "period", "dtype": str(dtype), "data": buffers.add(values.array.asi8)}
    elif dtype.name in _MASKED and type(dtype).__module__.partition(".")[0] == "pandas":
        array = values.array
        return {"type": "masked", "dtype": array._data.dtype.str, "data": buffers.add(array._data), "mask": buffers.add(array._mask)}
    raise Uncovered(str(dtype))


def _codes(codes: Any, buffers: Buffers) -> Spec:
    return {"codes": buffers.add(codes), "codes_dtype": codes.dtype.str}


def _zone(tz: Any) -> str | int:
    """The name of a time zone, or its offset in seconds."""
    name = getattr(tz, "key", None) or getattr(tz, "zone", None)
    if isinstance(name, str):
        return name
    offset = tz.utcoffset(None)  # which other libraries answer for zones whose offset changes, too
    known = isinstance(tz, timezone) or type(tz).__module__.partition(".")[0] == "pytz"
    if not known or not isinstance(offset, timedelta) or offset.microseconds or tz.tzname(None) not in (None, str(timezone(offset))):
        raise Uncovered(str(tz))
    return offset.days * 86400 + offset.seconds


def _write_objects(items: list[Any], buffers: Buffers) -> Spec:
    """Objects that are all text or missing, or few and plain."""
    kinds = np.fromiter(map(_kind, items), np.int8, len(items))
    if (kinds >= 0).all():
        spec: Spec = {"type": "text", "dtype": "object", "default": _own_text() is None and set(kinds.tolist()) in _USUAL}
        return spec | _write_text([item if kind == _TEXT else "" for item, kind in zip(items, kinds, strict=True)], kinds, buffers)
    if len(items) <= _OBJECTS and not any(isinstance(item, (list, dict)) for item in items) and is_plain_json(items):
        return {"type": "objects", "items": items}
    raise Uncovered("object")


def _kind(item: Any) -> int:
    if type(item) is str:
        return _TEXT
    if item is None:
        return _NONE
    if item is pd.NA:
        return _NA
    return _NAN if type(item) is float and item != item else -1


def _write_text_array(array: Any, dtype: Any, buffers: Buffers) -> Spec:
    missing = getattr(dtype, "na_value", pd.NA) is pd.NA
    usual = pd.StringDtype() if missing else _own_text() or dtype
    storage = None if dtype.storage == usual.storage else dtype.storage
    spec: Spec = {"type": "text", "dtype": "string" if missing else "str", "storage": storage}
    if dtype.storage.startswith("pyarrow"):
        return spec | _write_arrow_text(array, buffers)
    is_missing = np.asarray(array.isna())
    texts = ["" if m else t for t, m in zip(array.astype(object).tolist(), is_missing, strict=True)]
    return spec | _write_text(texts, is_missing.astype(np.int8), buffers)


def _write_text(texts: list[str], missing: Any, buffers: Buffers) -> Spec:
    try:
        encoded = [text.encode() for text in texts]
    except UnicodeEncodeError:
        raise Uncovered("half of a surrogate pair") from None
    offsets = np.zeros(len(encoded) + 1, "<i8")
    np.cumsum(np.fromiter(map(len, encoded), np.int64, len(encoded)), out=offsets[1:])
    return _text_spec(offsets, b"".join(encoded), missing, buffers)


def _write_arrow_text(array: Any, buffers: Buffers) -> Spec:
    import pyarrow as pa

    chunks = pa.chunked_array(array.__arrow_array__()).cast(pa.large_string())
    text = pa.concat_arrays(chunks.chunks) if chunks.num_chunks else pa.array([], pa.large_string())
    _, ends, data = text.buffers()
    offsets = np.frombuffer(ends, "<i8")[text.offset : text.offset + len(text) + 1] if ends else np.zeros(1, "<i8")
    missing = text.is_null().to_numpy(zero_copy_only=False).astype(np.int8)
    held = memoryview(data)[int(offsets[0]) : int(offsets[-1])] if data else b""
    return _text_spec(offsets - offsets[0], held, missing, buffers)


def _text_spec(offsets: Any, data: Buffer, missing: Any, buffers: Buffers) -> Spec:
    spec = {"offsets": buffers.add(offsets), "missing": buffers.add(missing) if missing.any() else None}
    buffers.append(data)
    return spec | {"data": len(buffers) - 1}


def write_index(index: Any, buffers: Buffers) -> Spec:
    """Describe an index, with its names."""
    if not is_plain_json(list(index.names)) or any(isinstance(name, (list, dict)) for name in index.names):
        raise Uncovered("names of an index")
    names = list(index.names)
    if type(index) is pd.RangeIndex:
        return {"type": "range", "start": index.start, "stop": index.stop, "step": index.step, "names": names}
    if type(index) is pd.MultiIndex:
        levels = [write_index(level, buffers) for level in index.levels]
        return {"type": "multi", "levels": levels, "codes": [_codes(codes, buffers) for codes in index.codes], "names": names}
    if type(index).__module__.partition(".")[0] != "pandas":
        raise Uncovered(type(index).__qualname__)
    freq = getattr(index, "freq", None) if isinstance(index, (pd.DatetimeIndex, pd.TimedeltaIndex)) else None
    if freq is not None and not _has_name(freq):
        raise Uncovered(f"the frequency {freq}")
    return write_values(index, buffers) | {"names": names, "freq": freq and freq.freqstr}


def _has_name(freq: Any) -> bool:
    """Reports whether the name of a frequency says all of it."""
    try:
        return bool(pd.tseries.frequencies.to_offset(freq.freqstr) == freq)
    except ValueError:  # of a pd.DateOffset
        return False


def read_index(spec: Spec, buffers: Held) -> Any:
    """The index of a description."""
    names = spec["names"]
    if spec["type"] == "range":
        return pd.RangeIndex(spec["start"], spec["stop"], spec["step"], name=names[0])
    if spec["type"] == "multi":
        codes = [array_of(buffers, c["codes"], c["codes_dtype"]) for c in spec["codes"]]
        return pd.MultiIndex(levels=[read_index(level, buffers) for level in spec["levels"]], codes=codes, names=names)
    values = read_values(spec, buffers)
    index = pd.Index(values, dtype=values.dtype, copy=False)
    if spec["freq"] is not None:
        index.freq = spec["freq"]
    index.names = names
    return index


def read_values(spec: Spec, buffers: Held) -> Any:
    """The array of a description: numpy's where numpy has the dtype, else one of pandas."""
    match spec["type"]:
        case "numpy":
            return array_of(buffers, spec["data"], spec["dtype"])
        case "objects":
            return _objects(spec["items"])
        case "text":
            return _read_text(spec, buffers)
        case "datetimetz":
            stamps = pd.DatetimeIndex(array_of(buffers, spec["data"], f"<M8[{spec['unit']}]")).tz_localize("UTC")
            zone = spec["zone"]
            return stamps.tz_convert(zone if isinstance(zone, str) else timezone(timedelta(seconds=zone))).array
        case "categorical":
            codes = array_of(buffers, spec["codes"], spec["codes_dtype"])
            return pd.Categorical.from_codes(codes, read_index(spec["categories"], buffers), ordered=spec["ordered"])
        case "period":
            dtype: Any = pd.PeriodDtype(spec["dtype"].removeprefix("period[").removesuffix("]"))
            return pd.PeriodIndex.from_ordinals(  # type: ignore[attr-defined]
                array_of(buffers, spec["data"], "<i8"), freq=dtype.freq
            ).array
        case "masked":
            data = array_of(buffers, spec["data"], spec["dtype"])
            made = {"b": pd.arrays.BooleanArray, "f": pd.arrays.FloatingArray}.get(data.dtype.kind, pd.arrays.IntegerArray)
            return made(data, array_of(buffers, spec["mask"], "?"))
    raise ValueError(f"a column of the type {spec['type']!r}, which this larder does not know: install a newer one")


def _objects(items: list[Any]) -> Any:
    array = np.empty(len(items), dtype=object)
    array[:] = items
    return array


def _text_dtype(spec: Spec) -> Any:
    """The dtype that a column of text has with this pandas; None for objects."""
    kind, text = spec["dtype"], _own_text()
    if kind == "object":
        return text if spec["default"] else None
    if kind == "str" and text is None:
        return None
    if spec["storage"] is None:
        return text if kind == "str" else pd.StringDtype()
    make = functools.partial(pd.StringDtype, na_value=np.nan) if kind == "str" else pd.StringDtype
    try:
        return make(spec["storage"])
    except ImportError:  # pyarrow is not here
        return make("python")


def _read_text(spec: Spec, buffers: Held) -> Any:
    dtype = _text_dtype(spec)
    offsets = array_of(buffers, spec["offsets"], "<i8")
    missing = None if spec["missing"] is None else array_of(buffers, spec["missing"], np.int8)
    data = buffers.take(spec["data"])
    _check_offsets(offsets, memoryview(data).nbytes)
    if dtype is not None and dtype.storage == "pyarrow":
        return _read_arrow_text(dtype, offsets, data, missing)
    ends, held = offsets.tolist(), bytes(data)
    texts = [held[a:b].decode() for a, b in itertools.pairwise(ends)]
    array = _objects(texts)
    if missing is not None:
        absent = {_NONE: None, _NAN: np.nan, _NA: pd.NA} if spec["dtype"] == "object" and dtype is None else {}
        usual = np.nan if dtype is None else pd.NA
        for kind in (_NONE, _NAN, _NA):
            array[missing == kind] = absent.get(kind, usual)
    return array if dtype is None else pd.array(array, dtype=dtype)


def _check_offsets(offsets: Any, size: int) -> None:
    """Raise ValueError unless texts follow one another: of those that overlap, few bytes could make many."""
    if not len(offsets) or offsets[0] < 0 or offsets[-1] > size or (offsets[1:] < offsets[:-1]).any():
        raise ValueError("a column of text says that its texts lie otherwise than one after the other")


def _read_arrow_text(dtype: Any, offsets: Any, data: Buffer, missing: Any) -> Any:
    import pyarrow as pa

    there = None if missing is None else pa.py_buffer(np.packbits(missing == _TEXT, bitorder="little"))
    text = pa.LargeStringArray.from_buffers(len(offsets) - 1, pa.py_buffer(offsets), pa.py_buffer(data), there)
    text.validate(full=True)  # lengths and UTF-8, which pyarrow takes on trust
    return dtype.__from_arrow__(text)
