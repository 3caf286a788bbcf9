"""HTTP/1.1 (RFC 9112) as a client of nodes uses it: one request at a time on a connection, and its answer.

Answers are parsed by httptools, the parser of Node.js. A body whose size is announced does not pass through
it: such a body is received into the memory that keeps it.
"""

from __future__ import annotations

import io
import os
import select
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any
from weakref import WeakSet

import httptools

from larder.config import Node
from larder.errors import BadRequest

_BUFFER = 16 << 10  # a body that is longer goes past it; no record of TLS is, so none is taken in part
_MAX_HEAD = 256 << 10
_PIECE = 64 << 10
_MAX_INTERIM = 16  # answers of 1xx before the answer
_SLOWEST = 16 << 10  # bytes a second, on average, that an answer may take once it had the time of a silence


def header_lines(headers: Mapping[str, str]) -> str:
    """Headers as a request has them. Raises BadRequest."""
    for name, value in headers.items():
        if not value.isprintable():
            raise BadRequest(f"the header {name} cannot have a control character: {value!r}")
    return "".join([f"{name}: {value}\r\n" for name, value in headers.items()])


Address = tuple[int, int, int, str, Any]  # as getaddrinfo has it


class Malformed(Exception):
    """What arrived is not HTTP."""


class _Message:
    """What the parser finds in an answer."""

    def __init__(self) -> None:
        self.reason = ""
        self.headers: dict[str, str] = {}  # by name in lower case
        self.has_head = self.complete = False
        self.body = bytearray()
        self.pieces: list[bytes] | None = None  # what comes next of the body, instead

    def on_message_begin(self) -> None:
        if self.complete:
            raise Malformed("an answer is followed by another")

    def on_status(self, reason: bytes) -> None:
        self.reason += reason.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        if self.has_head:
            return  # a trailer
        key, text = name.decode("latin-1").lower(), value.decode("latin-1").strip()
        self.headers[key] = f"{self.headers[key]}, {text}" if key in self.headers else text  # RFC 9110, section 5.3

    def on_headers_complete(self) -> None:
        self.has_head = True

    def on_body(self, piece: bytes) -> None:
        if self.pieces is None:
            self.body += piece
        else:
            self.pieces.append(piece)

    def on_message_complete(self) -> None:
        self.complete = True


class Response:
    """An answer, whose body is being read. Raises EOFError if the connection ends before the body does."""

    def __init__(self, reader: io.BufferedReader, method: str) -> None:
        self._reader = reader
        self._message = _Message()
        self._parser = httptools.HttpResponseParser(self._message)
        self._read_head()
        self.status = self._parser.get_status_code()
        self.reason = self._message.reason
        self.headers: Mapping[str, str] = self._message.headers
        coding = self.headers.get("transfer-encoding", "")
        if coding.lower() not in ("", "chunked"):
            raise Malformed(f"an answer has the transfer coding {coding!r}")
        self._chunked = bool(coding)
        self.size = -1  # of the body, if it was announced
        if method == "HEAD" or self.status < 200 or self.status in (204, 304):
            self.size = 0
        elif "content-length" in self.headers:
            self.size = int(self.headers["content-length"])  # which the parser has found to be a number
        self._left = self.size  # bytes of the body, if its size was announced
        close = "close" in self.headers.get("connection", "").lower()
        ends = self.size >= 0 or self._chunked
        self.persistent = ends and not close and self._parser.get_http_version() == "1.1"

    @property
    def finished(self) -> bool:
        """Reports whether the body was received to its end."""
        return self._left == 0 or self._message.complete

    def read(self, size: int = -1, /) -> bytes:
        """So many bytes of the body, or what is left of it, if that is less."""
        if self._left >= 0:
            n = min(size, self._left) if size >= 0 else self._left
            data = self._reader.read(n)
            self._count(len(data), n)
            return data
        body = self._message.body
        while not self._message.complete and (size < 0 or len(body) < size):
            self._parse_more()
        with memoryview(body) as view:
            data = bytes(view if size < 0 else view[:size])
        del body[: len(data)]
        return data

    def readline(self, limit: int) -> bytes:
        """The next line of the body; empty at its end. A wait that times out loses nothing of what arrived."""
        body = self._message.body
        while b"\n" not in body and not self.finished:
            if len(body) > limit:
                raise Malformed("a line of an answer is too long")
            if self._left < 0:
                self._parse_more()
                continue
            piece = self._reader.read1(min(_PIECE, self._left))
            self._count(len(piece), 1)
            body += piece
        end = body.find(b"\n") + 1 or len(body)
        line = bytes(body[:end])
        del body[:end]
        return line

    def readinto(self, buffer: memoryview, /) -> int:
        """Fill a buffer with the body, or with what is left of it, and say with how much."""
        if self._left >= 0:
            n = min(buffer.nbytes, self._left)
            self._count(self._reader.readinto(buffer[:n]), n)
            return n
        data = self.read(buffer.nbytes)
        buffer[: len(data)] = data
        return len(data)

    def read_pieces(self) -> list[bytes]:
        """What has come of the body, a byte at least; nothing at its end."""
        if self._left >= 0:
            data = self._reader.read1(min(_PIECE, self._left))
            self._count(len(data), min(1, self._left))
            return [data] if data else []
        message = self._message
        pieces = message.pieces = [bytes(message.body)] if message.body else []
        message.body.clear()
        try:
            while not pieces and not message.complete:
                self._parse_more()
        finally:
            message.pieces = None
        return pieces

    def _count(self, got: int, wanted: int) -> None:
        if got < wanted:
            raise EOFError("the connection ended within an answer")
        self._left -= got

    def _read_head(self) -> None:
        """Parse up to the end of the head, and no byte of the body."""
        end = self._reader.peek(1).find(b"\r\n\r\n")  # usually it has arrived at once
        size = 0
        while not self._message.has_head:
            part = self._reader.read(end + 4) if end >= 0 else self._reader.readline(_BUFFER)
            end = -1
            size += len(part)
            if not part:
                raise EOFError("the connection ended within the head of an answer" if size else "the node closed the connection")
            if size > _MAX_HEAD:
                raise Malformed("the head of an answer is too long")
            self._parse(part)

    def _parse_more(self) -> None:
        """Parse some of a body whose size was not announced."""
        piece = self._reader.read1(_PIECE)
        if piece:
            self._parse(piece)
        elif self._chunked:
            raise EOFError("the connection ended within an answer")
        else:
            self._message.complete = True

    def _parse(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            raise Malformed(f"what arrived is not HTTP: {error}") from error


class _Arrived(io.RawIOBase):
    """What arrives on a connection, how much that was, and since when an answer is awaited."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._size = 0
        self._limit = sock.gettimeout() or 0.0
        self.expect()

    def expect(self) -> None:
        """Begin to count the time of an answer."""
        self._began, self._before = time.monotonic(), self._size

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._sock.recv_into(buffer)
        self._size += size
        allowed = self._limit + (self._size - self._before) / _SLOWEST
        if self._limit and time.monotonic() - self._began > allowed:
            raise TimeoutError(f"an answer came more slowly than {_SLOWEST >> 10} KiB a second")
        return size

    def tell(self) -> int:
        return self._size


_sockets: WeakSet[socket.socket] = WeakSet()  # those of this process


def _close_copies() -> None:
    """Close a child's copies of its parent's sockets, which would hold open what the parent's end is to end, such as a claim."""
    for sock in list(_sockets):
        sock.close()  # without a shutdown, which would end the parent's
    _sockets.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_close_copies)


