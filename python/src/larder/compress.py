"""zstd, above a small size and when it pays."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor

from larder.errors import DecodeError
from larder.frame import Buffer, Segment, fill_bytes

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_SMALL = 4 << 10  # fewer bytes are not worth it
_SAMPLE = 64 << 10  # of a large segment, so many bytes decide
_PAYS = 0.9  # the largest ratio that is worth the time of every reader
_LEVEL = 1  # about 500 MB/s; higher levels cost more than they save inside a data centre
_BLOCK = 16 << 20  # large segments are compressed by blocks, each a zstd frame of its own
_WORKERS = 2
_PIECE = 1 << 20  # bytes that are decompressed at a time


def compress(data: Buffer) -> Segment:
    """A segment of these bytes, compressed if that makes it clearly smaller."""
    view = memoryview(data).cast("B")
    size = view.nbytes
    if size < _SMALL or not _promising(view):
        return Segment(data, size)
    packed = _compress_blocks(view) if size > _BLOCK else zstd.compress(view, _LEVEL)
    if len(packed) > size * _PAYS:
        return Segment(data, size)
    return Segment(packed, size, "zstd")


def _promising(view: memoryview) -> bool:
    """Whether a sample from the middle becomes smaller."""
    if view.nbytes <= _SAMPLE:
        return True
    middle = (view.nbytes - _SAMPLE) // 2
    return len(zstd.compress(view[middle : middle + _SAMPLE], _LEVEL)) <= _SAMPLE * _PAYS


def _compress_blocks(view: memoryview) -> Buffer:
    """The blocks compressed, in memory that grows in place: joining them would hold all of it twice."""
    blocks = [view[i : i + _BLOCK] for i in range(0, view.nbytes, _BLOCK)]
    packed = io.BytesIO()
    with ThreadPoolExecutor(_WORKERS) as pool:  # zstd leaves the interpreter's lock
        for piece in pool.map(lambda block: zstd.compress(block, _LEVEL), blocks):
            packed.write(piece)
    return packed.getbuffer()


def decompress(segment: Segment, *, mutable: bool = True) -> Buffer:
    """The bytes of a segment as they were before compression; writable if they were compressed, or ``bytes``."""
    if segment.codec == "":
        if memoryview(segment.data).nbytes != segment.raw:
            raise DecodeError("a segment has another size than its frame says")
        return segment.data
    if segment.codec != "zstd":
        raise DecodeError(f"a segment is compressed with {segment.codec!r}, which this larder does not know: install a newer one")
    if not mutable:
        return fill_bytes(segment.raw, lambda out: _decompress(memoryview(segment.data), out))
    data = bytearray(segment.raw)
    with memoryview(data) as out:
        _decompress(memoryview(segment.data), out)
    return data


def _decompress(data: memoryview, out: memoryview) -> None:
    """Decompress one zstd frame after the other, until ``out`` is full."""
    read, wrote = 0, 0
    try:
        while read < data.nbytes:
            stream = zstd.ZstdDecompressor()
            while not stream.eof:
                # A piece at a time, since a decompressor copies what it was given and has not used.
                given = data[read : read + _PIECE] if stream.needs_input else data[:0]
                if stream.needs_input and not given:
                    raise DecodeError("a compressed segment ends early")
                piece = stream.decompress(given, _PIECE)
                read += given.nbytes
                if wrote + len(piece) > out.nbytes:
                    raise DecodeError("a compressed segment is larger than its frame says")
                out[wrote : wrote + len(piece)] = piece
                wrote += len(piece)
            read -= len(stream.unused_data)
    except zstd.ZstdError as error:
        raise DecodeError(f"a segment cannot be decompressed: {error}") from None
    if wrote != out.nbytes:
        raise DecodeError("a compressed segment is smaller than its frame says")
