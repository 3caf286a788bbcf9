"""Values to segments and back: which format a value gets, and what each format needs.

=========  =======================================  ===========================================
format     values                                   segments
=========  =======================================  ===========================================
bytes      bytes                                    the bytes
text       str                                      UTF-8
json       None, bool, int, finite float, and       JSON in UTF-8
           small lists and dicts of these and str
npy        numpy arrays without Python objects      the header of a .npy file, the data
pandas     DataFrame, Series of plain dtypes        JSON, and the buffers that it describes
arrow      tables and arrays of polars, pyarrow     what it is, an Arrow IPC stream
pickle     everything else                          a pickle of protocol 5, its buffers in order
=========  =======================================  ===========================================

Only pickle runs code that the writer chose; all others are read without it.
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from larder import arrow, compress, pickling
from larder.bounds import read_json
from larder.errors import DecodeError
from larder.frame import Buffer, Frame, Segment
from larder.libraries import distribution, versions
from larder.plain import is_plain_dtype, is_plain_json

FORMATS = ("bytes", "text", "json", "npy", "pandas", "arrow", "pickle")
_SEGMENTS = {"npy": 2, "arrow": 2}  # of the others one, or any number


@dataclass(frozen=True)
class Encoded:
    """A value as segments, and what a frame's header says of them."""

    format: str
    segments: list[Segment]
    about: dict[str, Any] = field(default_factory=dict)


def encode(value: Any) -> Encoded:
    """Encode a value in the first format that gives back exactly it."""
    if type(value) is bytes:
        return Encoded("bytes", [compress.compress(value)])
    if type(value) is str:
        try:
            return Encoded("text", [compress.compress(value.encode())])
        except UnicodeEncodeError:
            return _encode_pickle(value)  # half of a surrogate pair
    if is_plain_json(value):
        try:
            text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
            return Encoded("json", [compress.compress(text)])
        except (UnicodeEncodeError, ValueError):
            return _encode_pickle(value)
    if _is_plain_array(value):
        return _encode_npy(value)
    return _encode_table(value) or _encode_pickle(value)


def _encode_table(value: Any) -> Encoded | None:
    """A table in a format of its own, if it has one."""
    pandas = sys.modules.get("pandas")
    if pandas is not None and type(value) in (getattr(pandas, "DataFrame", None), getattr(pandas, "Series", None)):
        from larder import columns, tables

        try:
            buffers = tables.write(value)
        except columns.Uncovered:
            return None
        return Encoded("pandas", [compress.compress(data) for data in buffers], {"libraries": versions(["numpy", "pandas"])})
    written = arrow.write(value)
    if written is None:
        return None
    kind = written[0].encode()
    segments = [Segment(kind, len(kind)), compress.compress(written[1])]
    return Encoded("arrow", segments, {"libraries": versions([written[0].partition(".")[0]])})


def _encode_pickle(value: Any) -> Encoded:
    pickled = pickling.dump(value)
    data = [pickled.body, *pickled.buffers]
    about: dict[str, Any] = {"pickler": pickled.pickler, "libraries": pickled.libraries}
    if pickled.classes:
        about |= {"classes": pickled.classes, "copies": bool(pickled.copies)}
        data += [pickled.copies] if pickled.copies else []
    return Encoded("pickle", [compress.compress(d) for d in data], about)


def decode(frame: Frame, key: str, *, allow_pickle: bool, limit: int | None = None) -> Any:
    """The value of a verified frame, of so many bytes at most. Raises DecodeError, or VersionMismatch, which is one."""
    kind = frame.header.get("format")
    if kind not in FORMATS:
        raise DecodeError(f"{key!r} has the format {kind!r}, which this larder does not know: install a newer one")
    if kind == "pickle" and not allow_pickle:
        raise DecodeError(
            f"{key!r} is a pickle, and reading it would run code that its writer chose; this client was made with allow_pickle=False"
        )
    data: list[Buffer] = []
    while frame.segments:  # each is given up once it is decompressed
        body = kind == "pickle" and not data
        data.append(compress.decompress(frame.segments.pop(0), mutable=kind not in ("bytes", "json") and not body))
    if kind == "pickle" and data:
        return pickling.load(data, frame.header, key)
    if not data or (kind != "pandas" and len(data) != _SEGMENTS.get(kind, 1)):
        raise DecodeError(f"{key!r} has {len(data)} segments, which is wrong for the format {kind}")
    try:
        return _decode_plain(kind, data, key, limit)
    except ModuleNotFoundError as error:
        missing = distribution(error.name or "")
        raise DecodeError(f"{key!r} needs {missing}, which is not installed here: pip install {missing}") from None
    except (KeyboardInterrupt, SystemExit, MemoryError, DecodeError):
        raise
    except BaseException as error:  # also those of Rust code, which are no Exception
        raise DecodeError(f"{key!r} cannot be read as {kind}, which its header says it is: {type(error).__name__}: {error}") from None


def _decode_plain(kind: str, data: Sequence[Buffer], key: str, limit: int | None) -> Any:
    match kind:
        case "bytes":
            return data[0] if isinstance(data[0], bytes) else bytes(data[0])
        case "text":
            return str(data[0], "utf-8")
        case "json":
            return read_json(bytes(data[0]), key, limit)
        case "pandas":
            from larder import tables

            return tables.read(data, read_json(bytes(data[0]), key, limit))
        case "arrow":
            return arrow.read(str(data[0], "ascii"), data[1])
    return _decode_npy(data[0], data[1])


def _is_plain_array(value: Any) -> bool:
    if "numpy" not in sys.modules:  # then it is no array
        return False
    import numpy

    if type(value) is not numpy.ndarray:
        return False
    return is_plain_dtype(value.dtype)


def _encode_npy(array: Any) -> Encoded:
    import numpy

    order = "F" if array.flags.f_contiguous and not array.flags.c_contiguous else "C"
    flat = numpy.ascontiguousarray(array.T if order == "F" else array)
    head = io.BytesIO()
    about = {"descr": array.dtype.str, "fortran_order": order == "F", "shape": array.shape}
    numpy.lib.format.write_array_header_2_0(head, about)
    data = flat.reshape(-1).view(numpy.uint8).data if flat.size else b""
    library = {"numpy": numpy.__version__}
    return Encoded("npy", [Segment(head.getvalue(), len(head.getvalue())), compress.compress(data)], {"libraries": library})


def _decode_npy(head: Buffer, data: Buffer) -> Any:
    import numpy

    source = io.BytesIO(bytes(head))
    version = numpy.lib.format.read_magic(source)
    if version not in ((1, 0), (2, 0)):
        raise ValueError(f"npy header of version {version}")
    reader = numpy.lib.format.read_array_header_1_0 if version == (1, 0) else numpy.lib.format.read_array_header_2_0
    shape, fortran, dtype = reader(source)
    if dtype.hasobject:
        raise ValueError("an array of Python objects")
    array = numpy.frombuffer(data, dtype=dtype) if memoryview(data).nbytes else numpy.empty(0, dtype=dtype)
    return array.reshape(shape[::-1]).T if fortran else array.reshape(shape)
