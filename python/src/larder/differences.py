"""What an object was made under, as metadata says it, and how that differs from what is here."""

from __future__ import annotations

import json
import platform
import re
from collections.abc import Mapping
from typing import Any

from blake3 import blake3

from larder.arguments import plain_text
from larder.envhash import canonical

_MAX_SETTINGS = 500  # bytes; S3 keeps 2 KB of metadata in all
_MAX_VALUE = 40  # characters
_SECRET = re.compile(r"pass|secret|token|credential|api_?key|private", re.IGNORECASE)


def settings_statement(settings: Mapping[str, Any]) -> str:
    """Settings, names and values, as JSON in ASCII of a bounded length.

    A value that is long, or whose name is that of a secret, is stated by a digest. If all of them are too many,
    so are the others; and if that is too much, nothing is stated.
    """
    short = {name: _value(name, value) for name, value in sorted(settings.items())}
    for stated in (short, {name: _digest(value) for name, value in sorted(settings.items())}):
        text = json.dumps(stated, separators=(",", ":"))
        if len(text) <= _MAX_SETTINGS:
            return text
    return ""


def _value(name: str, value: Any) -> str:
    text = plain_text(value)
    return _digest(value) if text is None or len(text) > _MAX_VALUE or _SECRET.search(name) else text


def _digest(value: Any) -> str:
    return "#" + blake3(canonical(value)).hexdigest(length=4)


def settings_differences(stated: str, settings: Mapping[str, Any]) -> str:
    """How stated settings differ from those here: ``universe: 'DAX' there, 'SPX' here``; empty if that is not known."""
    try:
        there = json.loads(stated)
    except ValueError:
        return ""
    if not isinstance(there, dict):
        return ""
    parts = []
    for name in sorted({*there, *settings}):
        theirs = str(there.get(name, "none"))
        ours = "none"
        if name in settings:
            ours = _digest(settings[name]) if theirs.startswith("#") else _value(name, settings[name])
        if ours != theirs:
            parts.append(f"{name}: {_shown(theirs)} there, {_shown(ours)} here")
    return "; ".join(parts)


def _shown(text: str) -> str:
    return f"a value of digest {text[1:]}" if text.startswith("#") else text


def code_statement(digest: str) -> str:
    """The digest of code as metadata has it: with the version of Python whose bytecode it is of."""
    return f"{_minor(platform.python_version())}:{digest}" if digest else ""


def code_differs(stated: str, digest: str) -> bool:
    """Reports whether stated code is known to be another: of the same Python, with another digest."""
    version, _, there = stated.partition(":")
    return bool(digest and there) and version == _minor(platform.python_version()) and there != digest


def _minor(version: str) -> str:
    return ".".join(version.split(".")[:2])


def about_environment(settings: Mapping[str, Any], env_hash: str) -> dict[str, str]:
    """What metadata says of the environment in which an object was made."""
    return {"env-hash": env_hash, "settings": settings_statement(settings)}
