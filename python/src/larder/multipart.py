"""Multipart bodies as batches have them (RFC 2046, section 5.1): each part states its length."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Mapping
from typing import Any

from larder.answers import MARK
from larder.errors import ConfigError
from larder.http1 import Malformed, Response

_BUFFER = 64 << 10
_MAX_HEAD = 64 << 10
_PIECE = 1 << 20
_KIND = re.compile(r'multipart/mixed\s*;\s*boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)


class Part:
    """The answer for one object of a batch, read as an answer to a request of its own is."""

    def __init__(self, reader: io.BufferedReader, headers: Mapping[str, str]) -> None:
        self._reader = reader
        self.headers = headers
        try:
            self.status = int(headers["larder-status"])
            self.size = self._left = int(headers["content-length"])
        except (KeyError, ValueError):
            raise Malformed("a part of a batch has no status, or no length") from None
        if self.size < 0:
            raise Malformed("a part of a batch has a negative length")
        self.reason = ""
        self._ended = False

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes of the part, or what is left of it, if that is less."""
        n = min(size, self._left) if size >= 0 else self._left
        data = self._reader.read(n)
        self._count(len(data), n)
        return data

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer with the part, or with what is left of it, and say with how much."""
        n = min(buffer.nbytes, self._left)
        self._count(self._reader.readinto(buffer[:n]), n)
        return n

    def _count(self, got: int, wanted: int) -> None:
        if got < wanted:
            raise EOFError("the connection ended within a part of a batch")
        self._left -= got

    def end(self) -> None:
        """Read what is left, and what ends the part. Raises Malformed if the part is of another length than it says."""
        if self._ended:
            return
        while self._left:
            self.read(_PIECE)
        if self._reader.read(2) != b"\r\n":
            raise Malformed("a part of a batch is not as long as it says")
        self._ended = True


class _Body(io.RawIOBase):
    """The body of an answer, as a file."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        return self._answer.readinto1(memoryview(buffer))


def parts(answer: Response, what: str) -> Iterator[Part]:
    """The parts of an answer, each of which is over when the next is asked for. Raises ConfigError for what has none."""
    found = _KIND.fullmatch(answer.headers.get("content-type", ""))
    if found is None:
        raise ConfigError(f"{what}: what answers has no parts, but {answer.headers.get('content-type', 'no type')}")
    delimiter = b"--" + found[1].encode()
    reader: io.BufferedReader = io.BufferedReader(_Body(answer), _BUFFER)
    line = reader.readline(_MAX_HEAD)
    if line == b"\r\n":  # before the end of a body without parts
        line = reader.readline(_MAX_HEAD)
    while line == delimiter + b"\r\n":
        part = Part(reader, {MARK: answer.headers.get(MARK, ""), **_head(reader)})
        yield part
        part.end()
        line = reader.readline(_MAX_HEAD)
    if line.rstrip() != delimiter + b"--":
        raise (Malformed if line else EOFError)("a batch does not end as it says")
    while reader.read(_PIECE):
        pass


def _head(reader: io.BufferedReader) -> dict[str, str]:
    """The header fields of a part, by name in lower case."""
    end = reader.peek(1).find(b"\r\n\r\n")  # usually it has arrived at once
    text = reader.read(end + 4) if end >= 0 else b""
    while not text.endswith(b"\r\n\r\n"):
        line = reader.readline(_MAX_HEAD)
        text += line
        if not line:
            raise EOFError("the connection ended within a part of a batch")
        if len(text) > _MAX_HEAD:
            raise Malformed("the head of a part is too long")
    try:
        fields = [field.split(":", 1) for field in text.decode("latin-1").split("\r\n")[:-2]]
        return {name.lower(): value.strip() for name, value in fields}  # each is there once
    except ValueError:
        raise Malformed("a part of a batch has a line that is no field") from None
