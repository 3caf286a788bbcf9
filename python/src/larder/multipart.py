"""Multipart bodies as batches have them (RFC 2046, section 5.1): each part states its length."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from larder.answers import MARK
from larder.errors import ConfigError
from larder.frame import Buffer
from larder.http1 import Malformed, Response

_MAX_HEAD = 64 << 10
_PIECE = 1 << 20
_KIND = re.compile(r'multipart/mixed\s*;\s*boundary="?([^";,\s]{1,70})"?', re.IGNORECASE)


class _Body:
    """The body of an answer: ``data`` is what has come of it, and ``at`` how much of that was taken."""

    def __init__(self, answer: Response) -> None:
        self._answer = answer
        self.data = b""
        self.at = 0

    def more(self) -> bool:
        """Wait for more of the body, and report whether there was any."""
        return self._await(1)

    def _await(self, size: int) -> bool:
        """Wait for so many bytes beside those that are here, and report whether they came."""
        pieces: list[Buffer] = [memoryview(self.data)[self.at :]]
        while size > 0 and (came := self._answer.read_pieces()):
            pieces += came
            size -= sum(map(len, came))
        self.data, self.at = b"".join(pieces), 0
        return size <= 0

    def until(self, mark: bytes) -> bytes:
        """All up to the end of the next mark. Raises EOFError, Malformed."""
        while (end := self.data.find(mark, self.at)) < 0:
            if len(self.data) - self.at > _MAX_HEAD:
                raise Malformed("the head of a part is too long")
            if not self.more():
                raise EOFError("the connection ended within a part of a batch")
        end += len(mark)
        found = self.data[self.at : end]
        self.at = end
        return found

    def take(self, size: int) -> bytes:
        """So many bytes. Raises EOFError."""
        missing = self.at + size - len(self.data)
        if missing > 0 and not self._await(missing):
            raise EOFError("the connection ended within a part of a batch")
        begin, self.at = self.at, self.at + size
        return self.data[begin : self.at]


class Part:
    """The answer for one object of a batch, read as an answer to a request of its own is."""

    def __init__(self, body: _Body, headers: Mapping[str, str]) -> None:
        self._body = body
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
        data = self._body.take(n)
        self._left -= n
        return data

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill the beginning of a buffer with the part, and say with how much; 0 at its end."""
        data = self.read(min(buffer.nbytes, _PIECE))
        buffer[: len(data)] = data
        return len(data)

    def end(self) -> None:
        """Read what is left, and what ends the part. Raises Malformed if the part is of another length than it says."""
        if self._ended:
            return
        while self._left:
            self.read(_PIECE)
        if self._body.take(2) != b"\r\n":
            raise Malformed("a part of a batch is not as long as it says")
        self._ended = True


def parts(answer: Response, what: str) -> Iterator[Part]:
    """The parts of an answer, each of which is over when the next is asked for. Raises ConfigError for what has none."""
    found = _KIND.fullmatch(answer.headers.get("content-type", ""))
    if found is None:
        raise ConfigError(f"{what}: what answers has no parts, but {answer.headers.get('content-type', 'no type')}")
    delimiter = b"--" + found[1].encode()
    begins, mark = delimiter + b"\r\n", {MARK: answer.headers.get(MARK, "")}
    body = _Body(answer)
    line = body.until(b"\r\n")
    if line == b"\r\n":  # before the end of a body without parts
        line = body.until(b"\r\n")
    while line == begins:
        part = Part(body, mark | _fields(body.until(b"\r\n\r\n")))
        yield part
        part.end()
        line = body.until(b"\r\n")
    if line.rstrip() != delimiter + b"--":
        raise Malformed("a batch does not end as it says")
    while body.more():
        body.at = len(body.data)


def _fields(head: bytes) -> dict[str, str]:
    """The header fields of a part, by name in lower case."""
    fields = {}
    for line in head[:-4].decode("latin-1").split("\r\n"):  # each is there once
        name, colon, value = line.partition(":")
        if not colon:
            raise Malformed("a part of a batch has a line that is no field")
        fields[name.lower()] = value.strip()
    return fields
