"""What was read last, kept in this process, so that a repeated get of what did not change is one small request.

Nothing is given out that a node has not just confirmed: the request has the ETag of what is kept, and only the
answer 304 lets it be used. A value is decoded anew each time, from memory that is copied where it is changed, so no
two values share anything. Sizes below 64 KiB are not kept. LARDER_LOCAL_CACHE is how many bytes may be kept.
"""

from __future__ import annotations

import mmap
import os
import re
import tempfile
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

from larder import compress, settings
from larder.disk import Disk, Stored
from larder.errors import ConfigError, DecodeError, IntegrityError, NotFound
from larder.frame import Frame, Place, Segment, Source
from larder.http1 import Response

_SMALL = 64 << 10
_DEFAULT = 1 << 30  # bytes, where only a folder is named
_ALIGN = 64  # arrays begin at multiples of it
_UNITS = {"": 1, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30, "TiB": 1 << 40}

Receive = Callable[[Response], Frame]
Send = Callable[[Mapping[str, str], Receive], Frame]
Read = Callable[[Source, int, Mapping[str, str]], Frame]

_tiers: dict[tuple[int, str], Tier] = {}


@dataclass(frozen=True)
class _Entry:
    """A verified frame, its segments decompressed, in a file without a name; or bytes, which nobody can change."""

    etag: str
    digest: str
    header: Mapping[str, Any]
    signed: bool
    sizes: list[int]
    held: _File | bytes
    size: int

    def frame(self) -> Frame:
        """The frame, in memory of its own as soon as that is changed."""
        if isinstance(self.held, bytes):
            return Frame(dict(self.header), [Segment(self.held, self.size)], self.signed)
        view = memoryview(mmap.mmap(self.held.number, self.size, access=mmap.ACCESS_COPY))
        segments, at = [], 0
        for n in self.sizes:
            segments.append(Segment(view[at : at + n], n))
            at += _aligned(n)
        return Frame(dict(self.header), segments, self.signed)


class _Changed(Exception):
    """What is kept is not what the node has."""


