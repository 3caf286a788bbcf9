"""Objects as bytes: the requests of both services, without values, frames and signatures."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, Protocol, TypeVar
from urllib.parse import quote, urlencode

from larder import answers, bounds, frame
from larder.config import Config
from larder.describe import info_of, infos_of, page_of, repr_digest
from larder.errors import BadRequest, DecodeError, IntegrityError, NotFound, ServerError, short_tracebacks
from larder.http1 import Response
from larder.listing import Entry, Info, Keys
from larder.progress import bar
from larder.transport import Request, Transport
from larder.used import Usage, usage_of

T = TypeVar("T")

_JSON = {"Accept": "application/json"}
_MAX_USAGE = 4 << 20
_MAX_WHOAMI, _MAX_PAGE = 64 << 10, 64 << 20  # bytes of an answer in JSON
_PIECE = 1 << 20


class Put:
    """A put, ready to be sent: the parts of its body in order, and its header fields."""

    __slots__ = ("digest", "headers", "key", "parts", "service", "size")

    def __init__(
        self, service: str, key: str, parts: Sequence[frame.Buffer], size: int, sha256: bytes, headers: Mapping[str, str], digest: str = ""
    ) -> None:
        self.service, self.key, self.parts, self.size, self.digest = service, key, parts, size, digest
        self.headers = {**headers, "Repr-Digest": f"sha-256=:{base64.b64encode(sha256).decode()}:"}


@short_tracebacks
class RawClient:
    """What a client does with keys and bytes. Safe for threads, and across forks."""

    def __init__(self, settings: Config) -> None:
        self._config = settings
        self._transport = Transport(settings)

    @property
    def transport(self) -> Transport:
        """What sends this client's requests."""
        return self._transport

    def page_at(self, service: str = "", key: str = "") -> str:
        """The address where a browser shows an object, or where those of all objects of a service begin, or all there is."""
        at = f"#/object/{service}/{quote(key, safe='')}" if service else ""
        return f"{self._config.nodes[0]}/ui/{at}"

    def view_at(self, view: str) -> str:
        """The address of a view of the page, such as ``saved``."""
        return f"{self.page_at()}#/{view}"

    def close(self) -> None:
        """Close idle connections. The client may be used again."""
        self._transport.close()

    def whoami(self, *, patient: bool = True) -> dict[str, str]:
        """The org, user and role of the token."""
        return self._whoami("whoami", patient=patient)

    def _whoami(self, what: str, *, patient: bool) -> dict[str, str]:
        __tracebackhide__ = True
        request = Request("GET", "/v1/whoami", _JSON, what=what, json=True, patient=patient)

        def use(found: Any) -> dict[str, str]:
            return {**found, "org": found["org"] + "", "user": found["user"] + "", "role": found["role"] + ""}

        return self._transport.send(request, lambda a: answers.read_json(a, what, _MAX_WHOAMI, use))

    def usage(self) -> Usage:
        """What the org has in the cache, may have there, and has saved by reading."""
        __tracebackhide__ = True
        request = Request("GET", "/v1/usage", _JSON, what="usage", json=True)
        found = self._transport.send(request, lambda a: answers.read_json(a, "usage", _MAX_USAGE, usage_of))
        return replace(found, page=self.view_at("saved"))

    # Bytes.

    def store_raw(
        self, service: str, key: str, data: bytes, content_type: str = "application/octet-stream", *, patient: bool = True
    ) -> None:
        """Put bytes as they are: without a frame, and so without a signature."""
        __tracebackhide__ = True
        digest = hashlib.sha256(data).digest()
        self._put(Put(service, key, [data], memoryview(data).nbytes, digest, {"Content-Type": content_type}), patient)

    def load_raw(self, service: str, key: str, *, patient: bool = True) -> bytes:
        """Get the bytes of an object, whoever wrote it. Their digest is verified, a signature is not."""
        __tracebackhide__ = True
        request = Request("GET", path_of(service, key), what=f"get {key!r}", patient=patient)

        def receive(answer: Response) -> bytes:
            data = self._read(answer, key)
            digest = repr_digest(answer.headers)
            if digest is not None and digest != hashlib.sha256(data).digest():
                raise IntegrityError(f"the bytes of {key!r} that arrived are not those that were written (SHA-256)")
            return data

        return self._transport.send(request, receive)

    def _read(self, answer: Response, key: str) -> bytes:
        """The body of an answer, whose size may not be announced."""
        limit = self._config.max_object
        if answer.size >= 0:
            bounds.check_size(answer.size, key, limit)
            try:
                return answer.read()
            except (MemoryError, OverflowError):
                raise DecodeError(f"there is no memory here for the {answer.size} bytes of {key!r}") from None
        data = bytearray()
        while piece := answer.read(_PIECE):
            data += piece
            bounds.check_size(len(data), key, limit)
        return bytes(data)

    def _put(self, put: Put, patient: bool) -> None:
        __tracebackhide__ = True
        show = partial(bar, f"put {put.key}", put.size, self._config.progress)
        request = Request("PUT", path_of(put.service, put.key), put.headers, put.parts, f"put {put.key!r}", show, patient=patient)
        self._transport.send(request, lambda _: None)  # it says all in its head, and has no body

    # What is there.

    def remove(self, service: str, key: str, *, patient: bool = True) -> None:
        """Delete an object. Raises NotFound."""
        __tracebackhide__ = True
        request = Request("DELETE", path_of(service, key), what=f"delete {key!r}", patient=patient)
        try:
            marked = self._transport.send(request, lambda a: answers.MARK in a.headers)
        except NotFound as error:
            if not error.after_unknown:
                raise
            return  # An earlier attempt of this call deleted it, and its answer was lost.
        if not marked:
            self._whoami(f"delete {key!r}", patient=patient)  # a node that is too old to mark its answers knows this

    def stat(self, service: str, key: str, *, patient: bool = True) -> Info:
        """What is known of an object. Raises NotFound."""
        __tracebackhide__ = True
        request = Request("HEAD", path_of(service, key), what=f"info {key!r}", patient=patient)
        return replace(info_of(key, self._transport.send(request, lambda a: a.headers)), page=self.page_at(service, key))

    def list(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Keys:
        """All keys with a prefix, in the cache's order. Filters are those of the service."""
        __tracebackhide__ = True
        return Keys(self.entries(service, prefix, patient=patient, **filters), self.page_at(service))

    def entries(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Iterator[Entry]:
        """What a listing has, a page of at most 10,000 at a time."""
        return _all(lambda cursor: self._page(service, prefix, cursor, patient, filters), f"list {service} {prefix!r}")

    def infos(self, service: str, prefix: str = "") -> Iterator[Info]:
        """What a listing has, with metadata. Raises BadRequest if the node does not know such listings."""

        def page(cursor: str) -> tuple[Sequence[Info], str]:
            return self._listing(service, prefix, cursor, True, {"meta": "true"}, lambda found, answer: infos_of(found, answer.headers))

        return (replace(info, page=self.page_at(service, info.key)) for info in _all(page, f"list {service} {prefix!r}"))

    def page(self, service: str, prefix: str, *, patient: bool = True, limit: int = 10_000) -> Keys:
        """The first keys with a prefix, at most so many of them."""
        return Keys(self._page(service, prefix, "", patient, {"limit": str(limit)})[0])

    def _page(self, service: str, prefix: str, cursor: str, patient: bool, filters: Mapping[str, str]) -> tuple[Sequence[Entry], str]:
        """A page of a listing, and the cursor of the next."""
        __tracebackhide__ = True
        return self._listing(service, prefix, cursor, patient, filters, lambda found, _: page_of(found))

    def _listing(
        self, service: str, prefix: str, cursor: str, patient: bool, filters: Mapping[str, str], use: Callable[[Any, Response], T]
    ) -> T:
        __tracebackhide__ = True
        if not isinstance(prefix, str):
            raise BadRequest(f"a prefix is text, not {prefix!r}")
        query = {"prefix": prefix, "cursor": cursor, "limit": "10000", **filters}
        try:
            path = f"/v1/{service}?" + urlencode({name: text for name, text in query.items() if text}, quote_via=quote)
        except UnicodeEncodeError:
            raise BadRequest(f"the prefix {prefix!r} holds half of a surrogate pair, which is no text in UTF-8") from None
        what = f"list {service} {prefix!r}"
        request = Request("GET", path, _JSON, what=what, json=True, patient=patient)
        return self._transport.send(request, lambda a: answers.read_json(a, what, _MAX_PAGE, lambda found: use(found, a)))


class _Listed(Protocol):
    """What a listing has of a key."""

    @property
    def key(self) -> str: ...


L = TypeVar("L", bound=_Listed)


def _all(page: Callable[[str], tuple[Sequence[L], str]], what: str) -> Iterator[L]:
    """The entries of all pages of a listing. Raises ServerError if a page comes again: the listing would have no end."""
    cursor = ""
    seen = {cursor}
    while True:
        entries, cursor = page(cursor)
        yield from entries
        if not cursor:
            return
        if cursor in seen:
            raise ServerError(f"{what}: the listing does not go on after {entries[-1].key if entries else ''!r}")
        seen.add(cursor)


# What some proxy or other decodes, merges or strips in a path: then two keys would be one.
_UNSAFE = re.compile(r"[%\\;?#]|(^|/)(\.*)(/|$)")


def check_key(key: str) -> None:
    """Raise BadRequest for what cannot be a key."""
    if not isinstance(key, str) or not key:
        raise BadRequest(f"a key is text, of 1 to 512 bytes, not {key!r}")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise BadRequest(f"the key {key!r} holds half of a surrogate pair, which is no text in UTF-8") from None


def path_of(service: str, key: str) -> str:
    """The path of a key. A key that a proxy might normalise is in the query."""
    check_key(key)
    if _UNSAFE.search(key):
        return f"/v1/{service}?key={quote(key, safe='')}"
    return f"/v1/{service}/{quote(key)}"
