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
_MAX_HEADERS = 200
_ENDLESS = sys.maxsize  # of a body that ends with its connection

_STATUS = re.compile(rb"HTTP/1\.([01]) (\d{3})(?: ([^\r\n]*))?\r?\n")
_CHUNK = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[^\r\n]*)?\r?\n")


class Malformed(Exception):
    """What arrived is not HTTP."""


class Headers(dict[str, str]):
    """The headers of an answer, by their names in lower case."""

    def __missing__(self, name: str) -> str:
        return ""


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
        elif coding := self.headers["transfer-encoding"].lower():
            if coding != "chunked":
                raise Malformed(f"an answer has the transfer coding {coding!r}")
            self._chunked = True
        elif length := self.headers["content-length"]:
            self.size = self._left = _length(length)
        else:
            self._left = _ENDLESS
        close = {"close"} & {token.strip().lower() for token in self.headers["connection"].split(",")}
        self.persistent = persistent and not close and self._left != _ENDLESS

    @property
    def finished(self) -> bool:
        """Whether the body was read to its end."""
        return self._left == 0 and not self._chunked

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes of the body, or what is left of it, if that is less."""
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
            _read_headers(self._reader)  # trailers
            self._chunked = False


def _length(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Malformed(f"an answer has the length {text[:40]!r}")
    return int(text)


def _read_head(reader: io.BufferedReader) -> tuple[int, str, bool, Headers]:
    line = reader.readline(_MAX_LINE)
    if not line:
        raise ConnectionError("the node closed the connection")
    found = _STATUS.fullmatch(line)
    if not found:
        raise Malformed(f"an answer begins with {line[:40]!r}, which is not HTTP")
    return int(found[2]), (found[3] or b"").decode("latin-1"), found[1] == b"1", _read_headers(reader)


def _read_headers(reader: io.BufferedReader) -> Headers:
    headers = Headers()
    for _ in range(_MAX_HEADERS):
        line = reader.readline(_MAX_LINE)
        if line in (b"\r\n", b"\n"):
            return headers
        if not line.endswith(b"\n"):
            raise Malformed("a header of an answer is too long") if len(line) == _MAX_LINE else EOFError("an answer ended in its head")
        name, colon, value = line.decode("latin-1").partition(":")
        if not colon or not name or name != name.strip():
            raise Malformed(f"an answer has the header {line[:40]!r}")
        name, value = name.lower(), value.strip()
        headers[name] = f"{headers[name]}, {value}" if name in headers else value
    raise Malformed(f"an answer has more than {_MAX_HEADERS} headers")


class Connection:
    """One connection to a node, and whether it has carried a request before."""

    def __init__(self, node: Node, tls: ssl.SSLContext | None) -> None:
        self.node = node
        self.used = False
        self.idle_since = 0.0
        self._tls = tls
        self._sock: socket.socket | None = None
        self._reader: io.BufferedReader | None = None

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
        self._reader = io.BufferedReader(self._sock.makefile("rb", buffering=0), _BUFFER)

    def send_head(self, method: str, path: str, headers: Mapping[str, str], body: bytes = b"") -> None:
        """Send the head of a request, and with it a body that is small."""
        lines = [f"{method} {self.node.path}{path} HTTP/1.1", f"Host: {self.node.authority}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        for line in lines:
            if not line.isprintable():
                raise BadRequest(f"a request has a line with a control character: {line[:80]!r}")
        self.sock.sendall("\r\n".join([*lines, "\r\n"]).encode() + body)

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
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        reader, sock = self._reader, self._sock
        self._reader = self._sock = None
        if reader is not None:
            reader.close()
        if sock is not None:
            sock.close()

    def __del__(self) -> None:
        self.close()  # as a file does; a client that is dropped keeps no connections
