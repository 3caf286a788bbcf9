"""The object service: any value under any key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from typing import Any, TypeVar

from larder import many
from larder.client import OBJECTS, Client
from larder.errors import BadRequest, NotFound, short_tracebacks
from larder.listing import Keys
from larder.many import check_age
from larder.service import Service, expires_in_field, seconds_of

T = TypeVar("T")


class _Absent:
    """No default was given."""


_ABSENT = _Absent()


@short_tracebacks
class ObjectService(Service):
    """Values by key. They belong to the organisation, not to an environment."""

    def __init__(self, client: Client) -> None:
        super().__init__(client, OBJECTS)

    def __repr__(self) -> str:
        return f"<larder.ObjectService of {self._client!r}>"

    def put(
        self,
        key: str,
        value: Any,
        *,
        if_absent: bool = False,
        if_match: str | None = None,
        expires_in: float | timedelta | None = None,
        build_seconds: float | None = None,
    ) -> None:
        """Store a value under a key. A value that is there is replaced. After ``expires_in`` seconds it is there no more.

        With ``if_absent`` nothing is replaced, and with ``if_match`` only what has that ETag (``info(key).etag``):
        else Conflict is raised, which says who wrote what is there, and when.
        """
        conditions = expires_in_field(expires_in)
        if if_absent:
            conditions["If-None-Match"] = "*"
        if if_match is not None:
            if if_absent or not isinstance(if_match, str) or not if_match.isascii() or not if_match.isprintable() or not if_match:
                raise BadRequest(f"if_match is the ETag that info(key).etag shows, without if_absent, not {if_match!r}")
            conditions["If-Match"] = if_match if if_match.startswith(('"', "W/")) else f'"{if_match}"'
        self._client.store(self._name, key, value, build_seconds=build_seconds, conditions=conditions)

    def get(self, key: str, default: Any = _ABSENT, *, max_age: float | timedelta | None = None) -> Any:
        """The value of a key. If it is not there, or older than ``max_age`` seconds: the default, or NotFound, a KeyError."""
        limit = seconds_of(max_age)
        try:
            if limit is None:
                return self._client.load(self._name, key)
            return self._client.fetch(self._name, key, judge=lambda info: check_age(info, limit), max_age=limit)[0]
        except NotFound as error:
            if default is not _ABSENT:
                return default
            self._explain(key, error)
            raise

    def build(
        self,
        key: str,
        function: Callable[..., T],
        *args: Any,
        max_age: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        single_build: bool = True,
        **kwargs: Any,
    ) -> T:
        """The value of a key, or else what ``function(*args, **kwargs)`` returns, which is stored.

        One process of the organisation calls the function, and all others that want the key wait for it, at most ``wait``
        seconds, and without it as long as the builder lives. If the function raises there, they get BuildFailed.
        Arguments of the function that are called as those here are passed with functools.partial.
        """
        from larder.building import How, build  # which needs environments, and with them this

        returned: T = build(self._client, self._name, key, None, function, args, kwargs, How(max_age, wait, single_build))
        return returned

    def __getitem__(self, key: str) -> Any:
        return self.get(key)

    def __setitem__(self, key: str, value: Any) -> None:
        self.put(key, value)

    def __delitem__(self, key: str) -> None:
        self.delete(key)

    def get_many(self, keys: Iterable[str], *, max_age: float | timedelta | None = None) -> dict[str, Any]:
        """The values of keys, in their order. Keys that are not there, or older than ``max_age`` seconds, are left out.

        PartialError names others that fail.
        """
        return self._get_many(keys, seconds_of(max_age))

    def put_many(self, values: Mapping[str, Any], *, expires_in: float | timedelta | None = None) -> None:
        """Store each value under its key. PartialError names those that failed; the others are stored."""
        if not isinstance(values, Mapping):
            raise BadRequest(f"put_many takes a mapping of keys to values, not a {type(values).__qualname__}")
        many.put_many(self._client, self._name, values, expires_in_field(expires_in))

    def keys(self, prefix: str = "") -> Keys:
        """All keys that begin with a prefix. Iterating over the service takes less memory."""
        return self._keys(prefix)

    def delete(self, key: str) -> None:
        """Remove a key. Raises NotFound if it is not there."""
        self._found(key, lambda: self._client.remove(self._name, key))

    def put_raw(self, key: str, data: bytes, content_type: str = "application/octet-stream") -> None:
        """Store bytes as they are, for tools that are not this client. They are not signed."""
        self._client.store_raw(self._name, key, data, content_type)

    def get_raw(self, key: str) -> bytes:
        """The bytes of an object, whoever wrote it. No signature is verified, and nothing is unpickled."""
        return self._found(key, lambda: self._client.load_raw(self._name, key))
