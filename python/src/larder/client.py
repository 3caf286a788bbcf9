"""The client: values under keys, in either of the cache's two services."""

from __future__ import annotations

import hashlib
import io
import math
import os
import platform
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Any, Self

from larder import bounds, codec, config, credentials, frame, local
from larder.describe import META, info_of, stated_digest
from larder.errors import ConfigError, Conflict, DecodeError, LarderError, NotAFrame, NotFound, short_tracebacks, warn
from larder.http1 import Response
from larder.listing import Info, Link, html_table
from larder.progress import SHOWN, bar
from larder.raw import Put, RawClient, path_of
from larder.settings import setting
from larder.transport import Request

OBJECTS = "objects"
STRATEGIES = "strategies"

_LONGEST = 1 << 31  # seconds; nothing is older
_MAX_STATEMENT = 300  # bytes of one statement in the metadata, of which S3 keeps 2 KB

_NOTHING: Mapping[str, str] = MappingProxyType({})

Judge = Callable[[Info], None]


def max_age_field(seconds: float | None) -> Mapping[str, str]:
    """The header field of a get that takes nothing older."""
    return _NOTHING if seconds is None or seconds > _LONGEST else {"Larder-Max-Age": str(math.floor(seconds))}


@contextmanager
def _enough_memory(key: str) -> Iterator[None]:
    """What takes more memory than there is cannot be decoded."""
    try:
        yield
    except (MemoryError, OverflowError) as error:
        raise _too_large(key, error) from error


def _too_large(key: str, error: Exception) -> DecodeError:
    return DecodeError(f"{key!r} takes more memory than there is here ({type(error).__name__})")


class _Warned:
    """Of what this process was warned, whichever client it uses."""

    of_pickles = False
    in_clear: set[str] = set()  # noqa: RUF012  # it is one for the process


