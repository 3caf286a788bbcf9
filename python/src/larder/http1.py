"""HTTP/1.1 (RFC 9112), as much of it as a client of nodes needs.

A connection carries one exchange at a time: a request whose length is known, then its answer, whatever
framing a node or a proxy before it chose. Bodies are read into the memory that keeps them. The standard
library's http.client does more, and parses the head of an answer as electronic mail, which takes a third
of the time of a small exchange.
"""

from __future__ import annotations

import io
import re
import select
import socket
import ssl
import sys
from collections.abc import Mapping

from larder.config import Node
from larder.errors import BadRequest

_BUFFER = 16 << 10  # holds the head of an answer; a body that is longer goes past it
_MAX_LINE = 64 << 10
_MAX_HEAD = 256 << 10
_MAX_TRAILERS = 100
_ENDLESS = sys.maxsize  # of a body that ends with its connection

_STATUS = re.compile(r"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?\r?\n", re.ASCII)
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


def header_lines(headers: Mapping[str, str]) -> str:
    """Headers as a request has them. Raises BadRequest."""
    for name, value in headers.items():
        if not value.isprintable():
            raise BadRequest(f"the header {name} cannot have a control character: {value!r}")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


class Malformed(Exception):
    """What arrived is not HTTP."""


class Headers:
    """The headers of an answer, which are looked up in its head as it came: few of them are ever wanted."""

    def __init__(self, head: str) -> None:
        self._head = head
        self._lower = head.lower()
        if self._lower.count("\ncontent-length:") + self._lower.count("\ntransfer-encoding:") > 1:
            raise Malformed("an answer says twice how long it is")

    def get(self, name: str) -> str:
        """The value of a header, whose name is given in lower case; empty if there is none."""
        at = self._lower.find(f"\n{name}:")
        if at < 0:
            return ""
        at += len(name) + 2
        return self._head[at : self._head.index("\n", at)].strip()

    def starting(self, prefix: str) -> dict[str, str]:
        """The headers whose names start so, by what follows it in lower case."""
        pairs = (line.partition(":")[::2] for line in self._head.split("\n")[1:])
        return {name[len(prefix) :].lower(): value.strip() for name, value in pairs if name.lower().startswith(prefix)}


