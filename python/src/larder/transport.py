"""Requests to whichever node answers: retries, and refusals turned into errors.

Every request that is sent here is idempotent, so one whose outcome is not known is sent again while its
caller waits: at once on another node, then after a pause that grows and is drawn by chance (Brooker,
"Exponential Backoff and Jitter", 2015). A node that could not be reached is passed over for some seconds.
"""

from __future__ import annotations

import json
import random
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import TypeVar

from larder import errors
from larder.config import Config, Node
from larder.frame import Buffer
from larder.http1 import Connection, Malformed, Response, header_lines
from larder.pool import Pool
from larder.progress import Report

T = TypeVar("T")

_AVOID = 5.0  # seconds for which a node that could not be reached is passed over
_SLOW = 4.0  # seconds after which a refusal means that the store hangs; a node waits 5 to 15 for it
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 5.0  # seconds
_ASK_FIRST = 1 << 20  # a larger body is sent only once the node says that it takes it
_ASK_WAIT = 15.0  # seconds; a node lets writes wait for memory for 10
_PIECE = 1 << 20
_TOGETHER = 16 << 10  # a smaller body travels with the head of its request
_RETRY = frozenset({429, 503, 504})
_DRAIN = 64 << 10

# What a connection raises when the node goes away, whatever it was doing.
_BROKEN = (OSError, Malformed, EOFError)


