"""The right to build a key, which one caller in the whole cluster has; all others wait (docs/protocol.md, "Claims").

A caller attaches to a key by a stream of lines, which a node ends with what has become of the caller. Who gets the
claim keeps its stream: the open connection tells the node that the builder lives, whatever holds Python's lock
meanwhile. A thread beside the builder attaches again when the stream is cut, replaces it before proxies would cut it,
and tells how far the build is.
"""

from __future__ import annotations

import json
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Mapping
from contextlib import suppress
from random import SystemRandom
from typing import Any
from urllib.parse import quote

from larder.answers import is_ndjson
from larder.client import Client
from larder.errors import BadRequest, ConfigError, Conflict, LarderError, Unavailable
from larder.http1 import Malformed
from larder.raw import path_of
from larder.transport import Request, Transport

_BROKEN = (OSError, Malformed, EOFError, ValueError, AttributeError)  # the last two of TLS that was ended meanwhile
_HEADERS = {"Accept": "application/x-ndjson", "Content-Type": "application/json"}
_MAX_LINE = 64 << 10
_FINAL = ("built", "failed", "unstored", "refused")
_OPEN_WAIT = 10.0  # seconds that a node may take for the first line; it says something after 5
_SILENCE = 20.0  # seconds; who waits hears something each 5, who builds each 15
_REPLACE = 45.0  # seconds; many proxies cut what lasts for a minute
_BEAT, _NEWS = 50.0, 2.0  # seconds between two beats, and at the least if there is progress to tell
_LOST_AFTER = 15.0  # seconds in which nobody could be attached to
_FIRST_PAUSE, _MAX_PAUSE = 0.05, 2.0
_TICK = 0.5  # seconds in which nothing is done but to listen

Event = Mapping[str, Any]

_random = SystemRandom()
_log = logging.getLogger("larder")


def builds_path(service: str, key: str) -> str:
    """The path of what is about the building of a key."""
    path = path_of(service, key)
    return f"/v1/builds{path.removeprefix('/v1')}"


class Stream:
    """Lines of one answer."""

    def __init__(self, transport: Transport, request: Request) -> None:
        self._transport = transport
        self._open = threading.Lock()  # taken by who ends the stream, and never given back
        self.began = time.monotonic()
        self._connection, self._response = transport.open(request, _OPEN_WAIT)
        self._heard = time.monotonic()
        if not is_ndjson(self._response):
            self.end()
            raise ConfigError(f"{request.what}: what answers is no stream of lines")

    @property
    def age(self) -> float:
        return time.monotonic() - self.began

    def next(self, seconds: float) -> Event | None:
        """The next event, or None if none comes within so many seconds. Raises what _BROKEN has when the stream ends."""
        self._connection.expect(max(seconds, 0.01))
        try:
            line = self._response.readline(_MAX_LINE)
        except TimeoutError:
            if time.monotonic() > self._heard + _SILENCE:
                raise EOFError("a node said nothing for too long") from None
            return None
        self._heard = time.monotonic()
        event = json.loads(line) if line else None
        if not isinstance(event, dict):
            raise EOFError("the stream ended")
        return event

    def avoid_node(self) -> None:
        """Attach elsewhere next time, if there is another node."""
        self._transport.pass_over(self._connection.node)

    def close(self) -> None:
        """Close a stream after its last line, unless it is ended: the connection may be used again, by others."""
        if not self._open.acquire(blocking=False):
            return
        with suppress(*_BROKEN):
            self._connection.expect(0.05)
            self._response.readline(_MAX_LINE)  # the end of the last chunk
        self._transport.finish(self._connection, self._response)

    def end(self) -> None:
        """End a stream wherever it is, unless it is closed."""
        if self._open.acquire(blocking=False):
            self._connection.end()


class Visit:
    """A caller's place at a key. It is kept when a stream is cut, since the caller has a name of its own choice."""

    def __init__(self, client: Client, service: str, key: str, ask: Mapping[str, Any]) -> None:
        self._transport = client.transport
        self._path = builds_path(service, key)
        self.what = f"build {key!r}"
        self._ask = {name: value for name, value in ask.items() if value is not None}
        self._name()
        self._stream: Stream | None = None  # that of who waits, or was granted the claim
        self._ended = False
        self._heard = time.monotonic()  # when a stream was seen to be open
        self._cut = 0  # streams since then

    def _name(self) -> None:
        self._pid = os.getpid()
        self._ask["waiter"] = uuid.uuid4().hex

    def attach(self, claim: str = "") -> Stream:
        """A new stream. Raises LarderError."""
        if self._pid != os.getpid():  # gevent goes on with its greenlets in the child of a fork
            if claim:
                raise Conflict(f"{self.what}: the claim is this process's parent's")
            self._name()
        headers = {**_HEADERS, **({"Larder-Claim": claim} if claim else {})}
        return Stream(self._transport, self._request("POST", headers, self._ask))

    def _request(self, method: str, headers: Mapping[str, str], body: Mapping[str, Any] | None) -> Request:
        data = json.dumps(body).encode() if body is not None else b""
        return Request(method, self._path, headers, [data] if data else [], what=self.what, patient=method == "POST")

    def attach_again(self, claim: str = "") -> Stream:
        """A new stream after one was cut: at once, then with pauses that grow. Raises LarderError if it takes too long."""
        while True:
            if self._cut:
                time.sleep(_random.uniform(0, min(_MAX_PAUSE, _FIRST_PAUSE * 2**self._cut)))
            self._cut += 1
            if self._ended or time.monotonic() > self._heard + _LOST_AFTER:
                raise Unavailable(f"{self.what}: no node holds a stream")
            try:
                return self.attach(claim)
            except (Conflict, BadRequest, ConfigError):
                raise
            except (LarderError, *_BROKEN):
                continue

    def next(self, stream: Stream, seconds: float) -> Event | None:
        """As next of the stream, which is as it should be if there is an event."""
        event = stream.next(seconds)
        self._heard = time.monotonic()
        if event is not None:
            self._cut = 0
        return event

    def wait(self, each_second: Callable[[Event | None], bool]) -> Event | Claim | None:
        """What has become of this caller; None if ``each_second``, which is given the last news, has had enough.

        Raises LarderError if it cannot be known.
        """
        news: Event | None = None
        stream = self._stream = self.attach()
        while not self._ended:
            try:
                event = self.next(stream, 2 * _TICK)
            except _BROKEN:
                stream = self._replace(stream)
                continue
            kind = event.get("event") if event else None
            if event is not None and kind == "granted":
                return Claim(self, stream, str(event["claim"]))
            if kind == "moved":
                stream.avoid_node()
                stream = self._replace(stream)
            elif kind in _FINAL:
                stream.close()
                return event
            news = event if kind == "wait" else news
            if not each_second(news):
                break
        self.end()
        return None

    def _replace(self, stream: Stream) -> Stream:
        stream.end()
        if not self._ended:
            self._stream = stream = self.attach_again()
        return stream

    def end(self) -> None:
        """Leave: also while another thread waits here."""
        self._ended = True
        if self._stream is not None:
            self._stream.end()

    def send(self, method: str, token: str, body: Mapping[str, Any] | None) -> None:
        """Tell of a claim. Raises LarderError."""
        headers = {"Larder-Claim": token, **({"Content-Type": "application/json"} if body is not None else {})}
        self._transport.send(self._request(method, headers, body), lambda _: None)


