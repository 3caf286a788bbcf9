"""zstd, above a small size and when it pays."""

from __future__ import annotations

import io
import sys
from concurrent.futures import ThreadPoolExecutor

from larder.errors import DecodeError
from larder.frame import Buffer, Segment, fill_bytes, writable

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
_FRAME_HEADER = 18  # bytes at most (RFC 8878, section 3.1.1.1)


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
    """Reports whether a sample from the middle becomes smaller."""
    if view.nbytes <= _SAMPLE:
        return True
    middle = (view.nbytes - _SAMPLE) // 2
    return len(zstd.compress(view[middle : middle + _SAMPLE], _LEVEL)) <= _SAMPLE * _PAYS


def _compress_blocks(view: memoryview) -> Buffer:
    """The blocks compressed, in memory that grows in place: joining them would hold all of it twice."""
    blocks = [view[i : i + _BLOCK] for i in range(0, view.nbytes, _BLOCK)]
    packed = io.BytesIO()
    with ThreadPoolExecutor(_WORKERS) as pool:  # zstd leaves the interpreter's lock
        try:
            pieces = pool.map(_compress_block, blocks)
        except RuntimeError:  # no thread can be had any more, for example while the interpreter ends
            pieces = map(_compress_block, blocks)
        for piece in pieces:
            packed.write(piece)
    return packed.getbuffer()


def _compress_block(block: memoryview) -> bytes:
    return zstd.compress(block, _LEVEL)


def decompress(segment: Segment, *, mutable: bool = True) -> Buffer:
    """The bytes of a segment as they were before compression; writable if they were compressed, or ``bytes``."""
    if segment.codec == "":
        if memoryview(segment.data).nbytes != segment.raw:
            raise DecodeError("a segment has another size than its frame says")
        return segment.data
    if segment.codec != "zstd":
        raise DecodeError(f"a segment is compressed with {segment.codec!r}, which this larder does not know: install a newer one")
    stream = _Decompression(memoryview(segment.data), segment.raw)
    try:
        data = writable(segment.raw, stream.read_into) if mutable else fill_bytes(segment.raw, stream.read_into)
        stream.end()
    except zstd.ZstdError as error:
        raise DecodeError(f"a segment cannot be decompressed: {error}") from None
    except EOFError:
        raise DecodeError("a compressed segment is smaller than its frame says") from None
    return data


class _Decompression:
    """Decompresses one zstd frame after the other, a piece at a time, to ``size`` bytes in all."""

    def __init__(self, data: memoryview, size: int) -> None:
        self._data = data
        self._at = 0
        self._left = size
        self._stream: zstd.ZstdDecompressor | None = None

    def read_into(self, out: memoryview) -> int:
        """Fill the beginning of ``out``, and return how much of it; 0 at the end."""
        while self._stream is not None or self._at < self._data.nbytes:
            stream = self._stream = self._stream or self._begin()
            # A decompressor copies what it was given and has not used.
            given = self._data[self._at : self._at + _PIECE] if stream.needs_input else self._data[:0]
            if stream.needs_input and not given:
                raise DecodeError("a compressed segment ends early")
            piece = stream.decompress(given, max(1, min(_PIECE, out.nbytes)))
            self._at += given.nbytes
            if stream.eof:
                self._at -= len(stream.unused_data)
                self._stream = None
            if piece:
                self._count(len(piece))
                out[: len(piece)] = piece
                return len(piece)
        return 0

    def end(self) -> None:
        """Check that nothing is left."""
        if self._left or self.read_into(memoryview(bytearray(1))):
            raise DecodeError("a compressed segment is smaller than its frame says")

    def _begin(self) -> zstd.ZstdDecompressor:
        stated = zstd.get_frame_info(self._data[self._at : self._at + _FRAME_HEADER]).decompressed_size
        if stated is not None and stated > self._left:
            raise DecodeError("a compressed segment is larger than its frame says")
        return zstd.ZstdDecompressor()

    def _count(self, size: int) -> None:
        if size > self._left:
            raise DecodeError("a compressed segment is larger than its frame says")
        self._left -= size
