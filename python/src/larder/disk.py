"""Frames in a folder of this machine, for the processes of one user. Each file is verified when it is read.

A file is a line of JSON, with ETag, digests and size, and then the frame as it came. It is written beside its place
and renamed, so that nobody sees a part of it; its owner alone may read it. The least recently used go first.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, BinaryIO

from larder.errors import ConfigError, warn
from larder.frame import Source

_SUFFIX = ".frame"
_MAX_LINE = 8 << 10
_KEPT = ("etag", "repr-digest", "larder-meta-digest")  # of the headers of an answer


@dataclass(frozen=True)
class Stored:
    """A frame in a file. ``headers`` are those of the answer that it came in."""

    path: str
    headers: Mapping[str, str]
    size: int

    @property
    def etag(self) -> str:
        """The version that it is of."""
        return self.headers["etag"]

    @property
    def digest(self) -> str:
        """The answer's Repr-Digest, or empty text."""
        return self.headers.get("repr-digest", "")

    def open(self) -> io.BufferedReader:
        """The file, at the beginning of the frame. Raises OSError."""
        file = _open(self.path)
        file.readline(_MAX_LINE)
        os.utime(file.fileno())
        return file


class Disk:
    """A folder of frames, up to so many bytes. Safe for threads and processes. A fault of the folder is warned of once."""

    def __init__(self, folder: str, limit: int) -> None:
        self._folder = folder
        self._limit = limit
        self._warned = False
        try:
            os.makedirs(folder, mode=0o700, exist_ok=True)
            stat = os.stat(folder)
        except OSError as error:
            raise ConfigError(f"LARDER_LOCAL_CACHE_DIR {folder} cannot be made or used: {error.strerror}") from None
        if os.name == "posix" and (stat.st_uid != os.geteuid() or stat.st_mode & 0o022):
            raise ConfigError(
                f"LARDER_LOCAL_CACHE_DIR {folder} belongs to somebody else, or others may write there: name a folder of your own"
            )

    def _path(self, name: str) -> str:
        return os.path.join(self._folder, name + _SUFFIX)

    def find(self, name: str) -> Stored | None:
        """The frame of a name, as far as its first line tells."""
        path = self._path(name)
        try:
            with _open(path) as file:
                line = file.readline(_MAX_LINE)
                about = json.loads(line)
                whole = os.fstat(file.fileno()).st_size == len(line) + about["size"]
            headers = {key: about["headers"][key] + "" for key in _KEPT if key in about["headers"]}
            return Stored(path, headers, about["size"]) if whole and headers["etag"] else None
        except (OSError, ValueError, TypeError, KeyError):
            return None

    @contextlib.contextmanager
    def tee(self, name: str, source: Any, headers: Mapping[str, str]) -> Iterator[Source]:
        """A source that writes into a file what is read from it. The file gets its name if nothing is raised."""
        line = json.dumps({"size": source.size, "headers": {key: headers[key] for key in _KEPT if key in headers}}).encode() + b"\n"
        try:
            number, path = tempfile.mkstemp(dir=self._folder)  # which only its owner may read
        except OSError as error:
            self._warn(error)
            yield source
            return
        try:
            with os.fdopen(number, "wb", buffering=0) as file:
                both = _Tee(source, file, line)
                yield both
            self._commit(path, self._path(name), both.fault)
        finally:
            with contextlib.suppress(OSError):
                os.unlink(path)

    def _commit(self, path: str, place: str, fault: OSError | None) -> None:
        try:
            if fault is not None:
                raise fault
            os.replace(path, place)
            self._evict()
        except OSError as error:
            self._warn(error)

    def remove(self, name: str) -> None:
        """Remove the file of a name."""
        with contextlib.suppress(OSError):
            os.unlink(self._path(name))

    def _evict(self) -> None:
        with os.scandir(self._folder) as entries:
            files = [(e.stat(), e.path) for e in entries if e.name.endswith(_SUFFIX)]
        size = sum(stat.st_size for stat, _ in files)
        for stat, path in sorted(files, key=lambda f: f[0].st_mtime_ns):
            if size <= self._limit:
                return
            with contextlib.suppress(OSError):
                os.unlink(path)
            size -= stat.st_size

    def _warn(self, error: OSError) -> None:
        if not self._warned:
            self._warned = True
            warn(f"nothing more is kept in LARDER_LOCAL_CACHE_DIR {self._folder}: {error.strerror or error}")


class _Tee:
    """Reads from a source, and writes what it read into a file as long as that goes."""

    def __init__(self, source: Source, file: io.FileIO | BinaryIO, line: bytes) -> None:
        self._source = source
        self._file = file
        self.fault: OSError | None = None
        self._write(memoryview(line))

    def read(self, size: int, /) -> bytes:
        data = self._source.read(size)
        self._write(memoryview(data))
        return data

    def readinto(self, buffer: memoryview, /) -> int:
        n = self._source.readinto(buffer)
        self._write(buffer[:n])
        return n

    def _write(self, data: memoryview) -> None:
        try:
            while data and self.fault is None:
                data = data[self._file.write(data) :]
        except OSError as error:
            self.fault = error


def _open(path: str) -> io.BufferedReader:
    """A file of one's own. Raises OSError for any other."""
    file = os.fdopen(os.open(path, os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0)), "rb")
    stat = os.fstat(file.fileno())
    if os.name == "posix" and (stat.st_uid != os.geteuid() or stat.st_mode & 0o077):
        file.close()
        raise PermissionError(f"others may read or write {path}")
    return file
