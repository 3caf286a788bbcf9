"""The environment of a session: a date, settings, and their hash."""

from __future__ import annotations

import re
from collections.abc import Iterator, MutableMapping
from datetime import UTC, date, datetime
from html import escape
from typing import Any

from larder.client import Client
from larder.envhash import canonical, env_hash
from larder.errors import ConfigError, NotInitialised
from larder.objects import ObjectService
from larder.strategies import StrategyService

EnvDate = str | date | datetime


class Environment(MutableMapping[str, Any]):
    """Settings, by name, and the date as of which things are built. Made by ``larder.init``.

    The date is not part of the hash. A setting of a type without a defined hash is refused at once, and a
    list or mapping that is a setting may be changed in place: the hash is of what is there when it is asked.
    """

    def __init__(self, env_date: EnvDate, client: Client, settings: dict[str, Any]) -> None:
        self._date = _parse_date(env_date)
        self._client = client
        self._settings: dict[str, Any] = {}
        self.update(settings)

    @property
    def client(self) -> Client:
        """The client that this environment's services use."""
        return self._client

    @property
    def asofdate(self) -> date:
        """The environment's date: a date if its time is midnight in UTC, else a datetime in UTC."""
        d = self._date
        return d if (d.hour, d.minute, d.second, d.microsecond) != (0, 0, 0, 0) else d.date()

    @property
    def env_date(self) -> str:
        """ENV_DATE of this environment's keys: RFC 3339, in UTC."""
        return self._date.isoformat()

    @property
    def env_hash(self) -> str:
        """ENV_HASH of this environment's keys: 32 hex digits that depend on the settings alone."""
        return env_hash(self._settings)

    def strategy_service(self) -> StrategyService:
        """The strategies of this environment."""
        return StrategyService(self._client, self)

    def object_service(self) -> ObjectService:
        """Objects, which have any key and belong to no environment."""
        return ObjectService(self._client)

    def __getitem__(self, name: str) -> Any:
        return self._settings[name]

    def __setitem__(self, name: str, value: Any) -> None:
        if not isinstance(name, str):
            raise ConfigError(f"the name of a setting is text, not {name!r}")
        canonical(value, f"the setting {name!r}")
        canonical(name, "the name of a setting")
        self._settings[name] = value

    def __delitem__(self, name: str) -> None:
        del self._settings[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._settings)

    def __len__(self) -> int:
        return len(self._settings)

    __hash__ = None  # type: ignore[assignment]  # it is mutable

    def __repr__(self) -> str:
        return f"<larder.Environment {self.env_date} {self.env_hash}, {len(self)} settings, {self._client!r}>"

    def _repr_html_(self) -> str:
        rows = "".join(f"<tr><td>{escape(k)}</td><td>{escape(repr(v))}</td></tr>" for k, v in sorted(self.items()))
        return f"<table><caption>larder environment {escape(self.env_date)} {self.env_hash}</caption><tbody>{rows}</tbody></table>"


def _parse_date(given: EnvDate) -> datetime:
    """A moment in UTC. What has no zone is in UTC; a date is its midnight."""
    if isinstance(given, str):
        text = given.strip()
        # Before Python 3.11 there were other ISO forms; only these mean one thing to everybody.
        if not re.fullmatch(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", text, re.ASCII):
            raise ConfigError(f"env_date {given!r} is not a date; write it like 2022-01-30 or 2022-01-30T17:00:00+00:00")
        try:
            given = datetime.fromisoformat(text)
        except ValueError as error:
            raise ConfigError(f"env_date {text!r} is not a date: {error}") from None
    if not isinstance(given, date) or given != given:
        raise ConfigError(f"env_date is a {type(given).__qualname__}; give a date, a datetime or text like 2022-01-30")
    if not isinstance(given, datetime):
        return datetime(given.year, given.month, given.day, tzinfo=UTC)
    zone = given.tzinfo if given.utcoffset() is not None else UTC
    fields = (given.year, given.month, given.day, given.hour, given.minute, given.second, given.microsecond)
    try:
        return datetime(*fields, tzinfo=zone, fold=given.fold).astimezone(UTC)
    except OverflowError:
        raise ConfigError(f"env_date {given} is outside of the years that UTC has") from None


class _Current:
    """The environment that ``larder.env`` returns."""

    environment: Environment | None = None


def init(env_date: EnvDate, *, client: Client | None = None, **settings: Any) -> Environment:
    """Begin a session: its environment is what ``larder.env`` and the decorators use from now on.

    ``settings`` are the environment's, as if by ``env[name] = value``. The cluster and its credentials come
    from LARDER_URL, LARDER_TOKEN and LARDER_SIGNING_KEY, or from a ``client``. A session that follows another
    keeps its client, and with it its connections, if those variables say the same.
    """
    if client is not None and not isinstance(client, Client):
        raise ConfigError(f"client is a larder.Client, for example larder.Client('http://127.0.0.1:8080'), not {client!r}")
    if client is None:
        client = Client()
        if _Current.environment is not None and _Current.environment.client.same_as(client):
            client = _Current.environment.client
    _Current.environment = Environment(env_date, client, settings)
    return _Current.environment


def env() -> Environment:
    """The environment of this session. Raises NotInitialised."""
    if _Current.environment is None:
        raise NotInitialised("there is no environment: call larder.init(env_date=...) first, in each process")
    return _Current.environment


def is_initialised() -> bool:
    """Whether there is an environment."""
    return _Current.environment is not None


def de_init() -> None:
    """End the session, if there is one, and close its idle connections."""
    environment, _Current.environment = _Current.environment, None
    if environment is not None:
        environment.client.close()
