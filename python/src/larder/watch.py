"""Shows somebody who waits what is being built, by whom, and for how long: in a terminal, a notebook, or the log."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

_SHOWN_AFTER = 1.0  # seconds
_LOGGED_EACH = 60.0
_KEY_LEFT = 10  # characters that a narrow terminal shows of a key

_log = logging.getLogger("larder")


def describe(key: str, build: Mapping[str, Any], more: float = 0.0) -> str:
    """One build in a line. ``more`` is how many seconds ago it was as it says."""
    if not build.get("builder"):
        return f"waiting for {key!r}"
    text = f"{_plain(build['builder'])} has been building {key!r} for {_duration(float(build.get('elapsed') or 0) + more)}"
    if build.get("expect"):
        text += f", which usually takes {_duration(float(build['expect']))}"
    if build.get("progress") is not None:
        text += f"; {float(build['progress']):.0%}"
    if build.get("message"):
        text += f": {_plain(build['message'])}"
    return text


def _plain(text: Any) -> str:
    return "".join(c if c.isprintable() else " " for c in str(text))[:200]


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class Watch:
    """What somebody sees who waits for one key."""

    def __init__(self, key: str, *, shown: bool | None) -> None:
        self._key = key
        self._shown = shown
        self._began = time.monotonic()
        self._news: Mapping[str, Any] | None = None
        self._heard = self._began
        self._line = False
        self._cell: Any = None
        self._logged = 0.0

    def update(self, news: Mapping[str, Any] | None) -> None:
        """Show the last news. Called each second."""
        now = time.monotonic()
        if news is not self._news:
            self._news, self._heard = news, now
        if news is None or now < self._began + _SHOWN_AFTER:
            return
        with suppress(Exception):  # what cannot be shown is no reason not to wait
            self._show(describe(self._key, news, now - self._heard), now)

    def _show(self, text: str, now: float) -> None:
        if self._shown is not False and "ipykernel" in sys.modules and "IPython" in sys.modules:
            self._show_in_cell(text)
        elif self._shown is not False and sys.stderr is not None and sys.stderr.isatty():
            self._line = True
            sys.stderr.write(f"\r\x1b[K{_fitted(text, self._key, _width())}")
            sys.stderr.flush()
        elif now > self._logged + _LOGGED_EACH or not self._logged:
            self._logged = now
            _log.info("%s", text)

    def _show_in_cell(self, text: str) -> None:
        from IPython import display as shown

        if self._cell is None:
            self._cell = shown.display(_Text(text), display_id=True)  # type: ignore[no-untyped-call]
        else:
            self._cell.update(_Text(text))

    def close(self) -> None:
        """Take away what was shown."""
        with suppress(Exception):
            if self._line:
                sys.stderr.write("\r\x1b[K")
                sys.stderr.flush()
            if self._cell is not None:
                self._cell.update(_Text(""))


class _Text:
    """A line of text in a notebook."""

    def __init__(self, text: str) -> None:
        self._text = text

    def __repr__(self) -> str:
        return self._text


def _fitted(text: str, key: str, width: int) -> str:
    """A line that a terminal has room for. The key gives way first: who looks at the line knows it, and not how long it takes."""
    left = max(_KEY_LEFT, len(key) - (len(text) - width) - 1)
    if left + 1 < len(key):
        text = text.replace(repr(key), repr(key[:left] + "…"), 1)
    return text[:width]


def _width() -> int:
    import shutil

    return shutil.get_terminal_size().columns - 1
