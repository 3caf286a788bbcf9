"""Tables of polars and pyarrow as Arrow IPC streams, which many languages read."""

from __future__ import annotations

import io
import struct
import sys
from typing import Any

from larder.frame import Buffer

_SMALL = 4 << 10  # bytes of buffers that are not looked at
_POLARS = ("DataFrame", "Series")
_PYARROW = ("Table", "RecordBatch", "Array", "ChunkedArray")
_DICTIONARY, _BATCH = 2, 3  # types of messages that have buffers


def write(value: Any) -> tuple[str, Buffer] | None:
    """What a value is, such as ``polars.DataFrame``, and its stream; None for what Arrow does not give back exactly."""
    polars, pyarrow = sys.modules.get("polars"), sys.modules.get("pyarrow")
    for name in _POLARS:
        if polars is not None and type(value) is getattr(polars, name, None):
            return _write_polars(polars, name, value)
    for name in _PYARROW:
        kind = getattr(pyarrow, name, None)
        if kind is not None and (type(value) is kind or (name == "Array" and isinstance(value, kind))):
            return _write_pyarrow(pyarrow, name, value)
    return None


def _write_polars(polars: Any, name: str, value: Any) -> tuple[str, Buffer] | None:
    frame = value if name == "DataFrame" else value.to_frame()
    try:
        if _polars_stream(polars, frame.clear(), _read_polars).schema != frame.schema:
            return None
        return f"polars.{name}", _polars_stream(polars, frame, lambda _, data: data)
    except (KeyboardInterrupt, SystemExit):
        raise
    except BaseException:  # such as columns of Python objects
        return None


def _polars_stream(polars: Any, frame: Any, then: Any) -> Any:
    file = io.BytesIO()
    frame.write_ipc_stream(file, compat_level=polars.CompatLevel.oldest())
    return then(polars, file.getbuffer())


def _read_polars(polars: Any, data: Buffer) -> Any:
    return polars.read_ipc_stream(io.BytesIO(data))


def _write_pyarrow(pa: Any, name: str, value: Any) -> tuple[str, Buffer] | None:
    if name in ("Array", "ChunkedArray"):
        value = pa.table({"": value})
    schema = value.schema
    if any(isinstance(field.type, pa.BaseExtensionType) for field in schema):
        return None
    try:
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, schema) as writer:
            writer.write(value)
        return f"pyarrow.{name}", memoryview(sink.getvalue())
    except pa.ArrowException:
        return None


def _is_array(pa: Any, value: Any) -> bool:
    kind: Any = getattr(pa, "Array", ())
    return isinstance(value, kind) and not isinstance(value.type, pa.BaseExtensionType)


def reduce_slice(value: Any) -> Any:
    """How pickle has a column of pyarrow that is a small part of its buffers: as a copy of that part. Else NotImplemented."""
    pa: Any = sys.modules.get("pyarrow")
    if pa is None or not _is_array(pa, value):
        return NotImplemented
    try:
        if value.get_total_buffer_size() <= 2 * value.nbytes + _SMALL:
            return NotImplemented
        return pa.ipc.open_stream(_write_pyarrow(pa, "Array", value)[1]).read_all().column(0).combine_chunks().__reduce_ex__(5)  # type: ignore[index]
    except (pa.ArrowException, NotImplementedError, TypeError):  # of a type that Arrow streams do not have
        return NotImplemented


def _check_uncompressed(data: Buffer) -> None:
    """Raise ValueError if buffers of a stream are compressed: each says how much memory is taken for it.

    This client compresses streams as a whole, where that is bounded. "Encapsulated message format" in Arrow's columnar
    format says where messages are; their heads are flatbuffers, in which a field that is not there is 0.
    """
    view = memoryview(data).cast("B")
    at = 0
    try:
        while at + 8 <= view.nbytes:
            mark, size = struct.unpack_from("<Ii", view, at)
            at += 8 if mark == 0xFFFFFFFF else 4  # streams before version 0.15 have no mark
            size = size if mark == 0xFFFFFFFF else mark
            if size <= 0:
                return
            if at + size > view.nbytes:
                raise ValueError("an Arrow stream that is cut")
            at += size + _body_of(view[at : at + size])
    except struct.error as error:
        raise ValueError(f"an Arrow stream with a message that cannot be read: {error}") from None


def _body_of(message: memoryview) -> int:
    """How long the body of a message is. Raises ValueError if it is compressed."""
    (root,) = struct.unpack_from("<I", message)
    kind, head, length = (_field(message, root, n) for n in (1, 2, 3))
    if kind and head and message[kind] in (_DICTIONARY, _BATCH):
        batch = _table(message, head)
        if message[kind] == _DICTIONARY:
            data = _field(message, batch, 1)
            batch = _table(message, data) if data else 0
        if batch and _field(message, batch, 3):
            raise ValueError("an Arrow stream whose buffers are compressed, which this client does not write")
    (size,) = struct.unpack_from("<q", message, length) if length else (0,)
    if size < 0:
        raise ValueError("an Arrow stream with a body of negative length")
    return int(size)


def _field(message: memoryview, table: int, number: int) -> int:
    """Where a field of a table is; 0 if it is not there."""
    (back,) = struct.unpack_from("<i", message, table)
    vtable = table - back
    (size,) = struct.unpack_from("<H", message, vtable)
    if 6 + 2 * number > size:
        return 0
    (offset,) = struct.unpack_from("<H", message, vtable + 4 + 2 * number)
    return table + offset if offset else 0


def _table(message: memoryview, field: int) -> int:
    """Where the table is that a field names."""
    (offset,) = struct.unpack_from("<I", message, field)
    return field + int(offset)


def read(kind: str, data: Buffer) -> Any:
    """The table of a stream. Raises ImportError, or ValueError."""
    _check_uncompressed(data)
    library, _, name = kind.partition(".")
    if library == "polars" and name in _POLARS:
        import polars

        frame = _read_polars(polars, data)
        return frame if name == "DataFrame" else frame.to_series()
    if library != "pyarrow" or name not in _PYARROW:
        raise ValueError(f"a table of the type {kind!r}, which this larder does not know: install a newer one")
    import pyarrow as pa

    table = pa.ipc.open_stream(pa.py_buffer(data)).read_all()
    table.validate(full=True)  # lengths, numbers of places and UTF-8, which a stream may state wrongly
    if name == "Table":
        return table
    if name == "RecordBatch":
        return table.combine_chunks().to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)
    column = table.column(0)
    return column if name == "ChunkedArray" else column.combine_chunks()
