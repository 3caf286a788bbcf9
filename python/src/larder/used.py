"""What an organisation has in the cache, may have there, and has saved by reading from it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from larder.listing import Link, html_table, human_size


@dataclass(frozen=True)
class Held:
    """What is in the cache: bytes, and the number of objects."""

    bytes: int
    objects: int


@dataclass(frozen=True)
class Saving:
    """What was saved: seconds of building, by ``hits`` (reads of what was built).

    ``cost`` is what that building would have cost, if the cluster's policy says what an hour does.
    """

    seconds: float
    hits: int
    cost: float | None


@dataclass(frozen=True)
class Usage:
    """What ``larder.usage()`` returns. ``limits`` are the policy's; None is no limit. Days and months are UTC."""

    org: str
    bytes: int
    objects: int
    services: Mapping[str, Held]
    writers: Mapping[str, Held]
    counted: datetime | None
    limits: Mapping[str, float | None]
    today: Saving
    month: Saving
    all: Saving
    names: Mapping[str, Saving]
    users: Mapping[str, Saving]
    served: Saving = Saving(0, 0, None)  # what the caller's own objects saved others
    people: int = 0  # how many others
    page: str = field(default="", repr=False, compare=False)  # where a browser shows it

    def __repr__(self) -> str:
        return (
            f"<larder.Usage of {self.org}: {self.objects:,} objects, {human_size(self.bytes)}{self._of_limit()}; "
            f"saved {_took(self.today.seconds)} today, {_took(self.month.seconds)} this month, {_took(self.all.seconds)} in all>"
        )

    def _of_limit(self) -> str:
        most = self.limits.get("max_bytes")
        return f" of {human_size(most)}" if most else ""

    def _repr_html_(self) -> str:
        rows = [["in the cache", f"{human_size(self.bytes)}{self._of_limit()}", f"{self.objects:,} objects"]]
        for title, saving in (("saved today", self.today), ("saved this month", self.month), ("saved in all", self.all)):
            rows.append([title, _took(saving.seconds), _times(saving)])
        if self.people:
            rows.append([f"your builds served {self.people:,}", _took(self.served.seconds), _times(self.served)])
        rows += [[f"name: {name}", _took(saving.seconds), _times(saving)] for name, saving in self.names.items()]
        rows += [[f"user: {name}", _took(saving.seconds), _times(saving)] for name, saving in self.users.items()]
        return html_table(["", "", ""], rows, Link(f"what {self.org} has and saved", self.page))


def usage_of(found: Any) -> Usage:
    """What a node answers, read."""
    saved = found["saved"]
    return Usage(
        org=found["org"] + "",
        bytes=int(found["bytes"]),
        objects=int(found["objects"]),
        services=_held(found["services"]),
        writers=_held(found["writers"]),
        counted=datetime.fromisoformat(found["counted"]) if found["counted"] else None,
        limits=dict(found["limits"]),
        today=_saving(saved["today"]),
        month=_saving(saved["month"]),
        all=_saving(saved["all"]),
        names={line["name"]: _saving(line) for line in found["names"]},
        users={line["name"]: _saving(line) for line in found["users"]},
        **_served(found.get("served")),
    )


def _served(found: Any) -> dict[str, Any]:
    """What older nodes do not say."""
    return {} if found is None else {"served": _saving(found), "people": int(found["people"])}


def _held(found: Any) -> dict[str, Held]:
    return {name: Held(int(held["bytes"]), int(held["objects"])) for name, held in found.items()}


def _saving(found: Any) -> Saving:
    cost = found["cost"]
    return Saving(float(found["seconds"]), int(found["hits"]), None if cost is None else float(cost))


def _took(seconds: float) -> str:
    """A length of time for people."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:,.1f} {unit}"
    return f"{seconds:.1f} s"


def _times(saving: Saving) -> str:
    cost = "" if saving.cost is None else f", worth {saving.cost:,.2f}"
    return f"{saving.hits:,} reads{cost}"
