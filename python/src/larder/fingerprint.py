"""The digest of a value that is an argument: the same for equal values, on every machine.

Scalars are encoded as the settings of an environment are (larder.envhash). Beyond those, arrays and frames are
encoded by their content, enum members by name, dataclasses by their fields, functions by their code, and any
object by what its method ``larder_key()`` returns. Values of different types have different encodings. A type
that is not known is refused: an encoding by accident, such as an address in memory, would differ in each
process.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import re
import sys
import types
import uuid
import zoneinfo
from collections import Counter, OrderedDict, UserDict, defaultdict
from collections.abc import Iterable, Mapping, Set
from contextlib import suppress
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from pickle import PicklingError
from typing import Any

from blake3 import blake3

from larder import envhash
from larder.attributes import attributes, is_foreign
from larder.codedigest import code_digest, own_function, plain_digest
from larder.definitions import MAIN
from larder.errors import ArgumentError, SettingError
from larder.importable import is_importable
from larder.items import arrow_item, polars_items, sparse_entries
from larder.reads import SCALARS, encoded_constants, global_names, variables

_MAX_DEPTH = 100
_MAX_PATH = 80  # characters of an error about too deep a value
_CACHED = type(functools.lru_cache(len))
_FUNCTIONS = (types.FunctionType, _CACHED)


def fingerprint(value: Any, path: str) -> str:
    """The digest of a value: 32 hex digits. ``path`` is what an error calls it. Raises ArgumentError."""
    return blake3(b"larder-argument-1\n" + _encode(value, path, 0)).hexdigest(length=16)


def plain_scalar(value: Any) -> Any:
    """A numpy scalar that is exactly a Python value as that; anything else as it is."""
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, numpy.generic):
        return value
    try:
        return envhash.plain(value, "")
    except SettingError:
        return value


def _encode(value: Any, path: str, depth: int) -> bytes:
    if depth > _MAX_DEPTH:
        raise ArgumentError(f"{path[:_MAX_PATH]}… is nested more than {_MAX_DEPTH} deep, or holds itself")
    value = plain_scalar(value)
    if callable(getattr(type(value), "larder_key", None)):
        return _tagged("key", _name(type(value)), _encode(value.larder_key(), f"{path}.larder_key()", depth + 1))
    if isinstance(value, enum.Enum):
        name = str(value.name if value.name is not None else value.value)
        return _tagged("enum", _name(type(value)), name, *_settled(value.value))
    for encode in (_scalar, _container, _standard, _numpy, _pandas, _columnar):
        encoded = encode(value, path, depth)
        if encoded is not None:
            return _with_state(value, encoded, path, depth) if _is_derived(value) else encoded
    for encode in (_sparse, _code, _fields):
        encoded = encode(value, path, depth)
        if encoded is not None:
            return encoded
    raise ArgumentError(
        f"{path} is a {_name(type(value))}, which has no digest that is the same everywhere: name the argument in ignore=, "
        "give a function of the arguments as name, or give the class a method larder_key() that returns what the result depends on"
    )


def _tagged(tag: str, *parts: str | bytes) -> bytes:
    """A tag and parts, each after its length, so that no two encodings meet."""
    whole = b"%d(" % len(parts) + tag.encode()
    for part in parts:
        data = part.encode(errors="surrogatepass") if isinstance(part, str) else part
        whole += b" %d:" % len(data) + data
    return whole


def _name(kind: Any) -> str:
    module = "__main__" if kind.__module__ in MAIN else kind.__module__
    return f"{module}.{kind.__qualname__}"


def _is_derived(value: Any) -> bool:
    """Reports whether a class builds on a known one. What only behaves like a mapping or a set consists of nothing else."""
    is_abstract = isinstance(value, (Mapping, Set)) and not isinstance(value, (dict, set, frozenset, UserDict))
    return is_foreign(type(value)) and not is_abstract


def _with_state(value: Any, encoded: bytes, path: str, depth: int) -> bytes:
    """A value of a class that was derived from a known one, such as an array with a unit: what that is, and its attributes."""
    return _tagged("derived", _name(type(value)), encoded, _encode(attributes(value), f"{path}.__dict__", depth + 1))


def _settled(value: Any) -> list[bytes]:
    """The encoding of a value that settings may have; nothing for any other."""
    try:
        return [envhash.canonical(value)]
    except (SettingError, ValueError):
        return []


def _scalar(value: Any, path: str, depth: int) -> bytes | None:
    if value is not None and not isinstance(value, SCALARS):
        return None
    try:
        encoded = envhash.canonical(value, path)
    except SettingError:
        return _odd_scalar(value, path)
    if not isinstance(value, datetime) or value.utcoffset() is None or (zone := _zone(value)) == "UTC":
        return encoded
    return _tagged("moment", encoded, repr(value.utcoffset()), zone)  # its hour and its day are others than in UTC


def _zone(value: datetime) -> str:
    """The name of a moment's zone as zoneinfo and pytz have it, or of its clock."""
    for name in (getattr(value.tzinfo, "key", None), getattr(value.tzinfo, "zone", None)):
        if isinstance(name, str):
            return name
    with suppress(NotImplementedError):
        return str(value.tzname())
    return ""


