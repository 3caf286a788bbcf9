"""Frames: what this client puts into the cache, as bytes. docs/python.md describes them byte by byte.

A frame is a prelude of 16 bytes, a header in JSON, the segments that the header lists, and a seal. Nothing
in a frame is unpickled or decompressed before its seal has been verified.

The seal ends the frame, so that one pass makes it. A signature is HMAC-SHA256 over the place (org, service,
key) and the BLAKE3 digest of all that precedes it: it must hold against people. The seal of a frame that is
not signed finds damage only, which is what XXH3 of 128 bits is for, in a sixth of the time.
"""

from __future__ import annotations

import hashlib
import hmac
import io
import json
import mmap
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple, Protocol

from blake3 import blake3
from xxhash import xxh3_128

from larder.bounds import check_size
from larder.errors import DecodeError, EncodeError, IntegrityError, NotAFrame

MAGIC = b"\x89LARDER\n"
VERSION = 2
SIGNED = 1  # a flag of the prelude
CONTENT_TYPE = "application/vnd.larder.frame"

_PRELUDE = struct.Struct("<8sBBHI")  # magic, version, flags, zero, length of the header
_MAX_HEADER = 16 << 20
_SMALL = 64 << 10  # a frame of no more bytes is received before it is looked at
_WHOLE = 1 << 20  # more bytes are received by pieces
_PIECE = 1 << 20  # bytes that are received, hashed and reported at a time
_MOST = 32 << 10  # times as large as a segment is what zstd can make of it: 128 KiB of four bytes (RFC 8878, section 3.1.1.2)
_COMMON = 1 << 10  # bytes of a header that is remembered
_DOMAIN = b"larder-frame-2\0"
Buffer = bytes | bytearray | memoryview


class Place(NamedTuple):
    """Where a frame belongs. A signature holds for one place only."""

    org: str
    service: str
    key: str

    def encoded(self) -> bytes:
        """Self-delimiting: each part after its length in four bytes, little-endian."""
        parts = [part.encode() for part in (self.org, self.service, self.key)]
        return b"".join(struct.pack("<I", len(part)) + part for part in parts)


@dataclass(slots=True)
class Segment:
    """A run of bytes in a frame. ``raw`` is its size before compression. The first of a frame is read only."""

    data: Buffer
    raw: int
    codec: str = ""  # "" or "zstd"


@dataclass(slots=True)
class Frame:
    """A frame that was read and verified."""

    header: dict[str, Any]
    segments: list[Segment]
    signed: bool


@dataclass(frozen=True)
class Sealed:
    """A frame ready to be sent.

    ``digest`` is that of all but the seal, which the reader compares; ``sha256`` is that of all ``parts``,
    which the node compares.
    """

    parts: list[Buffer]
    size: int
    digest: bytes
    sha256: bytes


class _Hash(Protocol):
    """A digest in the making."""

    def update(self, data: Buffer, /) -> object: ...
    def digest(self) -> bytes: ...


class Source(Protocol):
    """Bytes as they come in."""

    def read(self, size: int, /) -> bytes: ...
    def readinto(self, buffer: memoryview, /) -> int: ...


