"""Removing all keys with a prefix: by one request, or one by one where the node is older."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from larder import answers
from larder.client import STRATEGIES, Client
from larder.errors import AuthError, BadRequest, LarderError, NotFound, OutcomeUnknown, ServerError, Unavailable
from larder.http1 import Response
from larder.listing import Entry, human_size
from larder.many import READS, WRITES, PartialError, each
from larder.progress import bar
from larder.transport import Request

_MAX_LINE = 1 << 20
_LONGEST = 1 << 31  # seconds, as nodes have it
_KINDS = {"forbidden": AuthError, "outcome-unknown": OutcomeUnknown, "rate": Unavailable, "unavailable": Unavailable}


@dataclass
class Removed:
    """What was removed, or with ``dry_run`` would be: how many keys, and how many bytes they had."""

    count: int = 0
    bytes: int = 0
    dry_run: bool = False

    def __str__(self) -> str:
        return f"{self.count} key{'s' * (self.count != 1)}, {human_size(self.bytes)}" + (
            " would be removed" if self.dry_run else " removed"
        )


class _Older(Exception):
    """The node knows no removal of a prefix."""


@dataclass(frozen=True)
class Narrow:
    """Which keys with a prefix are meant: those that were written long ago, by somebody, in an environment."""

    older_than: float | timedelta | None = None  # seconds
    env_date: str | date | None = None
    env_hash: str | None = None
    writer: str | None = None

    def query(self, service: str) -> dict[str, str]:
        """The parameters of a request. Raises BadRequest."""
        seconds = self.older_than.total_seconds() if isinstance(self.older_than, timedelta) else self.older_than
        if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 <= seconds <= _LONGEST):
            raise BadRequest(f"older_than is a number of seconds, or a timedelta, not {self.older_than!r}")
        if service != STRATEGIES and (self.env_date, self.env_hash) != (None, None):
            raise BadRequest("env_date and env_hash narrow a removal of strategies; the keys of other objects have none")
        env_date = self.env_date.isoformat() if isinstance(self.env_date, date) else self.env_date
        texts = {"env_date": env_date, "env_hash": self.env_hash, "writer": self.writer}
        for name, text in texts.items():
            if text is not None and (not isinstance(text, str) or not text):
                raise BadRequest(f"{name} is text that is not empty, not {text!r}")
        older = {} if seconds is None else {"older_than": str(math.ceil(seconds))}
        return {**older, **{name: text for name, text in texts.items() if text is not None}}


def remove(client: Client, service: str, prefix: str, narrow: Narrow, *, dry_run: bool, of: int = 0) -> Removed:
    """Remove keys, or count them. ``of`` is how many bytes they have, if that is known. Raises PartialError if some stay."""
    if not isinstance(prefix, str) or not prefix:
        raise BadRequest("remove_by_prefix takes a prefix that is text and not empty: to remove everything, remove it by parts")
    query = narrow.query(service)
    try:
        return _by_one_request(client, service, {"prefix": prefix, **query, **({"dry_run": "true"} if dry_run else {})}, of)
    except _Older:
        return _one_by_one(client, service, prefix, query, dry_run=dry_run)


def _by_one_request(client: Client, service: str, query: Mapping[str, str], of: int) -> Removed:
    """What a node removes, page by page. If the answer is cut, the request is sent again and goes on."""
    done, failed = Removed(dry_run="dry_run" in query), dict[str, LarderError]()
    what = f"remove_by_prefix {query['prefix']!r}"

    def read(answer: Response) -> None:
        failed.clear()  # they are tried again
        if done.dry_run:
            done.count = done.bytes = 0
        if not answers.is_ndjson(answer):
            answer.persistent = False
            raise _Older
        with bar(what, of, client.settings.progress) if of else nullcontext() as report:
            while text := answer.readline(_MAX_LINE):
                line = _line(text)
                done.count += line["deleted"]
                done.bytes += line["bytes"]
                failed.update({f["key"]: _error(f["key"], str(f["type"])) for f in line["failed"]})
                if report:
                    report(line["bytes"])

    path = f"/v1/{service}?{urlencode(query, quote_via=quote)}"
    try:
        request = Request("DELETE", path, {"Accept": "application/x-ndjson"}, what=what, also=(200,))
        client.transport.send(request, read)
    except (BadRequest, NotFound) as error:
        if error.status in (400, 404, 405) and error.type in (None, "method-not-allowed", "no-route", "not-found", "bad-key", "bad-query"):
            raise _Older from None
        raise
    if failed:
        raise PartialError("remove_by_prefix", {}, failed, done.count)
    return done


def _line(text: bytes) -> Mapping[str, Any]:
    """A line of what was removed. Raises EOFError for one that was cut."""
    try:
        line = json.loads(text)
        failed = [f for f in line["failed"] if f["key"] and f["type"]]
        return {"deleted": int(line["deleted"]), "bytes": int(line["bytes"]), "failed": failed}
    except (ValueError, TypeError, LookupError):
        raise EOFError("an answer that was cut") from None


def _error(key: str, type: str) -> LarderError:
    name = type.removeprefix("urn:larder:problem:")
    reason = "it is another's, and your role may remove your own only" if name == "forbidden" else name
    return _KINDS.get(name, ServerError)(f"delete {key!r}: {reason}", type=name)


def _one_by_one(client: Client, service: str, prefix: str, query: Mapping[str, str], *, dry_run: bool) -> Removed:
    """List, and delete each."""
    filters = {name: text for name, text in query.items() if name.startswith("env_")}
    entries = list(client.entries(service, prefix, patient=True, **filters))
    if "older_than" in query:
        now, least = datetime.now(UTC), int(query["older_than"])
        entries = [e for e in entries if (now - e.modified).total_seconds() > least]
    if "writer" in query:
        writers = each("remove_by_prefix", partial(_writer, client, service), (e.key for e in entries), READS)
        entries = [e for e in entries if writers[e.key] == query["writer"]]
    if dry_run:
        return _sum(entries, dry_run=True)
    gone = each("remove_by_prefix", partial(_gone, client, service), (e.key for e in entries), WRITES)
    return _sum([e for e in entries if gone[e.key]])


def _writer(client: Client, service: str, key: str) -> str | None:
    try:
        return client.stat(service, key).writer
    except NotFound:
        return None


def _gone(client: Client, service: str, key: str) -> bool:
    try:
        client.remove(service, key)
    except NotFound:
        return False
    return True


def _sum(entries: list[Entry], *, dry_run: bool = False) -> Removed:
    return Removed(len(entries), sum(e.size for e in entries), dry_run)