@dataclass(slots=True)
class Request:
    """One request. ``body`` is its parts in order, whose sizes ``headers`` announce."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: Sequence[Buffer] = ()
    what: str = ""  # for messages
    show: Callable[[], AbstractContextManager[Report | None]] = nullcontext  # the progress of one attempt to send the body
    patient: bool = True  # False: each node is tried once, and none that was just seen down, or waiting for the store


class Transport:
    """Sends requests. Safe for concurrent use and across forks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = Pool(config.connect_timeout, config.timeout)
        self._down: dict[Node, float] = {}  # until when a node is passed over
        self._headers = header_lines({"User-Agent": "larder-python", "Accept-Encoding": "identity"})
        if config.token:
            self._headers += header_lines({"Authorization": f"Bearer {config.token}"})

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def send(self, request: Request, read: Callable[[Response], T]) -> T:
        """Send a request until a node answers, and return what ``read`` makes of the answer.

        ``read`` may be called again with another answer if a connection breaks while it reads.
        """
        attempts = max(len(self._config.nodes), 1 + self._config.retries if request.patient else 1)
        failure: Exception
        tried: list[Node] = []
        deadline = time.monotonic() + self._config.timeout
        for attempt in range(1, attempts + 1):
            node = self._choose(request, tried)
            tried.append(node)
            began = time.monotonic()
            try:
                return self._once(node, request, read, attempt)
            except errors.Unavailable as error:
                failure, wait = error.with_traceback(None), error.retry_after
                hangs = error.type == "store-unavailable" and time.monotonic() > began + _SLOW
                if hangs and not request.patient:
                    self._pass_over_all()  # any other would take as long to find out
                    break
            except _BROKEN as error:
                avoid = self._config.timeout if isinstance(error, TimeoutError) else _AVOID
                self._down[node] = time.monotonic() + avoid
                failure, wait = error.with_traceback(None), 0.0  # which would keep what was received so far
            if time.monotonic() > deadline:
                break
            if attempt < attempts and request.patient:
                self._pause(attempt, wait, others=len(set(tried)) < len(self._config.nodes))
        if isinstance(failure, errors.Unavailable):
            raise failure
        raise self._unreachable(request, failure, attempt)

    def _pass_over_all(self) -> None:
        until = time.monotonic() + self._config.timeout
        for node in self._config.nodes:
            self._down[node] = until

    def _unreachable(self, request: Request, error: Exception, attempts: int) -> errors.Unavailable:
        nodes = ", ".join(map(str, self._config.nodes))
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        kind = errors.Unavailable
        advice = "is LARDER_URL right, and is a node running there?"
        if request.method in ("PUT", "DELETE") and not isinstance(error, ConnectionRefusedError):
            kind = errors.OutcomeUnknown
            advice = "the write may have happened: read the key, or send the same write again"
        return kind(f"{request.what}: no answer from {nodes} after {attempts} attempts ({reason}); {advice}")

    def _choose(self, request: Request, tried: list[Node]) -> Node:
        """A node that is not known to be down, and rather one that was not tried."""
        if not self._down and not tried:
            return self._config.nodes[0]
        now = time.monotonic()
        up = [n for n in self._config.nodes if self._down.get(n, 0.0) <= now]
        if not up and not request.patient:
            raise errors.Unavailable(f"{request.what}: no node answered a moment ago, and this call does not wait")
        up = up or list(self._config.nodes)
        return next((n for n in up if n not in tried), None) or random.choice(up)

    def _pause(self, attempt: int, wait: float, *, others: bool) -> None:
        if others and attempt < len(self._config.nodes):
            return
        longest = min(_MAX_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
        time.sleep(min(_MAX_PAUSE, wait) + random.uniform(0, longest))

    def _once(self, node: Node, request: Request, read: Callable[[Response], T], attempt: int) -> T:
        while True:
            connection = self._pool.take(node)
            answered = False
            try:
                response = self._exchange(connection, request)
                answered = True
                if self._down:
                    self._down.pop(node, None)
                if response.status >= 400:
                    raise _refusal(request, response)
                result = read(response)
            except errors.LarderError as error:
                if isinstance(error, errors.NotFound):
                    error.attempt = attempt
                self._finish(connection, response if answered else None)
                raise
            except _BROKEN:
                connection.close()
                if connection.used and not answered:
                    attempt += 1
                    continue  # the node had closed it; a new one tells whether the node is there
                raise
            except BaseException:
                connection.close()
                raise
            self._finish(connection, response)
            return result

    def _finish(self, connection: Connection, response: Response | None) -> None:
        """Keep the connection if the answer was read, or little of it is left."""
        if response is None or not response.persistent:
            connection.close()
            return
        if not response.finished:
            try:
                response.read(_DRAIN)
            except _BROKEN:
                connection.close()
                return
        if response.finished:
            self._pool.give(connection)
        else:
            connection.close()

    def _exchange(self, connection: Connection, request: Request) -> Response:
        """Send a request and read the head of its answer."""
        headers = self._headers + header_lines(request.headers)
        if request.method != "PUT":
            connection.send_head(request.method, request.path, headers)
            return connection.response(request.method)
        size = sum(memoryview(part).nbytes for part in request.body)
        headers += f"Content-Length: {size}\r\n"
        if size <= _TOGETHER:
            connection.send_head("PUT", request.path, headers, b"".join(request.body))
            return connection.response("PUT")
        ask = size >= _ASK_FIRST and connection.node.scheme == "http"
        if ask:
            headers += "Expect: 100-continue\r\n"
        connection.send_head("PUT", request.path, headers)
        if ask and connection.readable(_ASK_WAIT):  # silence is consent (RFC 9110, section 10.1.1)
            response = connection.interim("PUT")
            if response.status >= 200:
                response.persistent = False  # the body that was announced will not come
                return response
        try:
            _send_body(connection, request)
        except OSError:
            response = connection.response("PUT")  # what the node answered before it stopped reading
            response.persistent = False
            return response
        return connection.response("PUT")


def _send_body(connection: Connection, request: Request) -> None:
    with request.show() as report:
        for part in request.body:
            view = memoryview(part).cast("B")
            for at in range(0, view.nbytes, _PIECE):
                piece = view[at : at + _PIECE]
                connection.sock.sendall(piece)
                if report:
                    report(piece.nbytes)


def _refusal(request: Request, response: Response) -> errors.LarderError:
    """The error that an answer is."""
    try:
        problem = json.loads(response.read(_DRAIN) or b"{}")
    except ValueError:
        problem = {}
    problem = problem if isinstance(problem, dict) else {}
    status = response.status
    type_ = str(problem.get("type", "")).removeprefix("urn:larder:problem:") or None
    detail = str(problem.get("detail") or f"{status} {response.reason}")
    if status >= 400 and not problem and request.method != "HEAD":
        detail += "; that is not an answer of a Larder node: is LARDER_URL right?"
    kind = _kind(status, type_, bool(problem) or request.method == "HEAD")
    if kind is errors.NotFound:  # the node's own words are for those who see HTTP
        detail = "your organisation has no object of this key; the keys of a prefix show what there is"
    error = kind(f"{request.what}: {detail}", status=status, type=type_)
    if isinstance(error, errors.Unavailable):
        error.retry_after = _seconds(response.headers.get("retry-after", ""))
    return error


def _kind(status: int, type_: str | None, ours: bool) -> type[errors.LarderError]:
    if status == 404 and ours and type_ in (None, "not-found"):
        return errors.NotFound
    if type_ == "outcome-unknown":
        return errors.OutcomeUnknown
    if status in _RETRY:
        return errors.Unavailable
    kinds: dict[int, type[errors.LarderError]] = {
        401: errors.AuthError,
        403: errors.AuthError,
        409: errors.Conflict,
        412: errors.Conflict,
        413: errors.TooLarge,
    }
    return kinds.get(status) or (errors.ServerError if status >= 500 else errors.BadRequest)


def _seconds(retry_after: str) -> float:
    return float(retry_after) if retry_after.isdigit() else 0.0
