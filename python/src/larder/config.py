"""What a client is told: by arguments, by variables of the environment, or by a file."""

from __future__ import annotations

import ipaddress
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from larder import credentials
from larder.errors import ConfigError
from larder.settings import File, setting

DEFAULT_URL = "http://127.0.0.1:8080"
_MIN_SIGNING_KEY = 16
_SHARE = 2  # the largest object that is read has half of the memory
_MEMORY = 8 << 30  # bytes of a machine that does not tell


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

    @property
    def loopback(self) -> bool:
        """Reports whether the node is on this machine."""
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return self.host == "localhost" or self.host.endswith(".localhost")

    def __str__(self) -> str:
        return f"{self.scheme}://{self.authority}{self.path}"


@dataclass(frozen=True)
class Config:
    """A client's settings. Secrets stay out of its repr."""

    nodes: tuple[Node, ...]
    token: credentials.Token
    signing_keys: tuple[bytes, ...] = field(repr=False)
    org: str
    ca_file: str
    max_object: int
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
        if not isinstance(self.max_object, int) or self.max_object < 1:
            raise ConfigError(f"max_object is a number of bytes, more than 0, not {self.max_object!r}")
        if not isinstance(self.org, str):
            raise ConfigError(f"org is the name of an organisation, not {self.org!r}")


def parse_nodes(url: str | Sequence[str] | None) -> tuple[Node, ...]:
    """The nodes of one URL, several, or several in one text with commas; by default those of LARDER_URL."""
    if url is None:
        url = setting("url") or DEFAULT_URL
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
    wrong = ConfigError(f"{text!r} is not the address of a node; write it like http://larder.internal:8080 (LARDER_URL)")
    if "@" in text:
        raise ConfigError("LARDER_URL holds a credential; put the token into LARDER_TOKEN")
    try:
        parts = urlsplit(text)
        port = parts.port
        (parts.hostname or "").encode("idna")
    except ValueError:
        raise wrong from None
    strange = not text.isascii() or not text.isprintable() or " " in text or parts.query or parts.fragment
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0 or strange:
        raise wrong
    if re.search(r"/v1(/(objects|strategies|whoami|builds|batch)(/.*)?)?/*$", parts.path):
        raise ConfigError(f"{text!r} goes too far; leave {parts.path[parts.path.index('/v1') :]} out (LARDER_URL)")
    return Node(parts.scheme, parts.hostname, port or (443 if parts.scheme == "https" else 80), parts.path.rstrip("/"))


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
    if not path and (text := setting("signing_key")):
        return text.splitlines()
    path = path or setting("signing_key_file")
    if not path:
        return []
    file = File(os.path.expanduser(path), "LARDER_SIGNING_KEY_FILE")
    keys = [line.strip() for line in file.read().splitlines() if line.strip()]
    if not keys:
        raise ConfigError(f"LARDER_SIGNING_KEY_FILE {path} holds no key")
    file.warn_if_public("signing key")
    return keys


def read_max_object(given: int | None) -> int:
    """The number of bytes given, or that of LARDER_MAX_OBJECT, or half of the memory that this process may have."""
    if given is not None:
        return given
    if text := setting("max_object"):
        if not re.fullmatch(r"[1-9]\d{0,18}", text):
            raise ConfigError(f"LARDER_MAX_OBJECT is a number of bytes, not {text!r}")
        return int(text)
    return _memory() // _SHARE


def _memory() -> int:
    """The memory of this machine, or of this container."""
    try:
        found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    except (AttributeError, ValueError, OSError):
        found = [_MEMORY]
    for path in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            with open(path) as file:
                found.append(int(file.read()))
        except (OSError, ValueError):
            continue
    return min(found)