class Claim:
    """The right to build a key, as long as this process keeps it."""

    def __init__(self, visit: Visit, stream: Stream, token: str) -> None:
        self._visit = visit
        self._stream = stream
        self._token = token
        self._pid = os.getpid()
        self._replace_after = _REPLACE
        self._replace_at = stream.began + _REPLACE
        self._note: dict[str, Any] = {}
        self._noted = False
        self._over = False
        threading.Thread(target=self._keep, name="larder claim", daemon=True).start()

    @property
    def token(self) -> str:
        """What the put of the value bears. In the child of a fork, which holds nothing, it is empty."""
        return self._token if self._pid == os.getpid() else ""

    def note(self, progress: float | None, message: str) -> None:
        """Have those who wait told how far the build is."""
        self._note = {name: value for name, value in (("progress", progress), ("message", message)) if value not in (None, "")}
        self._noted = True

    def end(self) -> None:
        """Hold the claim no longer. If no value was stored, somebody else is next."""
        if self._pid == os.getpid():
            self._over = True
            self._stream.end()

    def give_up(self, why: Mapping[str, Any] | None = None, *, seconds: float = 0.0) -> None:
        """Pass the claim on, or with ``why`` have all who wait told. Waits so many seconds until that is done."""
        if self._pid != os.getpid():
            return
        self._over = True
        thread = threading.Thread(target=self._say_why, args=(why,), name="larder claim", daemon=True)
        try:
            thread.start()
            thread.join(seconds)
        except RuntimeError:  # the interpreter ends
            self._say_why(why)

    def _say_why(self, why: Mapping[str, Any] | None) -> None:
        with suppress(Exception):  # the end of the stream passes the claim on as well
            self._visit.send("DELETE", self._token, why)
        self._stream.end()

    def _keep(self) -> None:
        """Keep a stream open until the claim is over."""
        try:
            beat = time.monotonic() + _BEAT
            while not self._over:
                self._listen()
                now = time.monotonic()
                if now > self._replace_at:
                    self._renew()
                if now > beat or (self._noted and now > beat - _BEAT + _NEWS):
                    self._noted, beat = False, now + _BEAT
                    with suppress(LarderError):
                        self._visit.send("PUT", self._token, self._note)
        except Exception as error:  # a claim that is lost costs a second build, and nothing else
            if not self._over:
                _log.debug("%s: the claim is lost: %s: %s", self._visit.what, type(error).__name__, error)
        finally:
            if not self._over:
                self._stream.end()

    def _listen(self) -> None:
        """Take in what the node says, for a second; attach again if the stream is cut, or the node leaves."""
        stream = self._stream
        try:
            event = self._visit.next(stream, _TICK)
            kind = event.get("event") if event else None
            if kind in _FINAL:  # a write has ended the claim, most often its own
                self._over = True
                stream.close()
            if kind != "moved":
                return
            stream.avoid_node()
            moved = True
        except _BROKEN:
            moved = False
        if self._over:
            return
        self._swap(self._visit.attach_again(self._token))
        if not moved:  # what a proxy cut it will cut again after the same time
            self._replace_after = max(_TICK, min(self._replace_after, 0.5 * stream.age))
            self._replace_at = self._stream.began + self._replace_after

    def _renew(self) -> None:
        """Attach anew, and only then end the stream that is there."""
        try:
            self._swap(self._visit.attach(self._token))
        except Conflict:
            raise
        except (LarderError, *_BROKEN):
            self._replace_at = time.monotonic() + _TICK

    def _swap(self, new: Stream) -> None:
        self._stream, old = new, self._stream
        self._replace_at = new.began + self._replace_after
        old.end()
        if self._over:
            new.end()


def listed_path(service: str, prefix: str) -> str:
    """The path of a list of what is built."""
    return f"/v1/builds/{service}" + (f"?prefix={quote(prefix, safe='')}" if prefix else "")
