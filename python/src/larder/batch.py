"""Many objects in one exchange: ``POST /v1/batch/{service}``.

Each object succeeds or fails by itself. What a batch does not settle, since a node is older or a proxy breaks it,
is left to requests of its own. Then, no batch is tried for a while.
"""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from larder import answers
from larder.client import Client, max_age_field
from larder.config import Config
from larder.errors import AuthError, ConfigError, LarderError, Unavailable
from larder.frame import Buffer
from larder.http1 import Malformed, Response, header_lines
from larder.multipart import Part, parts
from larder.raw import Put
from larder.transport import Request

_MAX_LINE = 64 << 10
_OFF, _OFF_SHORT = 60.0, 5.0  # seconds without batches, after an answer that is none, and after no answer


@dataclass
class Settled:
    """What became of objects, by key: values that were read, None for what was written, and errors."""

    done: dict[str, Any] = field(default_factory=dict)
    failed: dict[str, LarderError] = field(default_factory=dict)

    def __contains__(self, key: str) -> bool:
        return key in self.done or key in self.failed

    def add(self, other: Settled) -> None:
        self.done |= other.done
        self.failed |= other.failed

    def fail(self, key: str, error: LarderError) -> None:
        """Note an error, unless a request of its own may do better."""
        if not isinstance(error, Unavailable) and not (isinstance(error, AuthError) and error.status == 401):
            self.failed[key] = error.with_traceback(None)  # which would keep what was received


class _Off:
    """Clusters that are not asked for batches for a while."""

    until: dict[Config, float] = {}  # noqa: RUF012  # it is one for the process


def is_off(client: Client) -> bool:
    """Reports whether batches of this client have failed a moment ago."""
    return _Off.until.get(client.settings, 0.0) > time.monotonic()


def get(client: Client, service: str, keys: Sequence[str], max_age: float | None = None) -> Settled:
    """Get values by one request. They are decoded as they come."""
    settled = Settled()
    # As nodes escape them. No key that is stored has a line feed.
    paths = [f"/v1/{service}/{escaped}" for escaped in quote("\n".join(keys), safe="$&+:=@").split("%0A")]

    def read(answer: Response) -> None:
        asked = zip(keys, paths, strict=False)
        for part in parts(answer, "get_many"):
            key, path = next(asked, ("", ""))
            location = part.headers.get("content-location", "")
            if location != path and unquote(location) != f"/v1/{service}/{key}":
                raise Malformed("a batch answers for other keys than it was asked for")
            if key not in settled:  # by an attempt before this one
                _read(client, service, key, part, settled)
        if next(asked, None) is not None:
            raise EOFError("a batch ended before its last part")

    body = json.dumps({"get": keys}, separators=(",", ":")).encode()
    _exchange(client, service, {"Content-Type": "application/json", **max_age_field(max_age)}, [body], "get_many", read)
    return settled


def _read(client: Client, service: str, key: str, part: Part, settled: Settled) -> None:
    """Note what a part says, once it is known that this was all of it."""
    try:
        if part.status != 200:
            answers.check(part, "GET", f"get {key!r}")
        value = client.value_of(service, key, part, part.size, part.headers)
    except LarderError as error:
        part.end()
        settled.fail(key, error)
    else:
        part.end()
        settled.done[key] = value


def put(client: Client, service: str, puts: Sequence[Put]) -> Settled:
    """Send puts by one request."""
    settled, boundary = Settled(), uuid.uuid4().hex
    body: list[Buffer] = []
    for one in puts:
        fields = {"Content-Location": f"/v1/{service}/{quote(one.key, safe='')}", **one.headers, "Content-Length": str(one.size)}
        body += [f"--{boundary}\r\n{header_lines(fields)}\r\n".encode(), *one.parts, b"\r\n"]
    body.append(f"--{boundary}--\r\n".encode())

    def read(answer: Response) -> None:
        if not answers.is_ndjson(answer):
            raise ConfigError(f"put_many: what answers has no lines, but {answer.headers.get('content-type', 'no type')}")
        while text := answer.readline(_MAX_LINE):
            line = _Line(json.loads(text), answer.headers)
            if line.key:
                try:
                    answers.check(line, "PUT", f"put {line.key!r}")
                    settled.done[line.key] = None
                except LarderError as error:
                    settled.fail(line.key, error)

    _exchange(client, service, {"Content-Type": f"multipart/mixed; boundary={boundary}"}, [b"".join(body)], "put_many", read)
    return settled


class _Line:
    """What became of one object that was put, as an answer to a request of its own would say it."""

    def __init__(self, said: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        self.key = said["key"] + ""
        self.status = int(said["status"])
        self.reason = ""
        self.headers = {answers.MARK: headers.get(answers.MARK, ""), "content-type": "application/problem+json"}
        self._problem = {name: said.get(name) for name in ("type", "detail")}

    def read(self, size: int = -1, /) -> bytes:
        return json.dumps(self._problem).encode()


def _exchange(
    client: Client, service: str, fields: Mapping[str, str], body: Sequence[Buffer], what: str, read: Callable[[Response], None]
) -> None:
    """Send a batch to one node after the other, until one answers."""

    def read_whole(answer: Response) -> None:
        try:
            read(answer)
        except (OSError, Malformed, EOFError, ValueError, LookupError, TypeError) as error:
            answer.persistent = False
            if isinstance(error, LarderError):
                raise
            raise Unavailable(f"{what}: the answer broke off: {type(error).__name__}: {error}") from None

    headers = {"Accept": "multipart/mixed, application/x-ndjson", **fields}
    try:
        client.transport.send(Request("POST", f"/v1/batch/{service}", headers, body, what, patient=False), read_whole)
    except LarderError as error:
        _Off.until[client.settings] = time.monotonic() + (_OFF_SHORT if isinstance(error, Unavailable) else _OFF)
