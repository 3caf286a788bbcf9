"""Where a client's settings come from: variables of the environment, and a file.

A variable LARDER_NAME counts before ``name`` of the file. The file is that of LARDER_CONFIG, or
``larder/config.toml`` or ``larder/config`` in the user's folder for configuration: TOML, or lines
``LARDER_NAME=value``.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Any

from larder.errors import ConfigError, warn

NAMES = (
    "url",
    "token",
    "token_file",
    "signing_key",
    "signing_key_file",
    "org",
    "ca_file",
    "max_object",
    "local_cache",
    "local_cache_dir",
    "builds",
)
_SECRET = ("token", "signing_key")


class File:
    """The text of a file, which is read again when the file changes. Errors name it and show nothing of it.

    Who replaces a file may empty or remove it for a moment: until it has text again, its last text counts.
    """

    def __init__(self, path: str, variable: str) -> None:
        self.path = path
        self.variable = variable
        self._seen: tuple[int, ...] = ()
        self._text = ""

    def read(self) -> str:
        """The text. Raises ConfigError."""
        try:
            stat = os.stat(self.path)
            seen = (stat.st_mtime_ns, stat.st_size, stat.st_ino)
            if seen != self._seen:
                text = Path(self.path).read_text()
                if text.strip() or not self._text:
                    self._text, self._seen = text, seen
        except (OSError, UnicodeDecodeError) as error:
            if self._text:
                return self._text
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise ConfigError(f"{self.variable} {self.path} cannot be read: {reason}") from None
        return self._text

    def warn_if_public(self, what: str) -> None:
        """Warn if others on this machine can read it."""
        if os.name == "posix" and os.stat(self.path).st_mode & 0o004:
            warn(f"everyone on this machine can read the {what} in {self.path}: chmod o-r")


def setting(name: str) -> str:
    """The value of a setting, or empty text. Raises ConfigError."""
    if text := os.environ.get(f"LARDER_{name.upper()}"):
        return text
    path = _path()
    if not path:
        return ""
    file = File(path, "LARDER_CONFIG")
    text = _parse(file.read(), path).get(name, "")
    if text and name in _SECRET:
        file.warn_if_public(name.replace("_", " "))
    return text


def _path() -> str:
    if given := os.environ.get("LARDER_CONFIG"):
        return os.path.expanduser(given)
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    paths = [os.path.join(base, "larder", name) for name in ("config.toml", "config")]
    return next((path for path in paths if os.path.exists(path)), "")


def _parse(text: str, path: str) -> dict[str, str]:
    """The settings of a file, by name. Names may be those of the variables."""
    try:
        table: dict[str, Any] = tomllib.loads(text)
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        if path.endswith(".toml"):
            raise ConfigError(f"LARDER_CONFIG {path} is not TOML: {error}") from None
        table = _lines(text, path)
    found: dict[str, str] = {}
    for given, value in table.items():
        name = given.lower().removeprefix("larder_")
        if name not in NAMES:
            raise ConfigError(f"LARDER_CONFIG {path} has {given!r}, which is no setting; there are {', '.join(NAMES)}")
        several = name in ("url", "signing_key") and isinstance(value, list) and all(isinstance(v, str) for v in value)
        if not several and (isinstance(value, bool) or not isinstance(value, (str, int))):
            raise ConfigError(f"{given} in LARDER_CONFIG {path} is text, not a {type(value).__qualname__}")
        found[name] = ("," if name == "url" else "\n").join(value) if several else str(value)
    return found


def _lines(text: str, path: str) -> dict[str, str]:
    """What lines NAME=value say, as a shell or systemd reads them."""
    lines = [line.strip() for line in text.splitlines()]
    pairs = [re.fullmatch(r"(?:export\s+)?(\w+)\s*=\s*(.*)", line) for line in lines if line and not line.startswith("#")]
    if not all(pairs):
        raise ConfigError(f'LARDER_CONFIG {path} is neither TOML, such as url = "https://…", nor lines LARDER_URL=https://…')
    return {pair[1]: pair[2].strip().strip("\"'") for pair in pairs if pair}
