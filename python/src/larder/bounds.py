"""How much memory what is read may take."""

from __future__ import annotations

import json
from typing import Any

from larder.errors import DecodeError

# Bytes that CPython takes for an empty dict or list with its place in another, and for a small value with its place.
_CONTAINER = 72
_ITEM = 32


def check_size(size: int, key: str, limit: int | None) -> None:
    """Raise DecodeError if a value of so many bytes is not to be read here."""
    if limit is not None and size > limit:
        raise DecodeError(
            f"{key!r} has {size} bytes, and this client reads at most {limit}; "
            "larder.Client(max_object=...) or LARDER_MAX_OBJECT allows more"
        )


def read_json(text: bytes, key: str, limit: int | None) -> Any:
    """The value of JSON. Raises DecodeError if its objects would take more memory than ``limit``."""
    taken = len(text) + _CONTAINER * (text.count(b"{") + text.count(b"[")) + _ITEM * text.count(b",")
    if limit is not None and taken > limit:
        raise DecodeError(
            f"{key!r} would take some {taken} bytes of memory, and this client reads at most {limit}; "
            "larder.Client(max_object=...) or LARDER_MAX_OBJECT allows more"
        )
    return json.loads(text)
