"""The client: values under keys, in either of the cache's two services."""

from __future__ import annotations

import base64
import hashlib
import io
import platform
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote, urlencode

from larder import answers, codec, config, credentials, frame
from larder.describe import META, info_of, page_of, repr_digest, stated_digest
from larder.errors import (
    BadRequest,
    ConfigError,
    Conflict,
    DecodeError,
    IntegrityError,
    LarderError,
    NotAFrame,
    NotFound,
    ServerError,
    short_tracebacks,
    warn,
)
from larder.http1 import Response
from larder.listing import Entry, Info, Keys, html_table
from larder.progress import SHOWN, bar
from larder.transport import Request, Transport

OBJECTS = "objects"
STRATEGIES = "strategies"

_MAX_STATEMENT = 300  # bytes of one statement in the metadata, of which S3 keeps 2 KB
_JSON = {"Accept": "application/json"}
_MAX_WHOAMI, _MAX_PAGE = 64 << 10, 64 << 20  # bytes of an answer in JSON
_PIECE = 1 << 20


@short_tracebacks
class Client:
    """A client of a Larder cluster. Safe for threads, and across forks.

    ``url`` is a node's address, or several (LARDER_URL, with commas). ``token`` is text, or a function that
    returns it and is called for each request (LARDER_TOKEN, or LARDER_TOKEN_FILE, which is read again when it
    changes). ``signing_key`` (LARDER_SIGNING_KEY, or LARDER_SIGNING_KEY_FILE with a key a line) signs what is
    written, and then nothing is read that is not signed so; of several keys the first signs and all verify.
    ``org`` (LARDER_ORG) is the organisation that signatures name; without it, the one that a node says the
    token belongs to. With ``allow_pickle=False`` pickles are refused when they are read. ``max_object``
    (LARDER_MAX_OBJECT) is how many bytes an object may have that is read; half of the machine's memory unless
    you say otherwise. ``timeout`` is how many seconds a node may be silent, and for how long retries begin; an
    answer that takes longer must bring 16 KiB a second. ``connect_timeout`` is for connecting. ``progress``
    True or False shows or hides the bars of large transfers; None shows them in terminals and notebooks.

    ``with larder.Client() as client`` closes its connections at the end.
    """

    def __init__(
        self,
        url: str | Sequence[str] | None = None,
        token: credentials.Given = None,
        signing_key: str | bytes | Sequence[str | bytes] | None = None,
        *,
        org: str | None = None,
        allow_pickle: bool = True,
        max_object: int | None = None,
        timeout: float = 60.0,
        connect_timeout: float = 3.0,
        retries: int = 4,
        progress: bool | None = None,
    ) -> None:
        self._config = config.make(
            url,
            token,
            signing_key,
            org=org,
            allow_pickle=allow_pickle,
            max_object=max_object,
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            progress=progress,
        )
        self._transport = Transport(self._config)
        self._org = self._config.org
        self._warned = False
        self._warn_if_in_clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

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
        if not c.token.travels() or c.signing_keys != config.read_signing_keys(None):
            raise ConfigError(
                "this client holds a token or signing key that it was given as an argument, and is not pickled with it: "
                "set LARDER_TOKEN and LARDER_SIGNING_KEY instead, or make a client in each process"
            )
        names = ("allow_pickle", "org", "max_object", "timeout", "connect_timeout", "retries", "progress")
        return partial(Client, [str(n) for n in c.nodes], **{name: getattr(c, name) for name in names}), ()

    def has(self, settings: config.Config) -> bool:
        """Reports whether these are the client's settings."""
        return self._config == settings

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

        ``about`` is more metadata; ``conditions`` are If-None-Match or If-Match, and Conflict is raised if they do not hold.
        """
        __tracebackhide__ = True
        self._warn_if_unsigned()
        path = _path(service, key)
        encoded = codec.encode(value)
        libraries = encoded.about.get("libraries", {})
        header = {"format": encoded.format, "python": platform.python_version(), "build_seconds": build_seconds, **encoded.about}
        if conditions:  # so that no other put has this digest, and an attempt whose answer was lost is known again
            header["nonce"] = uuid.uuid4().hex
        signing_key = next(iter(self._config.signing_keys), None)
        sealed = frame.seal(header, encoded.segments, self._place(service, key, f"put {key!r}", patient), signing_key)
        statement = {
            "format": encoded.format,
            "python": platform.python_version(),
            "libraries": " ".join(f"{name}={version}" for name, version in libraries.items()),
            "build-seconds": "" if build_seconds is None else f"{build_seconds:.3f}",
            "digest": sealed.digest.hex(),
        }
        headers = {META + name: text[:_MAX_STATEMENT] for name, text in statement.items() if text and text.isascii()}
        headers |= {META + name: text for name, text in (about or {}).items() if text and text.isascii()}
        headers |= {"Content-Type": frame.CONTENT_TYPE, **(conditions or {})}
        try:
            self._put(path, key, sealed.parts, sealed.size, sealed.sha256, headers, patient)
        except Conflict as error:
            if not self._is_there(service, key, sealed.digest.hex(), error):
                raise

    def _is_there(self, service: str, key: str, digest: str, error: Conflict) -> bool:
        """Reports whether an earlier attempt of a put that met a conflict stored it; else the error is told who wrote what is there."""
        try:
            there = self.stat(service, key)
        except NotFound:
            error.args = (f"put {key!r}: there is nothing under this key any more",)
            return False
        except LarderError:
            return False
        error.args = (f"put {key!r}: {there.authorship()} is there",)
        return there.meta.get("digest") == digest

    def load(self, service: str, key: str, *, patient: bool = True) -> Any:
        """Get a value. Raises NotFound, IntegrityError, DecodeError and others."""
        __tracebackhide__ = True
        return self.fetch(service, key, patient=patient)[0]

    def fetch(self, service: str, key: str, *, judge: Callable[[Info], None] | None = None, patient: bool = True) -> tuple[Any, Info]:
        """Get a value and what is known of it. ``judge`` may raise a LarderError before the bytes are received."""
        __tracebackhide__ = True
        self._warn_if_unsigned()
        try:
            received, info = self._receive(service, key, judge, patient)
            return codec.decode(received, key, allow_pickle=self._config.allow_pickle), info
        except (MemoryError, OverflowError) as error:
            raise DecodeError(f"{key!r} takes more memory than there is here ({type(error).__name__})") from error

    def _receive(self, service: str, key: str, judge: Callable[[Info], None] | None, patient: bool) -> tuple[frame.Frame, Info]:
        __tracebackhide__ = True
        place = self._place(service, key, f"get {key!r}", patient)
        keys, limit = self._config.signing_keys, self._config.max_object

        def receive(answer: Response) -> tuple[frame.Frame, Info]:
            info = info_of(key, answer.headers)
            if judge is not None:
                judge(info)
            return read(answer), info

        def read(answer: Response) -> frame.Frame:
            digest = stated_digest(answer.headers)
            if answer.size < 0:
                data = self._read(answer, key)
                return frame.read(io.BytesIO(data), len(data), place, keys, digest=digest, limit=limit)
            frame.check_size(answer.size, key, limit)
            show = bar(f"get {key}", answer.size, self._config.progress) if answer.size >= SHOWN else nullcontext()
            with show as report:
                return frame.read(answer, answer.size, place, keys, digest=digest, limit=limit, progress=report)

        return self._transport.send(Request("GET", _path(service, key), what=f"get {key!r}", patient=patient), receive)

    def copy(self, service: str, old: str, new: str) -> None:
        """Put what is under one key under another, signed for that. Raises NotFound."""
        __tracebackhide__ = True
        path = _path(service, new)
        try:
            received, info = self._receive(service, old, None, True)
        except NotAFrame:
            self.store_raw(service, new, self.load_raw(service, old), self.stat(service, old).content_type)
            return
        signing_key = next(iter(self._config.signing_keys), None)
        sealed = frame.seal(received.header, received.segments, self._place(service, new, f"put {new!r}", True), signing_key)
        headers = {META + name: text for name, text in {**info.meta, "digest": sealed.digest.hex()}.items()}
        self._put(path, new, sealed.parts, sealed.size, sealed.sha256, {"Content-Type": frame.CONTENT_TYPE, **headers}, patient=True)

    # Bytes.

    def store_raw(
        self, service: str, key: str, data: bytes, content_type: str = "application/octet-stream", *, patient: bool = True
    ) -> None:
        """Put bytes as they are: without a frame, and so without a signature."""
        __tracebackhide__ = True
        digest = hashlib.sha256(data).digest()
        self._put(_path(service, key), key, [data], memoryview(data).nbytes, digest, {"Content-Type": content_type}, patient)

    def load_raw(self, service: str, key: str, *, patient: bool = True) -> bytes:
        """Get the bytes of an object, whoever wrote it. Their digest is verified, a signature is not."""
        __tracebackhide__ = True
        request = Request("GET", _path(service, key), what=f"get {key!r}", patient=patient)

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
            frame.check_size(answer.size, key, limit)
            try:
                return answer.read()
            except (MemoryError, OverflowError):
                raise DecodeError(f"there is no memory here for the {answer.size} bytes of {key!r}") from None
        data = bytearray()
        while piece := answer.read(_PIECE):
            data += piece
            frame.check_size(len(data), key, limit)
        return bytes(data)

    def _put(
        self, path: str, key: str, parts: Sequence[frame.Buffer], size: int, digest: bytes, headers: Mapping[str, str], patient: bool
    ) -> None:
        __tracebackhide__ = True
        headers = {**headers, "Repr-Digest": f"sha-256=:{base64.b64encode(digest).decode()}:"}
        show = partial(bar, f"put {key}", size, self._config.progress)
        request = Request("PUT", path, headers, parts, f"put {key!r}", show, patient=patient)
        self._transport.send(request, Response.read)

    # What is there.

    def remove(self, service: str, key: str, *, patient: bool = True) -> None:
        """Delete an object. Raises NotFound."""
        __tracebackhide__ = True
        request = Request("DELETE", _path(service, key), what=f"delete {key!r}", patient=patient)
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
        request = Request("HEAD", _path(service, key), what=f"info {key!r}", patient=patient)
        return info_of(key, self._transport.send(request, lambda a: a.headers))

    def list(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Keys:
        """All keys with a prefix, in the cache's order. Filters are those of the service."""
        __tracebackhide__ = True
        return Keys(self.entries(service, prefix, patient=patient, **filters))

    def entries(self, service: str, prefix: str = "", *, patient: bool = True, **filters: str) -> Iterator[Entry]:
        """What a listing has, a page of at most 10,000 at a time."""
        cursor = ""
        while True:
            (page, next_), last = self._entries(service, prefix, cursor, patient, filters), cursor
            yield from page
            cursor = next_
            if not cursor:
                return
            if cursor == last:
                raise ServerError(f"list {service} {prefix!r}: the listing does not go on after {page[-1].key if page else ''!r}")

    def page(self, service: str, prefix: str, *, patient: bool = True) -> Keys:
        """The first keys with a prefix, at most 10,000 of them."""
        return Keys(self._entries(service, prefix, "", patient, {})[0])

    def _entries(self, service: str, prefix: str, cursor: str, patient: bool, filters: Mapping[str, str]) -> tuple[Sequence[Entry], str]:
        """A page of a listing, and the cursor of the next."""
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
        return self._transport.send(request, lambda a: answers.read_json(a, what, _MAX_PAGE, page_of))

    def _place(self, service: str, key: str, what: str, patient: bool) -> frame.Place:
        __tracebackhide__ = True
        if self._config.signing_keys and not self._org:
            self._org = self._whoami(what, patient=patient)["org"]
        return frame.Place(self._org, service, key)

    def _warn_if_in_clear(self) -> None:
        far = [str(n) for n in self._config.nodes if n.scheme == "http" and not n.loopback]
        if far and self._config.token:
            warn(f"the token travels to {', '.join(far)} in clear, and who listens there has it: is there an https address (LARDER_URL)?")

    def _warn_if_unsigned(self) -> None:
        if self._config.signing_keys or self._warned or not self._config.allow_pickle:
            return
        self._warned = True
        warn(
            "no signing key is set: whoever can write to this cache can run code on everyone who reads pickles from it. "
            "Set LARDER_SIGNING_KEY to a secret that your group shares (docs/python.md)"
        )


# What some proxy or other decodes, merges or strips in a path: then two keys would be one.
_UNSAFE = re.compile(r"[%\\;?#]|(^|/)(\.*)(/|$)")


def _path(service: str, key: str) -> str:
    """The path of a key. A key that a proxy might normalise is in the query."""
    if not isinstance(key, str) or not key:
        raise BadRequest(f"a key is text, of 1 to 512 bytes, not {key!r}")
    try:
        if _UNSAFE.search(key):
            return f"/v1/{service}?key={quote(key, safe='')}"
        return f"/v1/{service}/{quote(key)}"
    except UnicodeEncodeError:
        raise BadRequest(f"the key {key!r} holds half of a surrogate pair, which is no text in UTF-8") from None