@short_tracebacks
class Client(RawClient):
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
        settings = config.Config(
            nodes=config.parse_nodes(url),
            token=credentials.find(token),
            signing_keys=config.read_signing_keys(signing_key),
            org=setting("org") if org is None else org,
            ca_file=os.path.expanduser(setting("ca_file")),
            max_object=config.read_max_object(max_object),
            timeout=timeout,
            connect_timeout=connect_timeout,
            retries=retries,
            allow_pickle=allow_pickle,
            progress=progress,
        )
        super().__init__(settings)
        self._org = settings.org
        self._tier = local.tier()
        self._warn_if_in_clear()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<larder.Client of {', '.join(map(str, self._config.nodes))}, {self.traits()}>"

    def _repr_html_(self) -> str:
        return html_table(["node"], [[Link(str(n), f"{n}/ui/")] for n in self._config.nodes], f"larder client, {self.traits()}")

    def traits(self) -> str:
        """How the client was made, in words."""
        c = self._config
        words = [
            "with a token" if c.token else "without a token",
            "signing" if c.signing_keys else "not signing",
            *([] if c.allow_pickle else ["refusing pickles"]),
        ]
        return ", ".join(words)

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

    @property
    def settings(self) -> config.Config:
        """What the client was told. Secrets are not in its repr."""
        return self._config

    def of_node(self, node: config.Node) -> Client:
        """A client of one node, with the same settings, that does not wait for it."""
        c = self._config
        return Client(str(node), c.token.read, list(c.signing_keys) or None, org=c.org, allow_pickle=c.allow_pickle, timeout=5, retries=0)

    def brief(self) -> Client:
        """A client with the same settings that waits for nothing, for what is nice to know."""
        c, keys = self._config, list(self._config.signing_keys)
        nodes = [str(n) for n in c.nodes]
        return Client(nodes, c.token.read, keys, org=self._org, timeout=3, connect_timeout=1, retries=0, progress=False)

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
        claim: str = "",
        patient: bool = True,
    ) -> None:
        """Put a value. A value under the same key is replaced.

        ``about`` is more metadata; ``conditions`` are more header fields: If-None-Match or If-Match, and Conflict is raised
        if they do not hold, or if ``claim``, the token of a claim, does not hold any more; or Larder-Expires-In.
        """
        __tracebackhide__ = True
        sealed = self.seal(
            service, key, value, build_seconds=build_seconds, about=about, conditions=conditions, claim=claim, patient=patient
        )
        self.put(sealed, patient=patient)

    def seal(
        self,
        service: str,
        key: str,
        value: Any,
        *,
        build_seconds: float | None = None,
        about: Mapping[str, str] | None = None,
        conditions: Mapping[str, str] | None = None,
        claim: str = "",
        patient: bool = True,
    ) -> Put:
        """A put of a value, ready to be sent. The arguments are those of ``store``."""
        __tracebackhide__ = True
        self._warn_if_unsigned()
        path_of(service, key)  # a wrong key is refused before the value is encoded
        encoded = codec.encode(value)
        header = {"format": encoded.format, "python": platform.python_version(), "build_seconds": build_seconds, **encoded.about}
        if conditions:  # so that no other put has this digest, and an attempt whose answer was lost is known again
            header["nonce"] = uuid.uuid4().hex
        sent = {**(conditions or {}), **({"Larder-Claim": claim} if claim else {})}
        return self._seal_frame(service, key, header, encoded.segments, about or {}, sent, patient)

    def _seal_frame(
        self,
        service: str,
        key: str,
        header: dict[str, Any],
        segments: Sequence[frame.Segment],
        about: Mapping[str, str],
        conditions: Mapping[str, str],
        patient: bool,
    ) -> Put:
        """A put of a frame, sealed for its key."""
        __tracebackhide__ = True
        signing_key = next(iter(self._config.signing_keys), None)
        sealed = frame.seal(header, segments, self._place(service, key, f"put {key!r}", patient), signing_key)
        libraries, seconds = header.get("libraries") or {}, header.get("build_seconds")
        statement = {
            "format": header.get("format", ""),
            "python": header.get("python", ""),
            "libraries": " ".join(f"{name}={version}" for name, version in libraries.items())[:_MAX_STATEMENT],
            "build-seconds": "" if seconds is None else f"{seconds:.3f}",
            **about,
            "digest": sealed.digest.hex(),
        }
        headers = {META + name: text for name, text in statement.items() if text and text.isascii()}
        headers |= {"Content-Type": frame.CONTENT_TYPE, **conditions}
        return Put(service, key, sealed.parts, sealed.size, sealed.sha256, headers, sealed.digest.hex())

    def put(self, put: Put, *, patient: bool = True) -> None:
        """Send a put that is ready."""
        __tracebackhide__ = True
        try:
            self._put(put, patient)
        except Conflict as error:
            if not self._is_there(put.service, put.key, put.digest, error):
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
        return self._load(service, key, None, patient)[0]

    def fetch(
        self, service: str, key: str, *, judge: Judge | None = None, max_age: float | None = None, patient: bool = True
    ) -> tuple[Any, Mapping[str, str]]:
        """Get a value, and the headers that say what is known of it. ``judge`` may raise a LarderError before the bytes are received.

        A node that knows ``max_age``, in seconds, answers NotFound for what is older; others leave that to the judge.
        """
        __tracebackhide__ = True
        return self._load(service, key, judge, patient, max_age_field(max_age))

    def _load(
        self, service: str, key: str, judge: Judge | None, patient: bool, fields: Mapping[str, str] = _NOTHING
    ) -> tuple[Any, Mapping[str, str]]:
        __tracebackhide__ = True
        self._warn_if_unsigned()
        with _enough_memory(key):
            received, headers = self._receive(service, key, self._tier, judge, patient, fields)
            return codec.decode(received, key, allow_pickle=self._config.allow_pickle, limit=self._config.max_object), headers

    def value_of(self, service: str, key: str, source: frame.Source, size: int, headers: Mapping[str, str]) -> Any:
        """The value in an answer to a GET whose body has so many bytes."""
        self._warn_if_unsigned()
        place = self._place(service, key, f"get {key!r}", True)
        try:  # as _enough_memory, which takes longer than a small value
            found = self._read_frame(place, source, size, headers)
            return codec.decode(found, key, allow_pickle=self._config.allow_pickle, limit=self._config.max_object)
        except (MemoryError, OverflowError) as error:
            raise _too_large(key, error) from error

    def load_frame(self, service: str, key: str) -> tuple[frame.Frame, Info]:
        """Get a frame, verified, as it is stored, and what is known of it. Nothing of it is unpickled."""
        __tracebackhide__ = True
        found, headers = self._receive(service, key, None, None, True)
        return found, info_of(key, headers)

    def copy(self, service: str, old: str, new: str) -> None:
        """Put what is under one key under another, signed for that. Raises NotFound."""
        __tracebackhide__ = True
        path_of(service, new)
        try:
            found, info = self.load_frame(service, old)
        except NotAFrame:
            self.store_raw(service, new, self.load_raw(service, old), self.stat(service, old).content_type)
            return
        self.put(self._seal_frame(service, new, found.header, found.segments, info.meta, {}, True))

    def _receive(
        self, service: str, key: str, tier: local.Tier | None, judge: Judge | None, patient: bool, fields: Mapping[str, str] = _NOTHING
    ) -> tuple[frame.Frame, Mapping[str, str]]:
        """The verified frame of a key, from a node or from a tier if a node confirms that; and the headers of the answer."""
        __tracebackhide__ = True
        place = self._place(service, key, f"get {key!r}", patient)
        read = partial(self._read_frame, place)
        told: list[Mapping[str, str]] = []  # the headers of each answer

        def send(headers: Mapping[str, str], receive: local.Receive) -> frame.Frame:
            __tracebackhide__ = True

            def judged(answer: Response) -> frame.Frame:
                told.append(answer.headers)
                if judge is not None:
                    judge(info_of(key, answer.headers))
                return receive(answer)

            also = (304,) if headers else ()
            request = Request("GET", path_of(service, key), {**fields, **headers}, what=f"get {key!r}", also=also, patient=patient)
            return self._transport.send(request, judged)

        if tier is None:
            found = send({}, lambda answer: read(answer, answer.size, answer.headers))
        else:
            found = tier.load(place, self._scope(), send, read)
        return found, told[-1]

    def _read_frame(self, place: frame.Place, source: frame.Source, size: int, headers: Mapping[str, str]) -> frame.Frame:
        """Read and verify a frame of so many bytes, or of any number if that is negative."""
        digest, keys, limit = stated_digest(headers), self._config.signing_keys, self._config.max_object
        if size < 0 and isinstance(source, Response):
            data = self._read(source, place.key)
            return frame.read(io.BytesIO(data), len(data), place, keys, digest=digest, limit=limit)
        bounds.check_size(size, place.key, limit)
        if size < SHOWN:
            return frame.read(source, size, place, keys, digest=digest, limit=limit)
        with bar(f"get {place.key}", size, self._config.progress) as report:
            return frame.read(source, size, place, keys, digest=digest, limit=limit, progress=report)

    def _scope(self) -> bytes:
        """What tells entries of one key apart in a local tier: the cluster, and whose signatures were verified."""
        nodes = "\n".join(sorted(map(str, self._config.nodes))).encode()
        return nodes + b"\0" + hashlib.sha256(b"\0".join(self._config.signing_keys)).digest()

    def _place(self, service: str, key: str, what: str, patient: bool) -> frame.Place:
        __tracebackhide__ = True
        if self._config.signing_keys and not self._org:
            self._org = self._whoami(what, patient=patient)["org"]
        return frame.Place(self._org, service, key)

    def _warn_if_in_clear(self) -> None:
        far = ", ".join(str(n) for n in self._config.nodes if n.scheme == "http" and not n.loopback)
        if far and self._config.token and far not in _Warned.in_clear:
            _Warned.in_clear.add(far)
            warn(f"the token travels to {far} in clear, and who listens there has it: is there an https address (LARDER_URL)?")

    def _warn_if_unsigned(self) -> None:
        if self._config.signing_keys or _Warned.of_pickles or not self._config.allow_pickle:
            return
        _Warned.of_pickles = True
        warn(
            "no signing key is set: whoever can write to this cache can run code on everyone who reads pickles from it. "
            "Set LARDER_SIGNING_KEY to a secret that your group shares (docs/python.md)"
        )
