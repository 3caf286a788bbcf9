"""Requests to whichever node answers: retries, and refusals turned into errors.

Every request that is sent here is idempotent, so one whose outcome is not known is sent again while its
caller waits: at once on another node, then after a pause that grows and is drawn by chance (Brooker,
"Exponential Backoff and Jitter", 2015). A node that could not be reached is passed over for some seconds.

Each client, and each process, has an order of the nodes that was drawn by chance, and keeps to it: together
they load all nodes, and each has few connections.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from random import SystemRandom
from typing import TypeVar

from larder import answers, errors
from larder.config import Config, Node
from larder.frame import Buffer
from larder.http1 import Connection, Malformed, Response, header_lines
from larder.pool import AVOID, Pool
from larder.progress import Report

T = TypeVar("T")

_SLOW = 4.0  # seconds after which a refusal means that the store hangs; a node waits 5 to 15 for it
_FIRST_PAUSE, _MAX_PAUSE = 0.1, 5.0  # seconds
_ASK_FIRST = 1 << 20  # a larger body is sent only once the node says that it takes it
_ASK_WAIT = 15.0  # seconds; a node lets writes wait for memory for 10
_PIECE = 1 << 20
_TOGETHER = 16 << 10  # a smaller body travels with the head of its request
_DRAIN = 64 << 10

# What a connection raises when the node goes away, whatever it was doing.
_BROKEN = (OSError, Malformed, EOFError)

_random = SystemRandom()  # programs that seed the common one get their own numbers
_log = logging.getLogger("larder")


@dataclass(slots=True)
class Request:
    """One request. ``body`` is its parts in order, whose sizes ``headers`` announce."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    body: Sequence[Buffer] = ()
    what: str = ""  # for messages
    show: Callable[[], AbstractContextManager[Report | None]] = nullcontext  # the progress of one attempt to send the body
    also: Sequence[int] = ()  # statuses that are taken besides those of the method
    json: bool = False  # the answer is JSON
    patient: bool = True  # False: each node is tried once, and none that was just seen down, or waiting for the store


class _Attempt:
    """One exchange with a node: whether it can have had an effect, and what the log says of it."""

    def __init__(self, node: Node) -> None:
        self.node = node
        self.began = time.monotonic()
        self.sent = False  # a byte of the request
        self.repeated = False  # on a new connection, since the one that was kept had ended
        self.outcome = ""

    def log(self, request: Request, response: Response | None) -> None:
        """One line, without the token: it is in no path, and headers are not logged."""
        status = response.status if response else "no answer"
        cache, id_ = (response.headers.get(name, "-") if response else "-" for name in ("cache-status", answers.MARK))
        took = (time.monotonic() - self.began) * 1e3
        _log.debug(
            "%s %s: %s%s, %.1f ms, %s, %s, request %s", request.method, request.what, status, self.outcome, took, self.node, cache, id_
        )