class Response:
    """An answer, whose body is being read. Raises EOFError if the connection ends before the body does."""

    def __init__(self, reader: io.BufferedReader, method: str) -> None:
        self._reader = reader
        self.status, self.reason, persistent, self.headers = _read_head(reader)
        self._chunked = False
        self._left = 0  # bytes of the body, or of the present chunk
        self.size = -1  # of the body, if it was announced
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            self.size = 0
        elif coding := self.headers.get("transfer-encoding"):
            if coding.lower() != "chunked":
                raise Malformed(f"an answer has the transfer coding {coding!r}")
            self._chunked = True
        elif length := self.headers.get("content-length"):
            self.size = self._left = _length(length)
        else:
            self._left = _ENDLESS
        close = "close" in self.headers.get("connection").lower()
        self.persistent = persistent and not close and self._left != _ENDLESS

    @property
    def finished(self) -> bool:
        """Whether the body was read to its end."""
        return self._left == 0 and not self._chunked

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes of the body, or what is left of it, if that is less."""
        if 0 <= size <= self._left < _ENDLESS and not self._chunked:
            data = self._reader.read(size)
            self._saw(len(data), size)
            return data
        pieces = []
        while size != 0 and self._more():
            n = self._left if size < 0 else min(size, self._left)
            piece = self._reader.read(-1 if n == _ENDLESS else n)
            self._saw(len(piece), n)
            pieces.append(piece)
            size -= len(piece) if size > 0 else 0
        return b"".join(pieces)  # one piece is not copied

    def readinto(self, buffer: memoryview, /) -> int:
        """Read some of the body into a buffer; 0 at its end."""
        if not self._more():
            return 0
        n = min(buffer.nbytes, self._left)
        got = self._reader.readinto(buffer[:n])
        self._saw(got, n)
        return got

    def _more(self) -> bool:
        if self._left == 0 and self._chunked:
            self._next_chunk()
        return self._left > 0

    def _saw(self, got: int, wanted: int) -> None:
        if self._left == _ENDLESS:
            self._left = 0 if got < wanted else _ENDLESS
            return
        if got < wanted:
            raise EOFError("the connection ended within an answer")
        self._left -= got
        if self._left == 0 and self._chunked and self._reader.readline(3) not in (b"\r\n", b"\n"):
            raise Malformed("a chunk of an answer is longer than it says")

    def _next_chunk(self) -> None:
        line = self._reader.readline(_MAX_LINE)
        found = _CHUNK.fullmatch(line)
        if not found:
            raise Malformed("a chunk of an answer has no size") if line else EOFError("the connection ended within an answer")
        self._left = int(found[1], 16)
        if self._left == 0:
            self._end_chunks()
            self._chunked = False

    def _end_chunks(self) -> None:
        """Pass over the trailers."""
        for _ in range(_MAX_TRAILERS):
            line = self._reader.readline(_MAX_LINE)
            if line in (b"\r\n", b"\n"):
                return
            if not line.endswith(b"\n"):
                raise EOFError("the connection ended within an answer")
        raise Malformed("an answer has too many trailers")


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Malformed(f"an answer has the length {text[:40]!r}")
    return int(text)


def _read_head(reader: io.BufferedReader) -> tuple[int, str, bool, Headers]:
    head = _read_block(reader).decode("latin-1")
    found = _STATUS.match(head)
    if not found:
        raise Malformed(f"an answer begins with {head[:40]!r}, which is not HTTP")
    return int(found[2]), found[3] or "", found[1] == "1", Headers(head)


def _read_block(reader: io.BufferedReader) -> bytes:
    """All lines up to an empty one, and it. Usually they have arrived together."""
    end = reader.peek(1).find(b"\r\n\r\n")
    if end >= 0:
        return reader.read(end + 4)
    lines: list[bytes] = []
    size = 0
    while not lines or lines[-1] not in (b"\r\n", b"\n"):
        lines.append(reader.readline(_MAX_HEAD))
        size += len(lines[-1])
        if size > _MAX_HEAD:
            raise Malformed("the head of an answer is too long")
        if not lines[-1].endswith(b"\n"):
            raise (
                EOFError("the connection ended within the head of an answer") if size else ConnectionError("the node closed the connection")
            )
    return b"".join(lines)


class Connection:
    """One connection to a node, and whether it has carried a request before."""

    def __init__(self, node: Node, tls: ssl.SSLContext | None) -> None:
        self.node = node
        self.used = False
        self.idle_since = 0.0
        self._authority = node.authority
        self._tls = tls
        self._sock: socket.socket | None = None
        self._reader: io.BufferedReader | None = None
        self._poll = select.poll()

    @property
    def sock(self) -> socket.socket:
        if self._sock is None:
            raise ConnectionError("the connection is closed")
        return self._sock

    def connect(self, connect_timeout: float, timeout: float) -> None:
        """Connect, and give each later wait its own timeout. Raises OSError."""
        self._sock = socket.create_connection((self.node.host, self.node.port), connect_timeout)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if self._tls is not None:
            self._sock = self._tls.wrap_socket(self._sock, server_hostname=self.node.host)
        self._sock.settimeout(timeout)
        self._poll.register(self._sock, select.POLLIN)
        self._reader = io.BufferedReader(self._sock.makefile("rb", buffering=0), _BUFFER)

    def send_head(self, method: str, path: str, headers: str, body: bytes = b"") -> None:
        """Send the head of a request, whose headers end their lines, and with it a body that is small."""
        head = f"{method} {self.node.path}{path} HTTP/1.1\r\nHost: {self._authority}\r\n{headers}\r\n"
        self.sock.sendall(head.encode() + body)

    def response(self, method: str) -> Response:
        """The answer to a request. Answers of 1xx before it are passed over."""
        while True:
            response = self.interim(method)
            if response.status >= 200:
                return response

    def interim(self, method: str) -> Response:
        """The next answer, be it one of 1xx."""
        if self._reader is None:
            raise ConnectionError("the connection is closed")
        return Response(self._reader, method)

    def readable(self, seconds: float) -> bool:
        """Whether something arrives within so many seconds: data, or the end."""
        return bool(self._poll.poll(seconds * 1000))

    def close(self) -> None:
        reader, sock = self._reader, self._sock
        self._reader = self._sock = None
        if reader is not None:
            reader.close()
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        self.close()  # as a file does; a client that is dropped keeps no connections
