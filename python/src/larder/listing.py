"""What is known of objects without reading them, and how notebooks show it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from html import escape
from typing import Any, SupportsIndex, overload
from urllib.parse import quote

_SHOWN = 50  # keys of a table in a notebook
_ROWS, _CELL = 100, 600  # rows of any table, and characters of a cell; a key has 512 bytes


@dataclass(frozen=True)
class Entry:
    """One key of a listing. Sizes are in bytes."""

    key: str
    size: int
    etag: str
    modified: datetime
    expires: datetime | None = None  # from then on it is not there


@dataclass(frozen=True)
class Info:
    """What the cache knows of an object.

    ``modified`` is exact to two seconds. ``format``, ``python``, ``libraries`` and ``build_seconds`` are the
    writer's own statement, which is not part of what is signed; they are empty for an object that this client
    did not write.
    """

    key: str
    size: int
    etag: str
    modified: datetime
    writer: str
    content_type: str
    cache_status: str
    format: str
    python: str
    libraries: Mapping[str, str]
    build_seconds: float | None
    meta: Mapping[str, str]
    age: float  # seconds since it was written, a second more or less, by the clock of the node that answered
    expires: datetime | None = None  # from then on it is not there
    page: str = field(default="", repr=False, compare=False)  # where a browser shows it

    def authorship(self) -> str:
        """Who wrote the object, and when, for messages."""
        return f"an object of {self.modified:%Y-%m-%d %H:%M} UTC by {self.writer or 'an unnamed writer'}"

    def _repr_html_(self) -> str:
        took = "" if self.build_seconds is None else f"{self.build_seconds:.1f} s"
        rows = [
            ["size", human_size(self.size)],
            ["modified", _moment(self.modified)],
            ["expires", "" if self.expires is None else _moment(self.expires)],
            ["writer", self.writer],
            ["format", self.format or self.content_type],
            ["took to build", took],
            ["python", self.python],
            ["libraries", ", ".join(f"{name} {version}" for name, version in self.libraries.items())],
            ["came from", self.cache_status],
        ]
        return html_table(["", ""], [row for row in rows if row[1]], Link(self.key, self.page))


class Infos(list[Info]):
    """What is known of several objects."""

    def _repr_html_(self) -> str:
        rows = [
            [
                Link(i.key, i.page),
                human_size(i.size),
                _moment(i.modified),
                i.writer,
                "" if i.build_seconds is None else f"{i.build_seconds:.1f} s",
                "" if i.expires is None else _moment(i.expires),
            ]
            for i in self[:_SHOWN]
        ]
        more = f", the first {len(rows)} of them" if len(self) > len(rows) else ""
        total = human_size(sum(i.size for i in self))
        return html_table(["key", "size", "modified", "writer", "took to build", "expires"], rows, f"{len(self)} objects, {total}{more}")


class Keys(list[str]):
    """Keys, in the cache's order. ``entries`` says more of each: size, ETag and time."""

    def __init__(self, entries: Iterable[Entry] = (), page: str = "") -> None:
        self.entries = list(entries)
        self._page = page  # begins the address where a browser shows a key
        super().__init__(e.key for e in self.entries)

    @overload
    def __getitem__(self, at: SupportsIndex, /) -> str: ...
    @overload
    def __getitem__(self, at: slice, /) -> Keys: ...
    def __getitem__(self, at: Any, /) -> Any:
        return Keys(self.entries[at], self._page) if isinstance(at, slice) else super().__getitem__(at)

    def _repr_html_(self) -> str:
        shown = self.entries[:_SHOWN]
        rows = [[Link(e.key, self._page and self._page + quote(e.key, safe="")), human_size(e.size), _moment(e.modified)] for e in shown]
        more = f", the first {len(shown)} of them" if len(self.entries) > len(shown) else ""
        total = human_size(sum(e.size for e in self.entries))
        return html_table(["key", "size", "modified"], rows, f"{len(self)} keys, {total}{more}")


def _moment(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S %Z}"


def human_size(n: float) -> str:
    """A number of bytes for people."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if n < 1024 or unit == "GiB":
            break
        n /= 1024
    return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"


class Link(str):
    """Text of a table that leads somewhere: to the page of a node, which is at ``/ui/``."""

    __slots__ = ("href",)
    href: str

    def __new__(cls, text: str, href: str) -> Link:
        made = super().__new__(cls, text)
        made.href = href
        return made


def html_table(head: list[str], rows: Iterable[list[str]], caption: str) -> str:
    """A table for a notebook, of bounded length. Every text is escaped."""
    rows = list(rows)
    th = "".join(f"<th>{escape(text)}</th>" for text in head)
    body = "".join("<tr>" + "".join(f"<td style='text-align:left'>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows[:_ROWS])
    more = f", the first {_ROWS} rows" if len(rows) > _ROWS else ""
    return f"<table><caption>{_cell(caption)}{more}</caption><thead><tr>{th}</tr></thead><tbody>{body}</tbody></table>"


def _cell(text: str) -> str:
    shown = escape(text if len(text) <= _CELL else f"{text[:_CELL]}…")
    if not isinstance(text, Link) or not text.href.startswith(("https://", "http://")):
        return shown
    return f'<a href="{escape(text.href)}" target="_blank" rel="noopener noreferrer">{shown}</a>'
