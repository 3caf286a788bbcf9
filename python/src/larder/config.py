"""What a client is told: by arguments, or by variables of the environment."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from larder.errors import ConfigError, warn

DEFAULT_URL = "http://127.0.0.1:8080"
_MIN_SIGNING_KEY = 16


@dataclass(frozen=True)
class Node:
    """The address of a node."""

    scheme: str
    host: str
    port: int
    path: str  # before /v1, usually empty

    @property
    def authority(self) -> str:
        """Host and port."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True)
class Config:
    """A client's settings. Secrets stay out of its repr."""

    nodes: tuple[Node, ...]
    token: str = field(repr=False)
    signing_keys: tuple[bytes, ...] = field(repr=False)
    timeout: float
    connect_timeout: float
    retries: int
    allow_pickle: bool
    progress: bool | None

    def __post_init__(self) -> None:
        for name, seconds in (("timeout", self.timeout), ("connect_timeout", self.connect_timeout)):
            if not isinstance(seconds, (int, float)) or not 0 < seconds < float("inf"):
                raise ConfigError(f"{name} is a number of seconds, more than 0, not {seconds!r}")
        if not isinstance(self.retries, int) or self.retries < 0:
            raise ConfigError(f"retries is a whole number, 0 or more, not {self.retries!r}")


def parse_nodes(url: str | Sequence[str] | None) -> tuple[Node, ...]:
    """The nodes of one URL, several, or several in one text with commas; by default those of LARDER_URL."""
    if url is None:
        url = os.environ.get("LARDER_URL") or DEFAULT_URL
    texts = url.split(",") if isinstance(url, str) else _texts(url, (str,), "a url is text, or several")
    nodes = tuple(_parse_node(text.strip()) for text in texts if text.strip())
    if not nodes:
        raise ConfigError("LARDER_URL names no node; set it to the address of one, for example http://127.0.0.1:8080")
    return nodes


def _texts(given: Sequence[Any], kinds: tuple[type, ...], wanted: str) -> list[Any]:
    """What is given, if it is several of these kinds. An error shows none of it: it may be a secret."""
    if not isinstance(given, Sequence) or not all(isinstance(one, kinds) for one in given):
        raise ConfigError(f"{wanted} of them in a list, not a {type(given).__qualname__}")
    return list(given)


def _parse_node(text: str) -> Node:
    parts = urlsplit(text)
    if "@" in parts.netloc:
        raise ConfigError("LARDER_URL holds a credential; put the token into LARDER_TOKEN")
    try:
        port = parts.port
    except ValueError:
        port = -1
    strange = not text.isascii() or not text.isprintable() or " " in text or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or port == -1 or strange:
        raise ConfigError(f"{text!r} is not the address of a node; write it like http://larder.internal:8080 (LARDER_URL)")
    if parts.path.rstrip("/").endswith("/v1"):
        raise ConfigError(f"{text!r} goes too far; leave /v1 out (LARDER_URL)")
    return Node(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


def read_token(token: str | None) -> str:
    """The token given, or that of LARDER_TOKEN; empty for none."""
    text = (os.environ.get("LARDER_TOKEN") or "" if token is None else token).strip()
    if any(not "!" <= c <= "~" for c in text):
        raise ConfigError("the token holds white space or characters that no token has; copy it again (LARDER_TOKEN)")
    return text


def read_signing_keys(key: str | bytes | Sequence[str | bytes] | None) -> tuple[bytes, ...]:
    """The signing keys given, or that of LARDER_SIGNING_KEY, or those of LARDER_SIGNING_KEY_FILE, one a line.

    The first signs; all of them verify, so that a key can be replaced over time.
    """
    if key is None:
        key = _signing_keys_of_environment()
    given = [key] if isinstance(key, (str, bytes)) else _texts(key, (str, bytes), "a signing key is text or bytes, or several")
    keys = tuple(k.strip().encode() if isinstance(k, str) else k for k in given)
    for k in keys:
        if len(k) < _MIN_SIGNING_KEY:
            raise ConfigError(
                f"a signing key has {len(k)} bytes, needed are at least {_MIN_SIGNING_KEY} (for example from 'openssl rand -hex 32')"
            )
    return keys


def _signing_keys_of_environment() -> list[str]:
    if text := os.environ.get("LARDER_SIGNING_KEY"):
        return [text]
    path = os.environ.get("LARDER_SIGNING_KEY_FILE")
    if not path:
        return []
    try:
        lines = Path(path).read_text().splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"LARDER_SIGNING_KEY_FILE cannot be read: {error}") from None
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise ConfigError(f"LARDER_SIGNING_KEY_FILE {path} holds no key")
    if Path(path).stat().st_mode & 0o004:
        warn(f"everyone on this machine can read the signing key in {path}: chmod o-r")
    return keys
