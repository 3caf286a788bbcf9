"""Where a client's settings come from: variables of the environment, and a file.

A variable LARDER_NAME counts before ``name`` of the file. The file is that of LARDER_CONFIG, or
``larder/config.toml`` in the user's folder for configuration: TOML, or lines ``LARDER_NAME=value``.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path

from larder.errors import ConfigError, warn

NAMES = ("url", "token", "token_file", "signing_key", "signing_key_file", "org", "max_object")
_SECRET = ("token", "signing_key")


class File:
    """The text of a file, which is read again when the file changes. Errors name it and show nothing of it."""

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
                self._text, self._seen = Path(self.path).read_text(), seen
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
            raise ConfigError(f"{self.variable} {self.path} cannot be read: {reason}") from None
        return self._text

    def warn_if_public(self, what: str) -> None:
        """Warn if others on this machine can read it."""
        if os.name == "posix" and os.stat(self.path).st_mode & 0o004:
            warn(f"everyone on this machine can read the {what} in {self.path}: chmod o-r")


def setting(name: str) -> str:
    """The value of a setting, or empty text. Raises ConfigError."""
    return os.environ.get(f"LARDER_{name.upper()}") or _of_file().get(name, "")


def _path() -> str:
    if given := os.environ.get("LARDER_CONFIG"):
        return os.path.expanduser(given)
    base = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    path = os.path.join(base, "larder", "config.toml")
    return path if os.path.exists(path) else ""


def _of_file() -> dict[str, str]:
    path = _path()
    if not path:
        return {}
    file = File(path, "LARDER_CONFIG")
    found = _parse(file.read(), path)
    for name in _SECRET:
        if found.get(name):
            file.warn_if_public(name.replace("_", " "))
    return found


def _parse(text: str, path: str) -> dict[str, str]:
    lines = [line.strip() for line in text.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    pairs = [re.fullmatch(r"(?:export\s+)?LARDER_(\w+)\s*=\s*(.*)", line) for line in lines]
    found: dict[str, str] = {}
    if lines and all(pairs):
        found = {pair[1].lower(): pair[2].strip().strip("\"'") for pair in pairs if pair}
    else:
        try:
            table = tomllib.loads(text)
        except (tomllib.TOMLDecodeError, RecursionError):
            raise ConfigError(f'LARDER_CONFIG {path} is neither TOML, such as url = "https://…", nor lines LARDER_URL=https://…') from None
        for name, value in table.items():
            several = name in ("url", "signing_key") and isinstance(value, list) and all(isinstance(v, str) for v in value)
            if not several and (isinstance(value, bool) or not isinstance(value, (str, int))):
                raise ConfigError(f"{name} in LARDER_CONFIG {path} is text, not a {type(value).__qualname__}")
            found[name] = ("," if name == "url" else "\n").join(value) if several else str(value)
    for name in found:
        if name not in NAMES:
            raise ConfigError(f"LARDER_CONFIG {path} has {name!r}, which is no setting; there are {', '.join(NAMES)}")
    return found
