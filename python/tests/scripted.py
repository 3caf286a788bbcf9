"""A server that does what a test says, request by request, for what no real node can be made to do."""

from __future__ import annotations

import http.server
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

Reply = Callable[["Scripted"], None]


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers each request with the next reply of the script; the last one stays."""

    protocol_version = "HTTP/1.1"
    script: deque[Reply]
    seen: list[str]
    paths: list[str]
    tokens: list[str | None]

    def handle_request(self) -> None:
        self.seen.append(self.command)
        self.paths.append(self.path)
        self.tokens.append(self.headers["Authorization"])
        self.body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.script.popleft()(self)

    do_GET = do_PUT = do_DELETE = do_HEAD = do_POST = handle_request  # noqa: N815

    def log_message(self, format: str, *args: Any) -> None:
        return


def answer(status: int, body: bytes = b"", *, mark: bool = True, **headers: str) -> Reply:
    def reply(h: Scripted) -> None:
        h.send_response(status)
        if mark:
            h.send_header("Larder-Request", "request-1")
        for name, value in headers.items():
            h.send_header(name.replace("_", "-"), value)
        if status != 204:
            h.send_header("Content-Length", str(len(body)))
        h.end_headers()
        if h.command != "HEAD" and status != 204:
            h.wfile.write(body)

    return reply


def lines(*events: str, stay: threading.Event | None = None, kind: str = "application/x-ndjson") -> Reply:
    """A stream of lines, which ends, or if ``stay`` is given breaks off once that is set."""

    def reply(h: Scripted) -> None:
        h.send_response(200)
        h.send_header("Larder-Request", "request-1")
        h.send_header("Content-Type", kind)
        h.send_header("Transfer-Encoding", "chunked")
        h.end_headers()
        for event in events:
            h.wfile.write(b"%x\r\n%s\n\r\n" % (len(event) + 1, event.encode()))
        if stay is None:
            h.wfile.write(b"0\r\n\r\n")
        else:
            stay.wait(10)
            h.close_connection = True

    return reply


def problem(status: int, name: str, **headers: Any) -> Reply:
    return answer(status, b'{"type":"urn:larder:problem:%s","detail":"so it is"}' % name.encode(), **headers)


class _Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that does not read to the end is what some tests are about."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)


@contextmanager
def served(**more: Any) -> Iterator[tuple[str, type[Scripted]]]:
    """The URL of a scripted server, and the class that has its script and what it has seen."""
    handler = type("Handler", (Scripted,), {"script": deque(), "seen": [], "paths": [], "tokens": [], **more})
    server = _Server(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", handler
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