def connect(node: Node, address: Address, tls: ssl.SSLContext | None, connect_timeout: float, timeout: float) -> socket.socket:
    """Connect to a node at one of its addresses, and give each later wait its own timeout. Raises OSError."""
    family, kind, protocol, _, at = address
    sock = socket.socket(family, kind, protocol)
    _sockets.add(sock)
    try:
        sock.settimeout(connect_timeout)
        sock.connect(at)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls is not None:
            sock = tls.wrap_socket(sock, server_hostname=node.host, do_handshake_on_connect=False)
            _sockets.add(sock)
            sock.do_handshake()
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


class Connection:
    """One connection to a node, and whether it has carried a request before."""

    def __init__(self, node: Node, sock: socket.socket) -> None:
        self.node = node
        self.used = False
        self.idle_since = 0.0
        self.sock = sock
        self._arrived = _Arrived(sock)
        self._reader: io.BufferedReader = io.BufferedReader(self._arrived, _BUFFER)

    def expect(self, seconds: float) -> None:
        """Begin to wait for more of an answer, for so many seconds."""
        self.sock.settimeout(seconds)
        self._arrived.expect()

    def send_head(self, method: str, path: str, headers: str, body: bytes = b"") -> None:
        """Send the head of a request, whose headers end their lines, and with it a body that is small."""
        head = f"{method} {self.node.path}{path} HTTP/1.1\r\nHost: {self.node.authority}\r\n{headers}\r\n"
        self._arrived.expect()
        self.sock.sendall(head.encode() + body)

    def response(self, method: str) -> Response:
        """The answer to a request. Answers of 1xx before it are passed over."""
        self._arrived.expect()
        for _ in range(_MAX_INTERIM):
            response = self.interim(method)
            if response.status >= 200:
                return response
        raise Malformed("an answer is preceded by too many of 1xx")

    def interim(self, method: str) -> Response:
        """The next answer, be it one of 1xx."""
        return Response(self._reader, method)

    def readable(self, seconds: float) -> bool:
        """Reports whether something arrives within so many seconds: data, or the end."""
        if not hasattr(select, "poll"):  # Windows, and programs that eventlet has patched
            return bool(select.select([self.sock], [], [], seconds)[0])
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def silent(self) -> bool:
        """Reports whether nothing has arrived since the last answer: no data, and no end."""
        return not self.readable(0) and self._reader.tell() == self._arrived.tell()

    def end(self) -> None:
        """End the connection, also for a thread that reads from it."""
        with suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.close()

    def close(self) -> None:
        self.sock.close()

    def __del__(self) -> None:
        self.close()  # as a file does; a client that is dropped keeps no connections
