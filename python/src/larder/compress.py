"""zstd, above a small size and when it pays."""

from __future__ import annotations

import sys
from concurrent.futures import ThreadPoolExecutor

from larder.errors import DecodeError
from larder.frame import Buffer, Segment

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


def _compress_blocks(view: memoryview) -> bytes:
    blocks = [view[i : i + _BLOCK] for i in range(0, view.nbytes, _BLOCK)]
    with ThreadPoolExecutor(_WORKERS) as pool:  # zstd leaves the interpreter's lock
        return b"".join(pool.map(lambda block: zstd.compress(block, _LEVEL), blocks))


def decompress(segment: Segment) -> Buffer:
    """The bytes of a segment as they were before compression, writable unless they are empty."""
    if segment.codec == "":
        if memoryview(segment.data).nbytes != segment.raw:
            raise DecodeError("a segment has another size than its frame says")
        return segment.data
    if segment.codec != "zstd":
        raise DecodeError(f"a segment is compressed with {segment.codec!r}, which this larder does not know: install a newer one")
    out = bytearray(segment.raw)
    at, data = 0, memoryview(segment.data)
    try:
        while data:
            stream = zstd.ZstdDecompressor()
            while not stream.eof:
                piece = stream.decompress(data, _BLOCK)
                data = data[data.nbytes :]
                if not piece and stream.needs_input:
                    raise DecodeError("a compressed segment ends early")
                if at + len(piece) > len(out):
                    raise DecodeError("a compressed segment is larger than its frame says")
                out[at : at + len(piece)] = piece
                at += len(piece)
            data = memoryview(stream.unused_data)
    except zstd.ZstdError as error:
        raise DecodeError(f"a segment cannot be decompressed: {error}") from None
    if at != segment.raw:
        raise DecodeError("a compressed segment is smaller than its frame says")
    return out