class Tier:
    """The last frames by key, up to so many bytes. Safe for threads, and across forks."""

    def __init__(self, limit: int, folder: str) -> None:
        self._limit = limit
        self._disk = Disk(folder, limit) if folder else None
        self._entries: OrderedDict[str, _Entry] = OrderedDict()  # the last used is last
        self.renew_lock()

    def renew_lock(self) -> None:
        """Make the lock anew: in a forked process nobody may hold that of the parent, who may have been about to count an entry."""
        self._lock = threading.Lock()  # of the entries and their size
        self._size = sum(entry.size for entry in self._entries.values())

    def load(self, place: Place, scope: bytes, send: Send, read: Read) -> Frame:
        """The frame of a place: what is kept, if a node confirms it, else what the node sends."""
        name = blake3(scope + place.encoded()).hexdigest()
        with self._lock:
            entry = self._entries.get(name)
        stored = self._disk.find(name) if entry is None and self._disk else None
        kept = entry or stored
        if kept is not None:
            try:
                return send({"If-None-Match": kept.etag}, lambda answer: self._receive(answer, name, kept, read))
            except _Changed:
                self._forget(name)
            except NotFound as error:
                if error.status == 404:  # else it is there, and does not count for who asks
                    self._forget(name)
                raise
        return send({}, lambda answer: self._receive(answer, name, None, read))

    def _receive(self, answer: Response, name: str, kept: _Entry | Stored | None, read: Read) -> Frame:
        if answer.status == 304 and kept is not None:
            return self._confirmed(answer, name, kept, read)
        etag, digest = answer.headers.get("etag", ""), answer.headers.get("repr-digest", "")
        if answer.size < 0 or not etag:
            return read(answer, answer.size, answer.headers)
        if self._disk is None or not _SMALL <= answer.size <= self._limit:
            return self._keep(name, etag, digest, read(answer, answer.size, answer.headers))
        with self._disk.tee(name, answer, answer.headers) as source:
            found = read(source, answer.size, answer.headers)
        return self._keep(name, etag, digest, found)

    def _confirmed(self, answer: Response, name: str, kept: _Entry | Stored, read: Read) -> Frame:
        stated = answer.headers.get("repr-digest", "")
        if stated and kept.digest and stated != kept.digest:
            raise _Changed
        if isinstance(kept, _Entry):
            with self._lock:
                if name in self._entries:
                    self._entries.move_to_end(name)
            return kept.frame()
        try:
            with kept.open() as file:
                found = read(file, kept.size, kept.headers)
        except (OSError, EOFError, DecodeError, IntegrityError):  # the file was damaged, or went away
            raise _Changed from None
        return self._keep(name, kept.etag, kept.digest, found)

    def _keep(self, name: str, etag: str, digest: str, found: Frame) -> Frame:
        """Keep a frame that was verified, and return it with its segments decompressed."""
        size = sum(_aligned(s.raw) for s in found.segments)
        if not _SMALL <= size <= self._limit:
            return found
        as_bytes = found.header.get("format") == "bytes" and len(found.segments) == 1
        segments = [Segment(compress.decompress(s, mutable=not as_bytes), s.raw) for s in found.segments]
        frame = Frame(found.header, segments, found.signed)
        first = segments[0].data
        try:
            held = first if as_bytes and isinstance(first, bytes) else _memory(segments, size)
        except OSError:  # no memory or file is to be had: then nothing is kept
            return frame
        size = len(held) if isinstance(held, bytes) else size
        entry = _Entry(etag, digest, dict(found.header), found.signed, [s.raw for s in segments], held, size)
        with self._lock:
            self._drop(name)
            self._entries[name] = entry
            self._size += size
            while self._size > self._limit:
                self._drop(next(iter(self._entries)))
        return frame

    def _forget(self, name: str) -> None:
        with self._lock:
            self._drop(name)
        if self._disk:
            self._disk.remove(name)

    def _drop(self, name: str) -> None:
        """Drop an entry; who uses it still has its file. The lock is held."""
        entry = self._entries.pop(name, None)
        if entry is not None:
            self._size -= entry.size


def _aligned(size: int) -> int:
    return -(-size // _ALIGN) * _ALIGN


class _File:
    """A file without a name, closed when nobody has it any more."""

    def __init__(self) -> None:
        if hasattr(os, "memfd_create"):
            self.number = os.memfd_create("larder")
        else:
            with tempfile.TemporaryFile() as file:
                self.number = os.dup(file.fileno())

    def __del__(self) -> None:
        os.close(self.number)


def _memory(segments: list[Segment], size: int) -> _File:
    """A file without a name that holds segments. Raises OSError."""
    file = _File()
    os.ftruncate(file.number, size)
    with mmap.mmap(file.number, size) as memory:
        at = 0
        for s in segments:
            memory[at : at + s.raw] = memoryview(s.data).cast("B")
            at += _aligned(s.raw)
    return file


def tier() -> Tier | None:
    """The tier of this process that the settings ask for, or None."""
    folder = os.path.abspath(os.path.expanduser(text)) if (text := settings.setting("local_cache_dir")) else ""
    limit = _parse_size(settings.setting("local_cache"), _DEFAULT if folder else 0)
    if limit == 0:
        return None
    found = _tiers.get((limit, folder))
    return found or _tiers.setdefault((limit, folder), Tier(limit, folder))


def _parse_size(text: str, default: int) -> int:
    if not text:
        return default
    found = re.fullmatch(r"(\d+)\s*([KMGT]iB)?", text)
    if not found:
        raise ConfigError(f"LARDER_LOCAL_CACHE is a number of bytes, such as 1073741824 or 1GiB, not {text!r}")
    return int(found[1]) * _UNITS[found[2] or ""]


def _renew_locks() -> None:
    for each in _tiers.values():
        each.renew_lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_renew_locks)