class Transport:
    """Sends requests. Safe for concurrent use and across forks."""

    def __init__(self, config: Config) -> None:
        self._config = config
        self._pool = Pool(config.connect_timeout, config.timeout, config.ca_file)
        self._down: dict[Node, float] = {}  # until when a node is passed over
        self._headers = header_lines({"User-Agent": "larder-python", "Accept-Encoding": "identity"})
        self._order()

    def _order(self) -> None:
        self._pid = os.getpid()
        self._nodes = _random.sample(self._config.nodes, len(self._config.nodes))

    def close(self) -> None:
        """Close idle connections."""
        self._pool.close()

    def send(self, request: Request, read: Callable[[Response], T]) -> T:
        """Send a request until a node answers, and return what ``read`` makes of the answer.

        ``read`` may be called again with another answer if a connection breaks while it reads.
        """
        __tracebackhide__ = True
        return self._with_token(partial(self._send, request, read))

    def _with_token(self, use: Callable[[str], T]) -> T:
        """What comes of a token, or of another one if that is refused."""
        __tracebackhide__ = True
        token = self._config.token.read()
        try:
            return use(token)
        except errors.AuthError as error:
            # A token that expired is replaced in its file, or by its function, while the client lives.
            if error.status != 401 or (fresh := self._config.token.renewed(token)) == token:
                raise
        return use(fresh)

    def _send(self, request: Request, read: Callable[[Response], T], token: str) -> T:
        __tracebackhide__ = True
        attempts = max(len(self._config.nodes), 1 + self._config.retries if request.patient else 1)
        failure: Exception
        tried: list[Node] = []
        unknown = False  # an earlier attempt may have been carried out
        deadline = time.monotonic() + self._config.timeout
        number = 0
        while number < attempts:
            number += 1
            attempt = _Attempt(self._choose(request, tried))
            tried.append(attempt.node)
            status = None
            try:
                return self._once(attempt, request, read, token)
            except errors.Unavailable as error:
                failure, wait, status = error.with_traceback(None), error.retry_after, error.status
                unknown = unknown or isinstance(error, errors.OutcomeUnknown)
                hangs = error.type == "store-unavailable" and time.monotonic() > attempt.began + _SLOW
                if hangs and not request.patient:
                    self._pass_over_all()  # any other would take as long to find out
                    break
            except errors.NotFound as error:
                error.after_unknown = unknown or attempt.repeated
                raise
            except _BROKEN as error:
                avoid = self._config.timeout if isinstance(error, TimeoutError) and attempt.sent else AVOID
                self._down[attempt.node] = time.monotonic() + avoid
                failure, wait = error.with_traceback(None), 0.0  # which would keep what was received so far
                unknown = unknown or attempt.sent
            left = deadline - time.monotonic()
            if left < 0:
                break
            if status == 429 and 0 < wait <= left:  # a rate, and the node says when: that is no failure
                number -= 1
                time.sleep(wait + _random.uniform(0, 0.1))
                continue
            if number < attempts and request.patient:
                others = status != 429 and len(set(tried)) < len(self._config.nodes)
                self._pause(number, min(wait, left), others=others)
        raise self._failed(request, failure, number, unknown=unknown)

    def open(self, request: Request, seconds: float) -> tuple[Connection, Response]:
        """Send a request to one node after the other until one answers, and return its answer with the body unread.

        A node may take so many seconds to answer. Who is done with the answer calls ``finish``.
        """
        __tracebackhide__ = True
        return self._with_token(partial(self._open_any, request, seconds))

    def _open_any(self, request: Request, seconds: float, token: str) -> tuple[Connection, Response]:
        __tracebackhide__ = True
        failure: Exception = OSError("no node was asked")
        tried: list[Node] = []
        while len(tried) < len(self._config.nodes):
            attempt = _Attempt(self._choose(request, tried))
            tried.append(attempt.node)
            try:
                return self._open(attempt, request, token, seconds)
            except errors.Unavailable as error:
                failure = error.with_traceback(None)
            except _BROKEN as error:
                if not attempt.sent:  # one that knows no such requests, or has a proxy before it, may serve others
                    self._down[attempt.node] = time.monotonic() + AVOID
                failure = error.with_traceback(None)
        try:
            raise self._failed(request, failure, len(tried), unknown=False)
        finally:
            del failure  # whose traceback would keep this frame, and that its own variables

    def _open(self, attempt: _Attempt, request: Request, token: str, seconds: float) -> tuple[Connection, Response]:
        __tracebackhide__ = True
        while True:
            response: Response | None = None
            connection = self._connection(attempt, request)
            attempt.sent = True
            try:
                connection.sock.settimeout(seconds)
                response = self._exchange(connection, request, token)
                answers.check(response, request.method, request.what, request.also, json=request.json)
            except BaseException as error:
                connection.close()
                if connection.used and response is None and isinstance(error, _BROKEN) and not isinstance(error, TimeoutError):
                    continue  # the node had closed it
                raise
            finally:
                if _log.isEnabledFor(logging.DEBUG):
                    attempt.log(request, response)
            return connection, response

    def finish(self, connection: Connection, response: Response) -> None:
        """Keep the connection of an answer that was read to its end, and end any other."""
        if response.persistent and response.finished:
            connection.sock.settimeout(self._config.timeout)
            self._pool.give(connection)
        else:
            connection.end()

    def pass_over(self, node: Node) -> None:
        """Ask other nodes first for a while, if there are any."""
        if len(self._config.nodes) > 1:
            self._down[node] = time.monotonic() + AVOID

    def _pass_over_all(self) -> None:
        until = time.monotonic() + self._config.timeout
        for node in self._config.nodes:
            self._down[node] = until

    def _failed(self, request: Request, error: Exception, attempts: int, *, unknown: bool) -> errors.Unavailable:
        """The error of a call that was given up."""
        unknown = unknown and request.method in answers.WRITES
        if isinstance(error, errors.Unavailable) and isinstance(error, errors.OutcomeUnknown) == unknown:
            return error
        if isinstance(error, errors.Unavailable):
            text = f"{error}; but an earlier attempt of this call may have been carried out: read the key, or send the same write again"
            return errors.OutcomeUnknown(text, status=error.status, type=error.type, request_id=error.request_id)
        nodes = ", ".join(map(str, self._config.nodes))
        reason = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        kind = errors.OutcomeUnknown if unknown else errors.Unavailable
        advice = "is LARDER_URL right, and is a node running there?"
        if unknown:
            advice = "the write may have happened: read the key, or send the same write again"
        return kind(f"{request.what}: no answer from {nodes} after {attempts} attempt{'s' * (attempts != 1)} ({reason}); {advice}")

    def _choose(self, request: Request, tried: list[Node]) -> Node:
        """The first node of this process's order that is not known to be down, and rather one that was not tried."""
        if self._pid != os.getpid():
            self._order()
        if not self._down and not tried:
            return self._nodes[0]
        now = time.monotonic()
        up = [n for n in self._nodes if self._down.get(n, 0.0) <= now]
        if not up and not request.patient:
            raise errors.Unavailable(f"{request.what}: no node answered a moment ago, and this call does not wait")
        up = up or self._nodes
        return next((n for n in up if n not in tried), None) or _random.choice(up)

    def _pause(self, attempt: int, wait: float, *, others: bool) -> None:
        if others and attempt < len(self._config.nodes):
            return
        longest = min(_MAX_PAUSE, _FIRST_PAUSE * 2 ** (attempt - 1))
        time.sleep(wait + _random.uniform(0, longest))

    def _once(self, attempt: _Attempt, request: Request, read: Callable[[Response], T], token: str) -> T:
        """Send a request to one node. A connection that the node had closed meanwhile does not count."""
        __tracebackhide__ = True
        while True:
            response: Response | None = None
            connection = self._connection(attempt, request)
            attempt.sent, attempt.outcome = True, ""
            try:
                response = self._exchange(connection, request, token)
                if self._down:
                    self._down.pop(attempt.node, None)
                answers.check(response, request.method, request.what, request.also, json=request.json)
                result = read(response)
            except errors.LarderError as error:
                attempt.outcome = f" {type(error).__name__}"
                self._finish(connection, response)
                raise
            except BaseException as error:
                attempt.outcome = f" {type(error).__name__}"
                connection.close()
                if connection.used and response is None and isinstance(error, _BROKEN) and not isinstance(error, TimeoutError):
                    attempt.repeated = True
                    continue  # the node had closed it; a new one tells whether the node is there
                raise
            finally:
                if _log.isEnabledFor(logging.DEBUG):
                    attempt.log(request, response)
            self._finish(connection, response)
            return result

    def _connection(self, attempt: _Attempt, request: Request) -> Connection:
        __tracebackhide__ = True
        try:
            return self._pool.take(attempt.node)
        except Exception as error:
            attempt.outcome = f" {type(error).__name__}"
            if _log.isEnabledFor(logging.DEBUG):
                attempt.log(request, None)
            raise

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

    def _exchange(self, connection: Connection, request: Request, token: str) -> Response:
        """Send a request and read the head of its answer."""
        headers = self._headers + header_lines(request.headers)
        if token:
            headers += f"Authorization: Bearer {token}\r\n"
        if request.method != "PUT" and not request.body:
            connection.send_head(request.method, request.path, headers)
            return connection.response(request.method)
        size = sum(memoryview(part).nbytes for part in request.body)
        headers += f"Content-Length: {size}\r\n"
        if size <= _TOGETHER:
            connection.send_head(request.method, request.path, headers, b"".join(request.body))
            return connection.response(request.method)
        ask = size >= _ASK_FIRST and connection.node.scheme == "http"
        if ask:
            headers += "Expect: 100-continue\r\n"
        connection.send_head(request.method, request.path, headers)
        if ask and connection.readable(min(_ASK_WAIT, self._config.timeout)):  # silence is consent (RFC 9110, section 10.1.1)
            response = connection.interim(request.method)
            if response.status >= 200:
                response.persistent = False  # the body that was announced will not come
                return response
        try:
            _send_body(connection, request)
        except OSError:
            response = connection.response(request.method)  # what the node answered before it stopped reading
            response.persistent = False
            return response
        return connection.response(request.method)


def _send_body(connection: Connection, request: Request) -> None:
    with request.show() as report:
        for part in request.body:
            view = memoryview(part).cast("B")
            for at in range(0, view.nbytes, _PIECE):
                piece = view[at : at + _PIECE]
                connection.sock.sendall(piece)
                if report:
                    report(piece.nbytes)