def _odd_scalar(value: Any, path: str) -> bytes:
    """A scalar that settings refuse: nanoseconds, NaT, a Decimal that is not finite, half of a surrogate pair."""
    if isinstance(value, str):
        return _tagged("text", str.__str__(value))
    if isinstance(value, (Decimal, date, timedelta)):
        return _tagged("scalar", _name(type(value)), repr(value))
    raise ArgumentError(f"{path} is {value!r}, which has no digest")


def _items(values: Iterable[Any], path: str, depth: int) -> list[bytes]:
    return [_encode(v, f"{path}[{i}]", depth + 1) for i, v in enumerate(values)]


def _container(value: Any, path: str, depth: int) -> bytes | None:
    if isinstance(value, tuple):
        kind = "" if type(value) is tuple else _name(type(value))
        return _tagged("tuple", kind, *_items(value, path, depth))
    if isinstance(value, list):
        return _tagged("list", *_items(value, path, depth))
    if isinstance(value, Set):
        return _tagged("set", *sorted(_encode(v, f"an item of {path}", depth + 1) for v in value))
    if isinstance(value, OrderedDict):
        return _tagged("ordered", *_items(value.items(), path, depth))
    if isinstance(value, defaultdict) and value.default_factory is not None:
        parts = _encode(value.default_factory, f"{path}.default_factory", depth + 1), _encode(dict(value), path, depth + 1)
        return _tagged("defaults", *parts)
    if isinstance(value, Counter):
        return _tagged("counter", _encode(dict(value), path, depth + 1))
    if isinstance(value, Mapping):
        pairs = [(_encode(k, f"a key of {path}", depth + 1), _encode(v, f"{path}[{k!r}]", depth + 1)) for k, v in value.items()]
        return _tagged("mapping", *(part for pair in sorted(pairs) for part in pair))
    return None


def _standard(value: Any, path: str, depth: int) -> bytes | None:
    """Values of the standard library that are what they say they are."""
    match value:
        case complex():
            return _tagged("complex", envhash.canonical(value.real, path), envhash.canonical(value.imag, path))
        case bytearray():
            return _tagged("buffer", bytes(value))
        case memoryview():
            return _tagged("memory", value.format, repr(value.shape), value.tobytes())
        case range() | slice():
            return _tagged(type(value).__name__, *_items((value.start, value.stop, value.step), path, depth))
        case time() | timezone() | Fraction() | uuid.UUID() | zoneinfo.ZoneInfo():
            return _tagged("value", _name(type(value)), repr(value))
        case PurePath():
            return _tagged("path", str(value))
        case re.Pattern():
            return _tagged("pattern", *_items((value.pattern, value.flags), path, depth))
        case types.SimpleNamespace():
            return _tagged("namespace", _encode(vars(value), path, depth + 1))
    return _tagged("ellipsis") if value is Ellipsis else None


def _numpy(value: Any, path: str, depth: int) -> bytes | None:
    numpy = sys.modules.get("numpy")
    if numpy is None or not isinstance(value, (numpy.ndarray, numpy.generic, numpy.dtype)):
        return None
    if isinstance(value, numpy.dtype):
        return _tagged("dtype", repr(value.descr))
    if value is numpy.ma.masked:
        return _tagged("missing", "masked")
    if isinstance(value, numpy.ma.MaskedArray):
        return _tagged("masked", _array(numpy, value.filled(), path, depth), _array(numpy, numpy.ma.getmaskarray(value), path, depth))
    encoded = _array(numpy, numpy.asarray(value), path, depth)
    if isinstance(value, (numpy.matrix, numpy.recarray)) or type(value).__name__ == "chararray":  # which calculate otherwise
        return _tagged("derived", _name(type(value)), encoded)
    return encoded


def _array(numpy: Any, array: Any, path: str, depth: int) -> bytes:
    """An array, and what its dtype states beside it, such as a unit."""
    encoded = _content(numpy, array, path, depth)
    stated = array.dtype.metadata
    return _tagged("stated", _encode(dict(stated), f"{path}.dtype.metadata", depth + 1), encoded) if stated else encoded


