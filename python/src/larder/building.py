"""Building a key of a service by a function, and what is being built in the organisation."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from urllib.parse import quote

from larder import answers
from larder.calls import CoroutineCalls, FunctionCalls
from larder.claims import listed_path
from larder.client import OBJECTS, STRATEGIES, Client
from larder.describe import moment_of
from larder.entry import Entry, Options, Slot
from larder.environment import Environment, env
from larder.errors import BadRequest
from larder.flights import Flights
from larder.listing import Link, html_table
from larder.raw import path_of
from larder.service import check_wait, seconds_of
from larder.transport import Request
from larder.watch import describe

_MAX_LIST = 16 << 20  # bytes
_flights = Flights()


@dataclass(frozen=True)
class How:
    """What a build was told."""

    max_age: float | timedelta | None = None
    wait: float | timedelta | None = None
    single_build: bool = True


def build(
    client: Client,
    service: str,
    key: str,
    environment: Environment | None,
    function: Callable[..., Any],
    args: Any,
    kwargs: Any,
    how: How,
) -> Any:
    """What is under a key, or else what a function returns, which is stored. Of a coroutine function it is awaited."""
    path_of(service, key)
    if not callable(function):
        raise BadRequest(f"build takes a function and its arguments, for example build({key!r}, load, 'SAP'), not {function!r}")
    options = Options(
        service, key, max_age=seconds_of(how.max_age), single_build=how.single_build, wait=check_wait(how.wait), code="ignore"
    )
    entry = Entry(function, options)
    changes, env_hash = (0, "") if environment is None else (environment.changes(), environment.env_hash)
    slot = Slot(environment, client, key, env_hash, changes)
    kind = CoroutineCalls if inspect.iscoroutinefunction(function) else FunctionCalls
    return kind(entry, _flights).call_in(slot, args, kwargs)


@dataclass(frozen=True)
class Build:
    """What is being built: by whom, since when, for how many seconds, and how long it is thought to take."""

    service: str
    key: str
    builder: str
    since: datetime | None
    elapsed: float
    expect: float | None
    progress: float | None
    message: str
    waiting: int  # how many wait for it

    def __str__(self) -> str:
        others = f"; {self.waiting} wait" if self.waiting else ""
        return describe(self.key, vars(self)) + others


class Builds(list[Build]):
    """What is being built now."""

    def __init__(self, builds: Iterable[Build] = (), page: str = "") -> None:
        super().__init__(builds)
        self._page = page  # where a browser shows it

    def __repr__(self) -> str:
        return "\n".join(map(str, self)) or "nothing is being built"

    def _repr_html_(self) -> str:
        rows = [
            [
                Link(b.key, self._page and f"{self._page.removesuffix('builds')}object/{b.service}/{quote(b.key, safe='')}"),
                b.builder,
                f"{b.elapsed:.0f} s",
                "" if b.expect is None else f"{b.expect:.0f} s",
                "" if b.progress is None else f"{b.progress:.0%}",
                b.message,
                str(b.waiting),
            ]
            for b in self
        ]
        return html_table(
            ["key", "builder", "for", "usually takes", "done", "", "waiting"], rows, Link(f"{len(self)} being built", self._page)
        )


def builds(prefix: str = "", *, client: Client | None = None) -> Builds:
    """What is being built in the organisation whose key begins with a prefix, in both services."""
    asked = client or env().client
    return Builds((b for service in (OBJECTS, STRATEGIES) for b in builds_of(asked, service, prefix)), asked.view_at("builds"))


def builds_of(client: Client, service: str, prefix: str) -> Iterable[Build]:
    """What is being built of one service."""
    if not isinstance(prefix, str):
        raise BadRequest(f"a prefix is text, not {prefix!r}")
    what = f"list builds of {service} {prefix!r}"
    request = Request("GET", listed_path(service, prefix), {"Accept": "application/json"}, what=what, json=True)
    return client.transport.send(
        request, lambda a: answers.read_json(a, what, _MAX_LIST, lambda found: [_build(service, b) for b in found["builds"]])
    )


def _build(service: str, b: Mapping[str, Any]) -> Build:
    optional = {name: None if b.get(name) is None else float(b[name]) for name in ("expect", "progress")}
    since = moment_of(b["since"]) if b.get("since") else None
    return Build(
        service=service,
        key=b["key"] + "",
        builder=b.get("builder") or "",
        since=since,
        elapsed=float(b.get("elapsed") or 0),
        message=b.get("message") or "",
        waiting=int(b.get("waiting") or 0),
        **optional,
    )
