"""The client: values under keys, in either of the cache's two services."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import platform
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import partial
from typing import Any
from urllib.parse import quote, urlencode

from larder import codec, config, frame
from larder.errors import BadRequest, ConfigError, Conflict, IntegrityError, LarderError, NotAFrame, NotFound, warn
from larder.http1 import Response
from larder.listing import Entry, Info, Keys, html_table
from larder.progress import SHOWN, bar
from larder.transport import Request, Transport

OBJECTS = "objects"
STRATEGIES = "strategies"

_META = "larder-meta-"
_MAX_STATEMENT = 300  # bytes of one statement in the metadata, of which S3 keeps 2 KB


class Client:
    """A client of a Larder cluster. Safe for threads, and across forks.

    ``url`` is a node's address, or several (LARDER_URL, with commas). ``token`` is LARDER_TOKEN.
    ``signing_key`` (LARDER_SIGNING_KEY, or LARDER_SIGNING_KEY_FILE with a key a line) signs what is written,
    and then nothing is read that is not signed so; of several keys the first signs and all verify. With
    ``allow_pickle=False`` pickles are refused when they are read. ``timeout`` is how many seconds a node may
    be silent, and for how long retries begin; ``connect_timeout`` is for connecting. ``progress`` True or
    False shows or hides the bars of large transfers; None shows them in terminals and notebooks.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        token: str | None = None,
        signing_key: str | bytes | Sequence[str | bytes] | None = None,
        *,
        allow_pickle: bool = True,
        timeout: float = 60.0,
        connect_timeout: float = 3.0,
        retries: int = 4,
        progress: bool | None = None,
    ) -> None:
        self._config = config.Config(
            nodes=config.parse_nodes(url),
            token=config.read_token(token),
            signing_keys=config.read_signing_keys(signing_key),
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            allow_pickle=allow_pickle,
            progress=progress,
        )
        self._transport = Transport(self._config)
        self._org = ""
        self._warned = False

    def __repr__(self) -> str:
        return f"<larder.Client of {', '.join(map(str, self._config.nodes))}, {', '.join(self._traits())}>"

    def _repr_html_(self) -> str:
        return html_table(["node"], [[str(n)] for n in self._config.nodes], f"larder client, {', '.join(self._traits())}")

    def _traits(self) -> list[str]:
        c = self._config
        return [
            "with a token" if c.token else "without a token",
            "signing" if c.signing_keys else "not signing",
            *([] if c.allow_pickle else ["refusing pickles"]),
        ]

    def __reduce__(self) -> tuple[Any, ...]:
        """A client travels to other processes without its secrets, which they take from their environment."""
        c = self._config
        if c.token != config.read_token(None) or c.signing_keys != config.read_signing_keys(None):
            raise ConfigError(
                "this client holds a token or signing key that it was given as an argument, and is not pickled with it: "
                "set LARDER_TOKEN and LARDER_SIGNING_KEY instead, or make a client in each process"
            )
        return _rebuild, ([str(n) for n in c.nodes], c.allow_pickle, c.timeout, c.connect_timeout, c.retries, c.progress)

    def same_as(self, other: Client) -> bool:
        """Whether both have the same settings."""
        return self._config == other._config

    def close(self) -> None:
        """Close idle connections. The client may be used again."""
        self._transport.close()

    def whoami(self, *, patient: bool = True) -> dict[str, str]:
        """The org, user and role of the token."""
        request = Request("GET", "/v1/whoami", {}, what="whoami", patient=patient)
        answer: dict[str, str] = self._transport.send(request, lambda a: json.loads(a.read()))
        return answer

    # Values.

    def store(
        self,
        service: str,
        key: str,
        value: Any,
        *,
        build_seconds: float | None = None,
        about: Mapping[str, str] | None = None,
        conditions: Mapping[str, str] | None = None,
        patient: bool = True,
    ) -> None:
        """Put a value. A value under the same key is replaced.

        ``about`` is more metadata; ``conditions`` are If-None-Match or If-Match, without which the put raises Conflict.
        """
        self._warn_if_unsigned()
        path = _path(service, key)
        encoded = codec.encode(value)
        libraries = encoded.about.get("libraries", {})
        header = {"format": encoded.format, "python": platform.python_version(), "build_seconds": build_seconds, **encoded.about}
        if conditions:  # so that no other put has this digest, and an attempt whose answer was lost is known again
            header["nonce"] = uuid.uuid4().hex
        signing_key = next(iter(self._config.signing_keys), None)
        sealed = frame.seal(header, encoded.segments, self._place(service, key, patient), signing_key)
        statement = {
            "format": encoded.format,
            "python": platform.python_version(),
            "libraries": " ".join(f"{name}={version}" for name, version in libraries.items()),
            "build-seconds": "" if build_seconds is None else f"{build_seconds:.3f}",
            "digest": sealed.digest.hex(),
        }
        headers = {_META + name: text[:_MAX_STATEMENT] for name, text in statement.items() if text and text.isascii()}
        headers |= {_META + name: text for name, text in (about or {}).items() if text and text.isascii()}
        headers |= {"Content-Type": frame.CONTENT_TYPE, **(conditions or {})}
        try:
            self._put(path, key, sealed.parts, sealed.size, sealed.sha256, headers, patient)
        except Conflict as error:
            self._explain_conflict(service, key, sealed.digest.hex(), error)

    def _explain_conflict(self, service: str, key: str, digest: str, error: Conflict) -> None:
        """Raise a Conflict that tells who wrote what is there, unless an earlier attempt of this very put did."""
        try:
            there = self.stat(service, key)
        except NotFound:
            raise Conflict(f"put {key!r}: there is nothing under this key any more", status=error.status, type=error.type) from None
        except LarderError:
            raise error from None
        if there.meta.get("digest") == digest:
            return
        raise Conflict(f"put {key!r}: {there.authorship()} is there", status=error.status, type=error.type) from None

    def load(self, service: str, key: str, *, patient: bool = True) -> Any:
        """Get a value. Raises NotFound, IntegrityError, DecodeError and others."""
        return self.fetch(service, key, patient=patient)[0]

    def fetch(self, service: str, key: str, *, judge: Callable[[Info], None] | None = None, patient: bool = True) -> tuple[Any, Info]:
        """Get a value and what is known of it. ``judge`` may raise a LarderError before the bytes are received."""
        self._warn_if_unsigned()
        received, info = self._receive(service, key, judge, patient)
        return codec.decode(received, key, allow_pickle=self._config.allow_pickle), info

    def _receive(self, service: str, key: str, judge: Callable[[Info], None] | None, patient: bool) -> tuple[frame.Frame, Info]:
        place = self._place(service, key, patient)
        keys = self._config.signing_keys

        def receive(answer: Response) -> tuple[frame.Frame, Info]:
            info = _info(key, answer.headers)
            if judge is not None:
                judge(info)
            return read(answer), info

        def read(answer: Response) -> frame.Frame:
            digest = _stated(answer.headers)
            if answer.size < 0:
                data = answer.read()
                return frame.read(io.BytesIO(data), len(data), place, keys, digest=digest)
            if answer.size < SHOWN:
                return frame.read(answer, answer.size, place, keys, digest=digest)
            with bar(f"get {key}", answer.size, self._config.progress) as report:
                return frame.read(answer, answer.size, place, keys, digest=digest, progress=report)

        return self._transport.send(Request("GET", _path(service, key), {}, what=f"get {key!r}", patient=patient), receive)

    def copy(self, service: str, old: str, new: str) -> None:
        """Put what is under one key under another, signed for that. Raises NotFound."""
        path = _path(service, new)
        try:
            received, info = self._receive(service, old, None, True)
        except NotAFrame:
            self.store_raw(service, new, self.load_raw(service, old), self.stat(service, old).content_type)
            return
        signing_key = next(iter(self._config.signing_keys), None)
        sealed = frame.seal(received.header, received.segments, self._place(service, new, True), signing_key)
        headers = {_META + name: text for name, text in {**info.meta, "digest": sealed.digest.hex()}.items()}
        self._put(path, new, sealed.parts, sealed.size, sealed.sha256, {"Content-Type": frame.CONTENT_TYPE, **headers}, patient=True)

    # Bytes.

    def store_raw(self, service: str, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Put bytes as they are: without a frame, and so without a signature."""
        self._put(_path(service, key), key, [data], len(data), hashlib.sha256(data).digest(), {"Content-Type": content_type}, patient=True)

    def load_raw(self, service: str, key: str) -> bytes:
        """Get the bytes of an object, whoever wrote it. Their digest is verified, a signature is not."""
        request = Request("GET", _path(service, key), {}, what=f"get {key!r}")

        def receive(answer: Response) -> bytes:
            data = answer.read()
            digest = _digest(answer.headers)
            if digest is not None and digest != hashlib.sha256(data).digest():
                raise IntegrityError(f"the bytes of {key!r} that arrived are not those that were written (SHA-256)")
            return data

        return self._transport.send(request, receive)

    def _put(
        self, path: str, key: str, parts: Sequence[frame.Buffer], size: int, digest: bytes, headers: Mapping[str, str], patient: bool
    ) -> None:
        headers = {**headers, "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}
        show = partial(bar, f"put {key}", size, self._config.progress)
        request = Request("PUT", path, headers, parts, f"put {key!r}", show, patient)
        self._transport.send(request, Response.read)

    # What is there.

    def remove(self, service: str, key: str) -> None:
        """Delete an object. Raises NotFound."""
        request = Request("DELETE", _path(service, key), {}, what=f"delete {key!r}")
        try:
            self._transport.send(request, Response.read)
        except NotFound as error:
            if error.attempt == 1:
                raise
            # An earlier attempt of this call deleted it, and its answer was lost.

    def stat(self, service: str, key: str, *, patient: bool = True) -> Info:
        """What is known of an object. Raises NotFound."""
        request = Request("HEAD", _path(service, key), {}, what=f"info {key!r}", patient=patient)
        return _info(key, self._transport.send(request, lambda a: a.headers))

    def list(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Keys:
        """All keys with a prefix, in the cache's order. Filters are those of the service."""
        return Keys(self.entries(service, prefix, patient=patient, **filters))

    def entries(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Iterator[Entry]:
        """What a listing has, a page of at most 10,000 at a time."""
        cursor = ""
        while True:
            page, cursor = self._page(service, prefix, cursor, patient, filters)
            yield from page
            if not cursor:
                return

    def page(self, service: str, prefix: str, *, patient: bool = True) -> Keys:
        """The first keys with a prefix, at most 10,000 of them."""
        return Keys(self._page(service, prefix, "", patient, {})[0])

    def _page(self, service: str, prefix: str, cursor: str, patient: bool, filters: Mapping[str, str]) -> tuple[Sequence[Entry], str]:
        """A page of a listing, and the cursor of the next."""
        if not isinstance(prefix, str):
            raise BadRequest(f"a prefix is text, not {prefix!r}")
        query = {"prefix": prefix, "cursor": cursor, "limit": "10000", **filters}
        try:
            path = f"/v1/{service}?" + urlencode({name: text for name, text in query.items() if text}, quote_via=quote)
        except UnicodeEncodeError:
            raise BadRequest(f"the prefix {prefix!r} holds half of a surrogate pair, which is no text in UTF-8") from None
        request = Request("GET", path, {"Accept": "application/json"}, what=f"list {service} {prefix!r}", patient=patient)
        page = self._transport.send(request, lambda a: json.loads(a.read()))
        return [_entry(listed) for listed in page["keys"]], page["cursor"]

    def _place(self, service: str, key: str, patient: bool) -> frame.Place:
        if self._config.signing_keys and not self._org:
            self._org = self.whoami(patient=patient)["org"]
        return frame.Place(self._org, service, key)

    def _warn_if_unsigned(self) -> None:
        if self._config.signing_keys or self._warned or not self._config.allow_pickle:
            return
        self._warned = True
        warn(
            "no signing key is set: whoever can write to this cache can run code on everyone who reads pickles from it. "
            "Set LARDER_SIGNING_KEY to a secret that your group shares (docs/python.md)"
        )


def _rebuild(url: Sequence[str], allow_pickle: bool, timeout: float, connect_timeout: float, retries: int, progress: bool | None) -> Client:
    return Client(url, allow_pickle=allow_pickle, timeout=timeout, connect_timeout=connect_timeout, retries=retries, progress=progress)


def _path(service: str, key: str) -> str:
    if not isinstance(key, str) or not key:
        raise BadRequest(f"a key is text, of 1 to 512 bytes, not {key!r}")
    try:
        return f"/v1/{service}/{quote(key, safe='')}"
    except UnicodeEncodeError:
        raise BadRequest(f"the key {key!r} holds half of a surrogate pair, which is no text in UTF-8") from None


def _digest(headers: Mapping[str, str]) -> bytes | None:
    """The SHA-256 of Repr-Digest (RFC 9530), if there is one."""
    found = re.search(r"sha-256=:([A-Za-z0-9+/=]+):", headers.get("repr-digest", ""))
    return base64.b64decode(found.group(1)) if found else None


def _stated(headers: Mapping[str, str]) -> bytes | None:
    """The digest of a frame that its writer stated beside it, if there is one."""
    try:
        return bytes.fromhex(headers.get(_META + "digest", "")) or None
    except ValueError:
        return None


def _entry(listed: Mapping[str, Any]) -> Entry:
    return Entry(listed["key"], listed["size"], listed["etag"], _time(listed["modified"]))


def _time(text: str) -> datetime:
    """A time in RFC 3339, whose fraction may have nanoseconds."""
    return datetime.fromisoformat(re.sub(r"(\.\d{6})\d+", r"\1", text)).astimezone(UTC)


def _info(key: str, headers: Mapping[str, str]) -> Info:
    meta = {name.removeprefix(_META): text for name, text in headers.items() if name.startswith(_META)}
    modified = parsedate_to_datetime(headers["last-modified"]) if "last-modified" in headers else None
    now = parsedate_to_datetime(headers["date"]) if "date" in headers else datetime.now(UTC)
    libraries = dict(pair.split("=", 1) for pair in meta.get("libraries", "").split() if "=" in pair)
    try:
        build_seconds = float(meta["build-seconds"])
    except (KeyError, ValueError):
        build_seconds = None
    return Info(
        key=key,
        size=int(headers.get("content-length", "0")),
        etag=headers.get("etag", ""),
        modified=modified,
        writer=headers.get("larder-writer", ""),
        content_type=headers.get("content-type", ""),
        cache_status=headers.get("cache-status", ""),
        format=meta.get("format", ""),
        python=meta.get("python", ""),
        libraries=libraries,
        build_seconds=build_seconds,
        meta=meta,
        age=(now - modified).total_seconds() if modified else None,
    )