def _content(numpy: Any, array: Any, path: str, depth: int) -> bytes:
    shape = repr(tuple(array.shape))
    if array.dtype.char in "gG":  # long doubles have bytes that hold nothing
        return _tagged("array", str(array.dtype), shape, *map(repr, array.ravel()))
    if array.dtype.kind not in "biufcmMSU":
        return _tagged("array", str(array.dtype), shape, *_items(array.ravel().tolist(), path, depth))
    native = array.astype(array.dtype.newbyteorder("<"), copy=False)
    data = numpy.ascontiguousarray(native).reshape(-1).view(numpy.uint8).data if native.size and native.dtype.itemsize else b""
    return _tagged("array", repr(native.dtype.descr), shape, blake3(data).digest())


def _pandas(value: Any, path: str, depth: int) -> bytes | None:
    pandas = sys.modules.get("pandas")
    if pandas is None:
        return None
    if isinstance(value, (pandas.DataFrame, pandas.Series)):
        return _table(pandas, value, path, depth)
    if isinstance(value, pandas.MultiIndex):
        levels = [_encode(value.get_level_values(i), path, depth + 1) for i in range(value.nlevels)]
        return _tagged("multiindex", *levels)
    if isinstance(value, pandas.Index):
        freq = value.freq if isinstance(value, (pandas.DatetimeIndex, pandas.TimedeltaIndex)) else None
        more = [] if freq is None else [_encode(freq, f"{path}.freq", depth + 1)]
        return _tagged("index", _encode(value.name, path, depth + 1), _column(value.array, path, depth), *more)
    if isinstance(value, pandas.api.extensions.ExtensionArray):
        return _column(value, path, depth)
    if value is pandas.NA or value is pandas.NaT:
        return _tagged("missing", repr(value))
    if isinstance(value, pandas.tseries.offsets.BaseOffset):  # whose repr leaves holidays out
        given = {name: v for name, v in value.kwds.items() if name != "calendar"}
        return _tagged("offset", _name(type(value)), *_items((value.n, value.normalize, given), path, depth))
    if isinstance(value, pandas.CategoricalDtype):  # whose repr leaves out some of many categories
        return _tagged("categories", *_items((value.ordered, value.categories), path, depth))
    if isinstance(value, (pandas.Interval, pandas.Period, pandas.api.extensions.ExtensionDtype)):
        return _tagged("pandas", _name(type(value)), repr(value))
    return None


def _table(pandas: Any, value: Any, path: str, depth: int) -> bytes:
    attrs = [_encode(value.attrs, f"{path}.attrs", depth + 1)] if value.attrs else []
    if isinstance(value, pandas.Series):
        column = _column(value.array, path, depth)
        return _tagged("series", _encode(value.name, path, depth + 1), _encode(value.index, path, depth + 1), column, *attrs)
    columns = [_column(value.iloc[:, i].array, f"{path}.iloc[:, {i}]", depth) for i in range(value.shape[1])]
    return _tagged("frame", _encode(value.index, path, depth + 1), _encode(value.columns, path, depth + 1), *columns, *attrs)


def _column(array: Any, path: str, depth: int) -> bytes:
    """The values of a column: numpy's as they lie in memory, others one by one."""
    import numpy
    import pandas

    dtype = str(array.dtype)
    if isinstance(array.dtype, numpy.dtype):
        return _tagged("column", dtype, _array(numpy, numpy.asarray(array), path, depth))
    if isinstance(array.dtype, pandas.CategoricalDtype):
        return _tagged("categorical", _encode(array.dtype, path, depth + 1), _array(numpy, array.codes.astype("i8"), path, depth))
    if isinstance(array.dtype, pandas.ArrowDtype):
        return _tagged("column", dtype, _encode(array.__arrow_array__(), path, depth + 1))
    if dtype.startswith("datetime64"):
        return _tagged("column", dtype, _array(numpy, numpy.asarray(array.asi8), path, depth))
    return _tagged("column", dtype, _array(numpy, numpy.asarray(array, dtype=object), path, depth))


