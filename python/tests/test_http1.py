"""Answers as nodes and proxies may frame them, and as networks may cut them up."""

from __future__ import annotations

import io
import ssl
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

import larder
from larder.http1 import Malformed, Response

CERTIFICATE = Path(__file__).with_name("localhost.pem")  # and its key; nothing but these tests trusts it


class Dribble(io.RawIOBase):
    """A connection on which so many bytes arrive at a time."""

    def __init__(self, data: bytes, sizes: list[int]) -> None:
        self._data = io.BytesIO(data)
        self._sizes = sizes

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        size = self._sizes.pop(0) if self._sizes else len(buffer)
        return self._data.readinto(memoryview(buffer)[:size])


def response(data: bytes, method: str = "GET", sizes: list[int] | None = None) -> Response:
    return Response(io.BufferedReader(Dribble(data, sizes or []), 64), method)


def framed(body: bytes, framing: str, cuts: list[int]) -> bytes:
    if framing == "length":
        return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    if framing == "close":
        return b"HTTP/1.1 200 OK\r\n\r\n" + body
    pieces = [body[i:j] for i, j in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    chunks = b"".join(b"%x;name=value\r\n%s\r\n" % (len(p), p) for p in pieces if p)
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s0\r\nTrailer: x\r\n\r\n" % chunks


@given(st.data())
def test_a_body_arrives_however_it_is_framed_and_cut(data: st.DataObject) -> None:
    body = data.draw(st.binary(max_size=300))
    cuts = sorted(data.draw(st.lists(st.integers(0, len(body)), max_size=5)))
    framing = data.draw(st.sampled_from(["length", "chunked", "close"]))
    rest = b"HTTP/1.1 204 No Content\r\n\r\n" if framing == "length" else b""
    sizes = data.draw(st.lists(st.integers(1, 50), max_size=40))
    answer = response(framed(body, framing, cuts) + rest, sizes=sizes)
    got = bytearray()
    while len(got) < len(body) + 1:
        if data.draw(st.booleans()):
            piece = answer.read(data.draw(st.integers(1, 100)))
        else:
            buffer = bytearray(data.draw(st.integers(1, 100)))
            with memoryview(buffer) as view:
                piece = bytes(buffer[: answer.readinto(view)])
        if not piece:
            break
        got += piece
    assert got == body
    assert answer.read() == b""
    assert answer.finished
    assert answer.persistent == (framing != "close")
    if rest:
        assert Response(answer._reader, "GET").status == 204  # nothing of it was taken


@pytest.mark.parametrize("framing", ["length", "chunked"])
@given(st.data())
def test_a_body_cut_short_is_never_taken_for_whole(framing: str, data: st.DataObject) -> None:
    whole = framed(b"x" * 100, framing, [50])
    end = data.draw(st.integers(0, len(whole) - 1))
    with pytest.raises((EOFError, ConnectionError, Malformed)):
        response(whole[:end]).read()


@pytest.mark.parametrize(
    "head",
    [
        b"<html>\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 2OO OK\r\n\r\n",
        b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
        b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: h2c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * 300_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 100_000 + b"\r\n",
    ],
)
def test_what_is_not_http(head: bytes) -> None:
    with pytest.raises(Malformed):
        response(head)


@pytest.mark.parametrize("chunk", [b"x\r\n", b"-1\r\n", b"3\r\nabcd\r\n", b"\r\n", b"3\r\nabc0\r\n"])
def test_chunks_that_are_none(chunk: bytes) -> None:
    with pytest.raises(Malformed):
        response(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk + b"0\r\n\r\n").read()


@pytest.mark.parametrize(
    ("head", "persistent"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", True),
        (b"HTTP/1.1 200\r\ncontent-length:0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: Close\r\n\r\n", False),
        (b"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n", False),
        (b"HTTP/1.1 204 No Content\r\n\r\n", True),
        (b"HTTP/1.1 304 Not Modified\r\nContent-Length: 7\r\n\r\n", True),
    ],
)
def test_connections_that_persist(head: bytes, persistent: bool) -> None:
    answer = response(head)
    assert answer.persistent == persistent
    assert answer.finished
    assert answer.read() == b""


def test_headers() -> None:
    head = b'HTTP/1.1 200 All right\r\nETag:  "a" \r\nX: ETag: b\r\nTransfer-Encoding: chunked\r\nx: c\r\n\r\n'
    answer = response(head + b"1\r\nv\r\n0\r\nETag: trailer\r\n\r\n")
    assert answer.read() == b"v"
    assert answer.reason == "All right"
    assert answer.headers == {"etag": '"a"', "x": "ETag: b, c", "transfer-encoding": "chunked"}


def test_no_header_can_be_smuggled(objects: larder.ObjectService) -> None:
    with pytest.raises(larder.BadRequest, match="control character"):
        objects.put_raw("x", b"", "text/plain\r\nIf-Match: x")


class Echo(BaseHTTPRequestHandler):
    """Keeps one object."""

    protocol_version = "HTTP/1.1"
    kept = b""

    def do_PUT(self) -> None:
        type(self).kept = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(201)
        self.send_header("Larder-Request", "request-1")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Larder-Request", "request-1")
        self.send_header("Content-Length", str(len(self.kept)))
        self.end_headers()
        self.wfile.write(self.kept)

    def log_message(self, format: str, *args: Any) -> None:
        return


class Talkative(Echo):
    """Answers every question with one answer more than was asked for."""

    def do_GET(self) -> None:
        answer = b"HTTP/1.1 200 OK\r\nLarder-Request: request-1\r\n%b\r\n\r\n%b"
        size = int(self.path.rpartition("/")[2])
        length = b"Content-Length: %d" % size
        self.wfile.write(answer % (length, b"a" * size) + answer % (length, b"b" * size))


@contextmanager
def served(handler: type[BaseHTTPRequestHandler], *, tls: bool) -> Iterator[str]:
    """The URL of a server, which has a thread for each connection."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    if tls:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(CERTIFICATE)
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"{'https' if tls else 'http'}://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.mark.parametrize("tls", [False, True])
@pytest.mark.parametrize("size", [10, 100_000])
def test_an_answer_that_nobody_asked_for(monkeypatch: pytest.MonkeyPatch, tls: bool, size: int) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(CERTIFICATE))
    with served(Talkative, tls=tls) as url, closing(larder.Client(url)) as client:
        for _ in range(3):
            assert larder.ObjectService(client).get_raw(str(size)) == b"a" * size


def test_a_chunked_answer_and_another() -> None:
    with pytest.raises(Malformed):
        response(framed(b"body", "chunked", []) + framed(b"other", "length", [])).read()


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "LARDER_CA_FILE"])
def test_over_tls(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    with served(Echo, tls=True) as url:
        with pytest.raises(larder.ConfigError, match="LARDER_CA_FILE"):
            larder.ObjectService(larder.Client(url, retries=0)).get("x")
        monkeypatch.setenv(variable, str(CERTIFICATE))
        client = larder.Client(url)
        objects = larder.ObjectService(client)
        for size in (10, 100_000, 3 << 20):
            value = bytes(range(256)) * (size // 256 + 1)
            objects.put("x", value)
            assert objects.get("x") == value
        client.close()


def test_authorities_that_are_none(monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (__file__, "/absent"):
        monkeypatch.setenv("LARDER_CA_FILE", path)
        with pytest.raises(larder.ConfigError, match="LARDER_CA_FILE"):
            larder.ObjectService(larder.Client("https://127.0.0.1:1", retries=0)).get("x")
