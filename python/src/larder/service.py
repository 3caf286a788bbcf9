"""What both services do with keys."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Iterator
from datetime import date, timedelta
from functools import partial
from typing import Any, TypeVar

from larder import many
from larder.client import Client
from larder.errors import BadRequest, ConfigError, NotFound, short_tracebacks
from larder.listing import Info, Infos, Keys, Link, html_table
from larder.many import READS, each
from larder.removal import Narrow, Removed, remove

T = TypeVar("T")

_LONGEST_LIFE = 1 << 31  # seconds, as nodes have it


@short_tracebacks
class Service:
    """The keys of one service of the cache, by the name that it has in requests."""

    def __init__(self, client: Client, name: str) -> None:
        self._client = client
        self._name = name

    def _repr_html_(self) -> str:
        return html_table(["", ""], [[name, text] for name, text in self._about().items()], f"larder, {self._name}")

    def _about(self) -> dict[str, str]:
        """What a notebook shows of the service; nothing is asked for it."""
        nodes = self._client.settings.nodes
        shown = Link(str(nodes[0]), self._client.view_at(f"find?service={self._name}"))
        return {
            "node": shown,
            **({"other nodes": ", ".join(map(str, nodes[1:]))} if len(nodes) > 1 else {}),
            "client": self._client.traits(),
        }

    def __contains__(self, key: object) -> bool:
        """Reports whether a key is there, which what can be no key is not."""
        if not isinstance(key, str):
            return False
        try:
            self._client.stat(self._name, key)
        except NotFound:
            return False
        except BadRequest as error:
            if error.status is not None and error.request_id is None:  # that is no node's word
                raise
            return False
        return True

    def __iter__(self) -> Iterator[str]:
        """All keys, which are asked for a page at a time."""
        return (entry.key for entry in self._client.entries(self._name))

    def __len__(self) -> int:
        """How many keys there are; all of them are listed for it."""
        return sum(1 for _ in self)

    def __bool__(self) -> bool:
        return True  # not "has keys": nobody expects a listing behind 'if service'

    def info(self, key: str) -> Info:
        """Size, time, writer, versions of an object, without reading it. Raises NotFound."""
        return self._found(key, lambda: self._client.stat(self._name, key))

    def _found(self, key: str, call: Callable[[], T]) -> T:
        """What a call for a key returns. If the key is not there, the error says what there is instead."""
        try:
            return call()
        except NotFound as error:
            self._explain(key, error)
            raise

    def _explain(self, key: str, error: NotFound) -> None:
        from larder.environment import env, is_initialised  # which needs services
        from larder.nearest import Here, explain

        if error.status == 404 and "expired" not in error.args[0]:
            under = Here(dict(env()) if is_initialised() else None)
            error.explained(partial(explain, self._client, self._name, key, under))

    def info_many(self, prefix: str = "") -> Infos:
        """What is known of each key with a prefix, its writer among it. What is removed meanwhile is left out."""
        try:
            known = {info.key: info for info in self._client.infos(self._name, prefix)}
            keys = list(known)
        except (BadRequest, ConfigError):  # an older node lists keys only
            known, keys = {}, self._client.list(self._name, prefix)
        asked = [key for key in keys if key not in known or not known[key].content_type]
        found = known | each("info_many", _unless_absent(self.info), asked, READS)
        return Infos(info for key in keys if (info := found[key]) is not None)

    def copy(self, old: str, new: str) -> None:
        """Put what is under one key under another, without unpickling it; what is there is replaced. Raises NotFound."""
        self._found(old, lambda: self._client.copy(self._name, old, new))

    def rename(self, old: str, new: str) -> None:
        """Copy, then delete the old key: for a moment both are there. Raises NotFound."""
        if old == new:
            return
        self.copy(old, new)
        self._client.remove(self._name, old)

    def remove_by_prefix(
        self,
        prefix: str,
        dry_run: bool = False,
        *,
        ask: bool | None = None,
        older_than: float | timedelta | None = None,
        env_date: str | date | None = None,
        env_hash: str | None = None,
        writer: str | None = None,
    ) -> Removed:
        """Remove all keys with a prefix, of everybody; with ``dry_run`` only count them.

        In a notebook or an interactive session it asks first, unless ``ask`` is False. ``older_than`` (seconds since it was
        written), ``writer``, and for strategies ``env_date`` and ``env_hash`` narrow what is removed. Who has not the role
        admin removes his own. Raises PartialError if some could not be removed.
        """
        narrow = Narrow(older_than, env_date, env_hash, writer)
        asks = _is_interactive() if ask is None else ask
        size = 0
        if dry_run or asks:
            found = remove(self._client, self._name, prefix, narrow, dry_run=True)
            if dry_run or not found.count:
                return found if dry_run else Removed()
            if not _agrees(f"{found} under {prefix!r}. Remove them? [y/N] "):
                return Removed()
            size = found.bytes
        return remove(self._client, self._name, prefix, narrow, dry_run=False, of=size)

    def _keys(self, prefix: str) -> Keys:
        return self._client.list(self._name, prefix)

    def _get_many(self, keys: Iterable[str], max_age: float | None = None) -> dict[str, Any]:
        if isinstance(keys, str):
            raise BadRequest(f"get_many takes several keys, for example [{keys!r}], or what keys(prefix) returns")
        sizes = {entry.key: entry.size for entry in keys.entries} if isinstance(keys, Keys) else {}
        return many.get_many(self._client, self._name, list(dict.fromkeys(keys)), sizes, max_age)


def seconds_of(max_age: Any) -> float | None:
    """An age in seconds. Raises ValueError for what is none."""
    seconds = max_age.total_seconds() if isinstance(max_age, timedelta) else max_age
    if seconds is not None and (isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not seconds >= 0):
        raise ValueError(f"max_age is a number of seconds, or a timedelta, not {max_age!r}")
    return seconds


def seconds_stale(stale_ok: Any, max_age: Any) -> float:
    """For how long after ``max_age`` a value is still returned. Raises ValueError."""
    if stale_ok is None or stale_ok is False:
        return 0.0
    if max_age is None:
        raise ValueError("stale_ok goes with max_age: without it, nothing is too old")
    if stale_ok is True:
        return math.inf
    try:
        return seconds_of(stale_ok) or 0.0
    except ValueError:
        raise ValueError(f"stale_ok is True, a number of seconds, or a timedelta, not {stale_ok!r}") from None


def check_wait(wait: Any) -> float | None:
    """How long to wait for a build, in seconds. Raises ValueError."""
    try:
        return seconds_of(wait)
    except ValueError:
        raise ValueError(f"wait is a number of seconds, or a timedelta, not {wait!r}") from None


def expires_in_field(expires_in: Any) -> dict[str, str]:
    """The header field of a put that expires, if it does. Raises BadRequest for what is no time to live."""
    seconds = expires_in.total_seconds() if isinstance(expires_in, timedelta) else expires_in
    if seconds is None:
        return {}
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)) or not 0 < seconds <= _LONGEST_LIFE:
        raise BadRequest(f"expires_in is a number of seconds, more than 0 and at most {_LONGEST_LIFE}, or a timedelta, not {expires_in!r}")
    return {"Larder-Expires-In": str(math.ceil(seconds))}


def _unless_absent(function: Callable[[str], T]) -> Callable[[str], T | None]:
    def call(key: str) -> T | None:
        try:
            return function(key)
        except NotFound:
            return None

    return call


def _agrees(question: str) -> bool:
    """Ask the person who types here. Raises BadRequest if nobody can answer."""
    try:
        return input(question).strip().lower() in ("y", "yes")
    except (EOFError, OSError, RuntimeError, NotImplementedError) as error:  # the last ones of a notebook that is run by a program
        raise BadRequest(f"remove_by_prefix asks first, and nobody can answer here ({type(error).__name__}): say ask=False") from None


def _is_interactive() -> bool:
    """Reports whether a person types here: in a notebook, in IPython, or at Python's prompt."""
    ipython = sys.modules.get("IPython")
    return bool(ipython is not None and ipython.get_ipython()) or hasattr(sys, "ps1")
