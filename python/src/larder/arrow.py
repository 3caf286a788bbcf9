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


class _Table:
    """A table of a flatbuffer, in which the headers of Arrow's messages are written."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data, self._at = data, at
        self._fields = at - struct.unpack_from("<i", data, at)[0]

    def find(self, number: int) -> int:
        """Where a field is; 0 if it is not there."""
        place = 4 + 2 * number
        known = place < struct.unpack_from("<H", self._data, self._fields)[0]
        offset: int = struct.unpack_from("<H", self._data, self._fields + place)[0] if known else 0
        return self._at + offset if offset else 0

    def table(self, number: int) -> _Table:
        at = self.find(number)
        return _Table(self._data, at + struct.unpack_from("<I", self._data, at)[0])


_DICTIONARY, _BATCH = 2, 3  # kinds of messages that have buffers


def _check_uncompressed(data: Buffer) -> None:
    """Raise ValueError for a stream with compressed buffers: a few bytes of them may be any number. None are written here."""
    view, at = memoryview(data).cast("B"), 0
    while at + 4 <= view.nbytes:
        size = struct.unpack_from("<i", view, at)[0]
        at += 4
        if size == -1:  # it is left out by writers before Arrow 0.15
            size = struct.unpack_from("<i", view, at)[0]
            at += 4
        if size <= 0:
            return
        head = view[at : at + size]
        message = _Table(head, struct.unpack_from("<I", head, 0)[0])
        kind, length = message.find(1), message.find(3)
        if kind and head[kind] in (_DICTIONARY, _BATCH):
            batch = message.table(2).table(1) if head[kind] == _DICTIONARY else message.table(2)
            if batch.find(3):
                raise ValueError("it is compressed within, and may have any size: write it without")
        body = struct.unpack_from("<q", head, length)[0] if length else 0
        if body < 0:
            raise ValueError("a message of a negative length")
        at += size + body


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
