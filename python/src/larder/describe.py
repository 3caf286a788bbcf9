"""What answers of a node say of objects, in their headers and in listings."""

from __future__ import annotations

import base64
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import lru_cache
from typing import Any

from larder.errors import ServerError
from larder.listing import Entry, Info

# Compiled here, since the interpreter compiles none while it ends.
_DIGEST = re.compile(r"sha-256=:([^:]*):")
_NANOSECONDS = re.compile(r"(\.\d{6})\d+")

META = "larder-meta-"  # begins the headers of an object's metadata


def repr_digest(headers: Mapping[str, str]) -> bytes | None:
    """The SHA-256 of Repr-Digest (RFC 9530), if there is one; no bytes if it cannot be one."""
    found = _DIGEST.search(headers.get("repr-digest", ""))
    try:
        return base64.b64decode(found.group(1), validate=True) if found else None
    except ValueError:
        return b""


def stated_digest(headers: Mapping[str, str]) -> bytes | None:
    """The digest of a frame that its writer stated beside it, if there is one."""
    try:
        return bytes.fromhex(headers.get(META + "digest", "")) or None
    except ValueError:
        return None


def page_of(page: Any) -> tuple[list[Entry], str]:
    """The entries and the cursor of a listing."""
    return [Entry(e["key"] + "", int(e["size"]), e["etag"], moment_of(e["modified"]), _expiry(e)) for e in page["keys"]], page[
        "cursor"
    ] + ""


def infos_of(page: Any, headers: Mapping[str, str]) -> tuple[list[Info], str]:
    """The entries of a listing with metadata, and its cursor. Of one that nobody knows more of, ``content_type`` is empty."""
    answered = _http_date(headers["date"]) if "date" in headers else datetime.now(UTC)
    return [_described(e, answered) for e in page["keys"]], page["cursor"] + ""


def _described(e: Mapping[str, Any], answered: datetime) -> Info:
    modified, libraries, seconds = moment_of(e["modified"]), e["libraries"] or {}, e["build_seconds"]
    if isinstance(libraries, str):
        libraries = _libraries(libraries)
    return Info(
        key=e["key"] + "",
        size=int(e["size"]),
        etag=e["etag"],
        modified=modified,
        writer=e["writer"] or "",
        content_type=e["content_type"] or "",
        cache_status="",
        format="",
        python=e["python"] or "",
        libraries=dict(libraries),
        build_seconds=None if seconds is None else float(seconds),
        meta={"code": e["code"]} if e["code"] else {},
        age=max((answered - modified).total_seconds(), 0) + 1,
        expires=_expiry(e),
    )


def _expiry(e: Mapping[str, Any]) -> datetime | None:
    return moment_of(e["expires"]) if e.get("expires") else None


def _libraries(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split() if "=" in pair)


def moment_of(text: str) -> datetime:
    """A time in RFC 3339, whose fraction may have nanoseconds."""
    return datetime.fromisoformat(_NANOSECONDS.sub(lambda found: found[1], text)).astimezone(UTC)


@lru_cache(maxsize=256)
def _http_date(text: str) -> datetime:
    """A date of HTTP. The same few come again and again, and reading one takes as long as all else that is read of an answer."""
    return parsedate_to_datetime(text)


def info_of(key: str, headers: Mapping[str, str]) -> Info:
    """What an answer says of an object. Raises ServerError for what is not as it should be."""
    meta = {name.removeprefix(META): text for name, text in headers.items() if name.startswith(META)}
    try:
        size = int(headers.get("content-length", "0"))
        answered = _http_date(headers["date"]) if "date" in headers else datetime.now(UTC)
        # The end of the second in which it was written; a node leaves it out until two seconds after the write.
        modified = _http_date(headers["last-modified"]) if "last-modified" in headers else answered
        age = max((answered - modified).total_seconds(), 0) + 1
        expires = _http_date(headers["expires"]) if "expires" in headers else None
    except (ValueError, TypeError, OverflowError) as error:
        raise ServerError(f"info {key!r}: what the node says of the object is not as it should be: {error}") from None
    try:
        build_seconds = float(meta["build-seconds"])
    except (KeyError, ValueError):
        build_seconds = None
    return Info(
        key=key,
        size=size,
        etag=headers.get("etag", ""),
        modified=modified,
        writer=headers.get("larder-writer", ""),
        content_type=headers.get("content-type", ""),
        cache_status=headers.get("cache-status", ""),
        format=meta.get("format", ""),
        python=meta.get("python", ""),
        libraries=_libraries(meta.get("libraries", "")),
        build_seconds=build_seconds,
        meta=meta,
        age=age,
        expires=expires,
    )
