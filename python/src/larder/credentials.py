"""The token of a client, which may change while the client lives."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field

from larder.errors import ConfigError
from larder.settings import File, setting

# Where a pod's token for Larder is projected. It is not the pod's own token, which would open Kubernetes' API.
PROJECTED = "/var/run/secrets/larder/token"

_MOMENT = 0.5  # seconds in which a file that is written is whole

Given = str | Callable[[], str] | None


@dataclass(frozen=True)
class Token:
    """Where the token comes from: the caller's text or function, or a variable or a file of the environment."""

    given: Given = field(default=None, repr=False)
    text: str = field(default="", repr=False)
    path: str = ""
    _file: list[File] = field(default_factory=list, repr=False, compare=False)

    def __bool__(self) -> bool:
        return bool(self.text or self.path or callable(self.given))

    def read(self) -> str:
        """The token as it is now; empty for none. Raises ConfigError."""
        if callable(self.given):
            try:
                text = self.given()
            except Exception as error:
                raise ConfigError(f"the function that is to return the token raised {type(error).__name__}: {error}") from error
            return _checked(text, "the token that the function returned")
        if self._file:
            return _checked(self._file[0].read(), f"the token in {self.path}")
        return self.text

    def renewed(self, refused: str) -> str:
        """The token, looked for anew if nobody gave it. One that is just being written is waited for. Raises ConfigError."""
        if self.given is not None:
            return self.read()
        until = time.monotonic() + _MOMENT
        while True:
            try:
                found = find(None)
                text = found.read()
                settled = not found.is_new() if text == refused else bool(text)
                if settled or time.monotonic() > until:
                    return text
            except ConfigError:
                if time.monotonic() > until:
                    raise
            time.sleep(_MOMENT / 20)

    def is_new(self) -> bool:
        """Reports whether it is in a file that was changed a moment ago, and may not be whole."""
        try:
            return bool(self.path) and os.stat(self.path).st_mtime > time.time() - _MOMENT
        except OSError:
            return True

    def travels(self) -> bool:
        """Reports whether another process finds the same token in its environment."""
        if callable(self.given):
            return False
        found = find(None)
        return (self.text, self.path) == (found.text, found.path)


def find(given: Given) -> Token:
    """The token given, or that of the environment. Raises ConfigError."""
    if given is not None and not isinstance(given, str) and not callable(given):
        raise ConfigError(f"a token is text, or a function that returns it, not a {type(given).__qualname__}")
    if given is not None:
        return Token(given, "" if callable(given) else _checked(given, "the token"))
    if text := os.environ.get("LARDER_TOKEN"):
        return Token(text=_checked(text, "LARDER_TOKEN"))
    if path := os.environ.get("LARDER_TOKEN_FILE"):
        return _of_file(path, "LARDER_TOKEN_FILE")
    if text := setting("token"):
        return Token(text=_checked(text, "the token in LARDER_CONFIG"))
    if path := setting("token_file"):
        return _of_file(path, "token_file")
    if setting("url") and os.path.exists(PROJECTED):
        return _of_file(PROJECTED, "the projected token")
    return Token()


def _of_file(path: str, variable: str) -> Token:
    path = os.path.expanduser(path)
    token = Token(path=path, _file=[File(path, variable)])
    token.read()
    return token


def _checked(text: str, what: str) -> str:
    text = text.strip() if isinstance(text, str) else "\0"
    if any(not "!" <= c <= "~" for c in text):
        raise ConfigError(f"{what} holds white space or characters that no token has; copy it again (LARDER_TOKEN)")
    return text