def _columnar(value: Any, path: str, depth: int) -> bytes | None:
    """Tables and columns of polars and pyarrow, value by value."""
    polars, pyarrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    if polars is not None and isinstance(value, polars.DataFrame):
        return _tagged("polars", *_items(value.get_columns(), path, depth))
    if polars is not None and isinstance(value, polars.Series):
        return _tagged("polars column", value.name, str(value.dtype), *_items(polars_items(polars, value), path, depth))
    if pyarrow is not None and isinstance(value, (pyarrow.Table, pyarrow.RecordBatch)):
        names = [str(name) for name in value.schema.names]
        stated = {k: v for k, v in (value.schema.metadata or {}).items() if k != b"pandas"}  # which names versions
        more = [_encode(stated, f"{path}.schema.metadata", depth + 1)] if stated else []
        return _tagged("arrow", *names, *_items(value.columns, path, depth), *more)
    if pyarrow is not None and isinstance(value, (pyarrow.Array, pyarrow.ChunkedArray)):
        exact = "[ns" in str(value.type)
        items = map(arrow_item, value) if exact else value.to_pylist()
        return _tagged("arrow column", str(value.type), *_items(items, path, depth))
    return None


def _sparse(value: Any, path: str, depth: int) -> bytes | None:
    """Sparse matrices of scipy, by their class and entries."""
    entries = sparse_entries(value)
    if entries is None:
        return None
    return _tagged("sparse", type(value).__name__, repr(tuple(value.shape)), *_items(entries, path, depth))


def _code(value: Any, path: str, depth: int) -> bytes | None:
    """Functions by their code, and what they carry; classes and builtin functions by name."""
    if isinstance(value, _CACHED):
        return _tagged("cached", _encode(value.__wrapped__, path, depth + 1))
    match value:
        case functools.partial():
            encoded = _tagged("partial", *_items((value.func, value.args, value.keywords), path, depth))
            return _with_state(value, encoded, path, depth) if vars(value) or _is_derived(value) else encoded
        case types.MethodType():
            return _tagged("method", *_items((value.__func__, value.__self__), path, depth))
        case types.FunctionType():
            carried = (value.__defaults__, value.__kwdefaults__, variables(value))
            return _tagged("function", code_digest(value), *_items(carried, f"{path}, or what it carries,", depth), *_globals_of(value))
        case types.BuiltinFunctionType() if not isinstance(value.__self__, (type, types.ModuleType, type(None))):
            return _tagged("method", value.__name__, _encode(value.__self__, f"{path}.__self__", depth + 1))
        case type() if "<locals>" in value.__qualname__:  # others may have that name, and be made of other variables
            return None
        case type() | types.BuiltinFunctionType():
            return _tagged("named", _name(value))
        case types.ModuleType():
            return _tagged("module", value.__name__)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ufunc):
        return _tagged("ufunc", value.__name__)
    return _tagged("named", _name(value)) if _is_named(value) else None


def _globals_of(function: types.FunctionType, seen: set[types.FunctionType] | None = None) -> list[bytes]:
    """What a function reads of its module: constants, which cannot change in place, and that it does not set itself; and functions."""
    read = {name: function.__globals__[name] for name in global_names(function) if name in function.__globals__}
    found = [_tagged("global", name, encoded) for name, encoded in encoded_constants(read)]
    seen = {function} if seen is None else seen
    for name, v in read.items():
        helper = own_function(v) if isinstance(v, _FUNCTIONS) else None
        if helper is not None and helper not in seen and helper.__module__ == function.__module__:
            seen.add(helper)
            found.append(_tagged("helper", name, plain_digest(helper), *_globals_of(helper, seen)))
    return found


def _is_named(value: Any) -> bool:
    """Reports whether a callable is what its module has under its name, as numpy's functions are."""
    if not callable(value) or not all(isinstance(getattr(value, name, None), str) for name in ("__module__", "__qualname__")):
        return False
    try:
        return is_importable(value)
    except PicklingError:  # its module was reloaded
        return False


def _fields(value: Any, path: str, depth: int) -> bytes | None:
    """Objects that say which fields they consist of: dataclasses, attrs' and pydantic's classes; and what else they have been given."""
    kind = type(value)
    if dataclasses.is_dataclass(kind):
        names = [f.name for f in dataclasses.fields(value)]
    elif hasattr(kind, "__attrs_attrs__"):
        names = [a.name for a in kind.__attrs_attrs__]
    elif isinstance(getattr(kind, "model_fields", None), Mapping):
        names = list(kind.model_fields)
    else:
        return None
    parts = [_encode(getattr(value, name, None), f"{path}.{name}", depth + 1) for name in names]
    others = {name: v for name, v in attributes(value).items() if name not in names}
    more = [_encode(others, f"{path}.__dict__", depth + 1)] if others else []
    return _tagged("fields", _name(kind), *(part for name, data in zip(names, parts, strict=True) for part in (name, data)), *more)