def seal(header: dict[str, Any], segments: Sequence[Segment], place: Place, signing_key: bytes | None) -> Sealed:
    """Make a frame of a header and segments. The segments' bytes are not copied."""
    listed = [{"size": _size(s.data), "raw": s.raw, "codec": s.codec} for s in segments]
    try:
        text = json.dumps({**header, "segments": listed}, ensure_ascii=False, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise EncodeError(f"the header of a frame is not JSON: {error}") from error
    if len(text) > _MAX_HEADER:
        raise EncodeError(f"the header of a frame has {len(text)} bytes, at most {_MAX_HEADER} are read")
    flags = SIGNED if signing_key is not None else 0
    parts: list[Buffer] = [_PRELUDE.pack(MAGIC, VERSION, flags, 0, len(text)) + text]
    parts += [s.data for s in segments]
    hashed, sha256 = _hash(signing_key is not None), hashlib.sha256()
    for part in parts:
        view = memoryview(part).cast("B")
        for at in range(0, view.nbytes, _PIECE):
            hashed.update(view[at : at + _PIECE])
            sha256.update(view[at : at + _PIECE])
    digest = hashed.digest()
    parts.append(_seal_of(digest, place, signing_key))
    sha256.update(parts[-1])
    return Sealed(parts, sum(map(_size, parts)), digest, sha256.digest())


def _hash(signed: bool) -> _Hash:
    return blake3() if signed else xxh3_128()


def _seal_size(signed: bool) -> int:
    return 32 if signed else 16


def _seal_of(digest: bytes, place: Place, signing_key: bytes | None) -> bytes:
    if signing_key is None:
        return digest
    return hmac.digest(signing_key, _DOMAIN + place.encoded() + digest, "sha256")


def _size(data: Buffer) -> int:
    return data.nbytes if isinstance(data, memoryview) else len(data)


Fill = Callable[[memoryview], int]  # fills the beginning of a buffer, and returns how much of it; 0 at the end


class _Filled(io.RawIOBase):
    """So many bytes from a Fill."""

    def __init__(self, size: int, fill: Fill) -> None:
        self._left = size
        self._fill = fill

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        n = self._fill(memoryview(buffer)[: self._left]) if self._left else 0
        self._left -= n
        return n


def fill_bytes(size: int, fill: Fill) -> bytes:
    """Bytes that are filled in place. Their memory is touched only as they come. Raises EOFError, DecodeError."""
    try:
        data = io.BufferedReader(_Filled(size, fill)).read(size)
    except (MemoryError, OverflowError):
        raise _no_memory(size) from None
    if len(data) != size:
        raise EOFError(f"{len(data)} bytes came of {size}")
    return data


def writable(size: int, fill: Fill) -> Buffer:
    """As fill_bytes, for bytes that may be changed."""
    try:
        # A bytearray would be set to zero, byte by byte, before the first one comes.
        data: Buffer = memoryview(_mapping(size)) if size > _WHOLE else bytearray(size)
    except (MemoryError, OverflowError, ValueError, OSError):
        raise _no_memory(size) from None
    with memoryview(data) as view:
        at = 0
        while at < size:
            n = fill(view[at:])
            if n == 0:
                raise EOFError(f"{at} bytes came of {size}")
            at += n
    return data


def _mapping(size: int) -> mmap.mmap:
    """Memory of this process alone: what a child changes after a fork is the child's."""
    if sys.platform == "win32":
        return mmap.mmap(-1, size)
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def _no_memory(size: int) -> DecodeError:
    return DecodeError(f"there is no memory here for {size} bytes, which an object says that it has")


class _Incoming:
    """What follows a frame's prelude. Reads exactly what is asked for, and hashes all of it."""

    def __init__(self, source: Source, size: int, hashed: _Hash, progress: Callable[[int], None] | None) -> None:
        self.source = source
        self.left = size
        self.hashed = hashed
        self.progress = progress

    def take(self, size: int) -> bytes:
        """So many bytes, to be read only."""
        self._count(size)
        if size > _WHOLE:
            return fill_bytes(size, self._read_into)
        data = self.source.read(size) if size else b""
        if len(data) != size:
            raise EOFError("the connection ended within a frame")
        self.hashed.update(data)
        if self.progress:
            self.progress(size)
        return data

    def take_writable(self, size: int) -> Buffer:
        """So many bytes, to be changed by whom they are given to."""
        self._count(size)
        return writable(size, self._read_into)

    def take_seal(self) -> bytes:
        """What is left, which is the seal, and is not hashed."""
        seal = self.source.read(self.left)
        if len(seal) != self.left:
            raise EOFError("the connection ended within a frame")
        return seal

    def _count(self, size: int) -> None:
        """Take note of what will be read, before memory is taken for it."""
        if size > self.left:
            raise _too_long(size, self.left)
        self.left -= size

    def _read_into(self, view: memoryview) -> int:
        n = self.source.readinto(view[:_PIECE])
        self.hashed.update(view[:n])
        if self.progress:
            self.progress(n)
        return n


def read(
    source: Source,
    size: int,
    place: Place,
    signing_keys: Sequence[bytes],
    *,
    digest: bytes | None = None,
    limit: int | None = None,
    progress: Callable[[int], None] | None = None,
) -> Frame:
    """Read a frame of ``size`` bytes and verify it.

    With signing keys, the frame must be signed with one of them for this place. ``digest`` is what its writer
    stated beside it, and ``limit`` the most bytes that its value may have.
    Raises NotAFrame, DecodeError or IntegrityError; EOFError if the source ends early.
    """
    if size < _PRELUDE.size:
        raise _not_a_frame(place)
    unverified = _read_small(source, size, place, limit) if size <= _SMALL else _read_large(source, size, place, limit, progress)
    frame, content, found = unverified
    if digest is not None and not hmac.compare_digest(digest, content):
        raise IntegrityError(f"the bytes of {place.key!r} that arrived are not those that were written: their digest is another")
    _verify(found, content, frame.signed, place, signing_keys)
    return frame


def _read_large(
    source: Source, size: int, place: Place, limit: int | None, progress: Callable[[int], None] | None
) -> tuple[Frame, bytes, bytes]:
    """Read a frame, and hash it as it comes. Returns it with the digest of all but the seal, and the seal."""
    prelude = source.read(_PRELUDE.size)
    if len(prelude) != _PRELUDE.size:
        raise EOFError("the connection ended within a frame")
    signed, length = _read_prelude(prelude, place)
    hashed = _hash(signed)
    hashed.update(prelude)
    incoming = _Incoming(source, size - _PRELUDE.size, hashed, progress)
    header, listed = _read_header(incoming.take(length), place, limit)
    segments: list[Segment] = []
    for n, raw, codec in listed:
        # What a value is made of comes in the later segments, and shall be the caller's to change.
        data = incoming.take_writable(n) if segments and not codec else incoming.take(n)
        segments.append(Segment(data, raw, codec))
    if incoming.left != _seal_size(signed):
        raise _wrong_end(place, incoming.left, signed)
    return Frame(header, segments, signed), hashed.digest(), incoming.take_seal()


def _read_small(source: Source, size: int, place: Place, limit: int | None) -> tuple[Frame, bytes, bytes]:
    """As _read_large, by one read and one pass of the hash."""
    data = source.read(size)
    if len(data) != size:
        raise EOFError("the connection ended within a frame")
    signed, length = _read_prelude(data[: _PRELUDE.size], place)
    at, end = _PRELUDE.size + length, size - _seal_size(signed)
    if at > size:
        raise _too_long(length, size - _PRELUDE.size)
    header, listed = _read_header(data[_PRELUDE.size : at], place, limit)
    segments: list[Segment] = []
    for n, raw, codec in listed:
        if n > size - at:
            raise _too_long(n, size - at)
        part = data[at : at + n]
        segments.append(Segment(bytearray(part) if segments and not codec else part, raw, codec))
        at += n
    if at != end:
        raise _wrong_end(place, size - at, signed)
    hashed = _hash(signed)
    hashed.update(memoryview(data)[:end])
    return Frame(header, segments, signed), hashed.digest(), data[end:]


def _too_long(size: int, left: int) -> DecodeError:
    return DecodeError(f"a frame says that it goes on for {size} bytes where {left} are left")


def _wrong_end(place: Place, left: int, signed: bool) -> DecodeError:
    return DecodeError(f"{place.key!r} has {left} bytes where its frame has a seal of {_seal_size(signed)}")


def _read_prelude(prelude: bytes, place: Place) -> tuple[bool, int]:
    """Reports whether the frame is signed, and the length of its header."""
    magic, version, flags, zero, length = _PRELUDE.unpack(prelude)
    if magic != MAGIC:
        raise _not_a_frame(place)
    if version < VERSION:
        raise DecodeError(f"{place.key!r} is a frame of version {version}; this larder reads version {VERSION}: have it written again")
    if version > VERSION or flags & ~SIGNED or zero:
        raise DecodeError(
            f"{place.key!r} is a frame of version {version}, flags {flags}; this larder reads version {VERSION}: install a newer one"
        )
    if length > _MAX_HEADER:
        raise DecodeError(f"{place.key!r} has a header of {length} bytes, at most {_MAX_HEADER} are read")
    return bool(flags & SIGNED), length


def _read_header(text: bytes, place: Place, limit: int | None) -> tuple[dict[str, Any], Sequence[tuple[int, int, str]]]:
    """The header of a frame, and its segments."""
    try:
        header, listed = _parsed(text) if len(text) <= _COMMON else _parsed.__wrapped__(text)
    except ValueError as error:
        raise DecodeError(f"{place.key!r} has a header that {error}") from None
    check_size(sum([raw for _, raw, _ in listed]), place.key, limit)
    return header.copy(), listed


def _not_a_frame(place: Place) -> NotAFrame:
    return NotAFrame(f"{place.key!r} was not written by this client; get_raw returns its bytes")


@lru_cache(maxsize=128)
def _parsed(text: bytes) -> tuple[dict[str, Any], Sequence[tuple[int, int, str]]]:
    """As _read_header. Objects that are alike have the same header. Raises ValueError."""
    try:
        header = json.loads(text.decode())
    except (ValueError, RecursionError) as error:
        raise ValueError(f"is not JSON: {error}") from None
    if not isinstance(header, dict):
        raise ValueError("is no object")
    segments = header.pop("segments", None)
    if not isinstance(segments, list):
        raise ValueError("lists no segments")
    listed = []
    for s in segments:
        size, raw, codec = (s.get("size"), s.get("raw"), s.get("codec")) if isinstance(s, dict) else (None, None, None)
        if type(size) is not int or type(raw) is not int or type(codec) is not str or size < 0 or raw < 0:
            raise ValueError("lists a segment without size, raw and codec")
        if raw > size * (_MOST if codec else 1):
            raise ValueError(f"says that {size} bytes of it are {raw} before compression, which cannot be")
        listed.append((size, raw, codec))
    return header, listed


def _verify(found: bytes, content: bytes, signed: bool, place: Place, signing_keys: Sequence[bytes]) -> None:
    if signing_keys:
        if not signed:
            raise IntegrityError(
                f"{place.key!r} is not signed, and a signing key is set here: have it written again by a client with that key"
            )
        matches = [hmac.compare_digest(found, _seal_of(content, place, key)) for key in signing_keys]
        if not any(matches):
            raise IntegrityError(
                f"the signature of {place.key!r} does not verify with the signing key set here: it was signed with another key, "
                "altered, or copied from another place"
            )
    elif not signed and not hmac.compare_digest(found, content):
        raise IntegrityError(f"{place.key!r} was altered or damaged: its checksum does not match")
