"""The object service: any value under any key."""

from __future__ import annotations

from typing import Any

from larder.client import OBJECTS, Client
from larder.errors import short_tracebacks
from larder.listing import Info, Keys


@short_tracebacks
class ObjectService:
    """Values by key. They belong to the organisation, not to an environment."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def __repr__(self) -> str:
        return f"<larder.ObjectService of {self._client!r}>"

    def put(self, key: str, value: Any, *, build_seconds: float | None = None) -> None:
        """Store a value under a key. A value that is there is replaced."""
        self._client.store(OBJECTS, key, value, build_seconds=build_seconds)

    def get(self, key: str) -> Any:
        """The value of a key. Raises NotFound, which is a KeyError."""
        return self._client.load(OBJECTS, key)

    def keys(self, prefix: str = "") -> Keys:
        """All keys that begin with a prefix."""
        return self._client.list(OBJECTS, prefix)

    def delete(self, key: str) -> None:
        """Remove a key. Raises NotFound if it is not there."""
        self._client.remove(OBJECTS, key)

    def info(self, key: str) -> Info:
        """Size, time, writer, versions of an object, without reading it. Raises NotFound."""
        return self._client.stat(OBJECTS, key)

    def put_raw(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store bytes as they are, for tools that are not this client. They are not signed."""
        self._client.store_raw(OBJECTS, key, data, content_type)

    def get_raw(self, key: str) -> bytes:
        """The bytes of an object, whoever wrote it. No signature is verified, and nothing is unpickled."""
        return self._client.load_raw(OBJECTS, key)
