"""What is known of objects without reading them, and how notebooks show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from html import escape


@dataclass(frozen=True)
class Entry:
    """One key of a listing. Sizes are in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime


@dataclass(frozen=True)
class Info:
    """What the cache knows of an object.

    ``format``, ``python``, ``libraries`` and ``build_seconds`` are the writer's own statement, which is not
    part of what is signed; they are empty for an object that this client did not write.
    """

    key: str
    size: int
    etag: str
    modified: datetime | None
    writer: str
    content_type: str
    cache_status: str
    format: str
    python: str
    libraries: Mapping[str, str]
    build_seconds: float | None
    meta: Mapping[str, str]
    age: float | None = None  # seconds since it was written, by the clock of the node that answered

    def authorship(self) -> str:
        """Who wrote the object, and when, for messages."""
        when = f" of {self.modified:%Y-%m-%d %H:%M} UTC" if self.modified else ""
        return f"an object{when} by {self.writer or 'an unnamed writer'}"


class Keys(list[str]):
    """Keys, in the cache's order. ``entries`` says more of each: size, ETag and time."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.entries = list(entries)
        super().__init__(e.key for e in self.entries)

    def _repr_html_(self) -> str:
        rows = [[e.key, human_size(e.size), f"{e.modified:%Y-%m-%d %H:%M:%S}"] for e in self.entries]
        return html_table(["key", "size", "modified"], rows, f"{len(self)} keys")


def human_size(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            break
        n /= 1024
    return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"


def html_table(head: list[str], rows: Iterable[list[str]], caption: str) -> str:
    """A table for a notebook; every text is escaped."""
    th = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table><caption>{escape(caption)}</caption><thead><tr>{th}</tr></thead><tbody>{body}</tbody></table>"
