"""The strategy service: strategies by name, in an environment."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import Any, Protocol, TypeVar, cast

from larder.client import STRATEGIES, Client
from larder.differences import about_environment, settings_differences
from larder.errors import BadRequest, LarderError, NotBuilt, NotFound, short_tracebacks
from larder.listing import Keys
from larder.service import Service, expires_in_field

_NEAR = 5  # near misses that an error names


T = TypeVar("T")


class Dated(Protocol):
    """What a strategy's key takes from its environment."""

    @property
    def env_date(self) -> str: ...
    @property
    def env_hash(self) -> str: ...
    def __getitem__(self, name: str, /) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...


@short_tracebacks
class StrategyService(Service):
    """The strategies of an environment.

    A strategy is any object with a name: an attribute ``name``, or a method of that name. If it has an
    attribute or a method ``is_built`` and that is false, it is not stored.
    """

    def __init__(self, client: Client, environment: Dated) -> None:
        super().__init__(client, STRATEGIES)
        self._environment = environment

    def __repr__(self) -> str:
        return f"<larder.StrategyService of {self._environment.env_date} {self._environment.env_hash}, {self._client!r}>"

    def _about(self) -> dict[str, str]:
        return {"env_date": self._environment.env_date, "env_hash": self._environment.env_hash, **super()._about()}

    def key_of(self, name: str) -> str:
        """The key of a name in this environment: NAME|ENV_DATE||ENV_HASH."""
        if not isinstance(name, str) or not name:
            raise BadRequest(f"the name of a strategy is text that is not empty, not {name!r}")
        return f"{name}|{self._environment.env_date}||{self._environment.env_hash}"

    def cache_strategy(
        self, strategies: Any, *, expires_in: float | timedelta | None = None, build_seconds: float | None = None
    ) -> list[str]:
        """Store one strategy, or each of several, and return their keys.

        Raises NotBuilt before anything is written if one of them is not built or has no name.
        After ``expires_in`` seconds they are there no more.
        ``build_seconds`` is how long each took to build, for those who look at its metadata.
        """
        conditions = expires_in_field(expires_in)
        many = _several(strategies)
        named: dict[str, Any] = {}
        for strategy in many:
            key = self.key_of(check_strategy(strategy))
            if key in named and named[key] is not strategy:
                raise BadRequest(f"two of the strategies have the key {key!r}: give them names of their own")
            named[key] = strategy
        about = about_environment(self._settings(), self._environment.env_hash)
        for key, strategy in named.items():
            self._client.store(STRATEGIES, key, strategy, build_seconds=build_seconds, about=about, conditions=conditions)
        return list(named)

    def get_keys_by_prefix(self, prefix: str = "") -> Keys:
        """The keys of all strategies, of all environments, whose names begin with a prefix."""
        return self._client.list(STRATEGIES, prefix)

    def get_strategy_by_name(self, name: str) -> Any:
        """The strategy of a name in this environment. Raises NotFound, which names near misses."""
        key = self.key_of(name)
        try:
            return self._client.load(STRATEGIES, key)
        except NotFound as error:
            raise self._near_misses(name, error) from None

    def build(
        self,
        name: str,
        function: Callable[..., T],
        *args: Any,
        max_age: float | timedelta | None = None,
        wait: float | timedelta | None = None,
        single_build: bool = True,
        **kwargs: Any,
    ) -> T:
        """The strategy of a name in this environment, or else what ``function(*args, **kwargs)`` returns, which is stored.

        One process of the organisation calls the function, and all others that want the same wait for it, at most ``wait``
        seconds, and without it as long as the builder lives. If the function raises there, they get BuildFailed.
        Arguments of the function that are called as those here are passed with functools.partial.
        """
        from larder.building import How, build  # which needs environments, and with them this

        returned: T = build(
            self._client,
            self._name,
            self.key_of(name),
            cast(Any, self._environment),
            function,
            args,
            kwargs,
            How(max_age, wait, single_build),
        )
        return returned

    def get_strategy_by_key(self, key: str) -> Any:
        """The strategy of a key, of whichever environment. Raises NotFound."""
        return self._found(key, lambda: self._client.load(STRATEGIES, key))

    def remove_strategy_by_name(self, name: str) -> None:
        """Remove the strategy of a name in this environment. Raises NotFound, which names near misses."""
        try:
            self._client.remove(STRATEGIES, self.key_of(name))
        except NotFound as error:
            raise self._near_misses(name, error) from None

    def remove_strategy_by_key(self, key: str) -> None:
        """Remove the strategy of a key. Raises NotFound."""
        self._found(key, lambda: self._client.remove(STRATEGIES, key))

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """The strategies of keys, in their order. Keys that are not there are left out; PartialError names others that fail."""
        return self._get_many(keys)

    def _settings(self) -> dict[str, Any]:
        return {name: self._environment[name] for name in self._environment}

    def _near_misses(self, name: str, error: NotFound) -> NotFound:
        """The error, with the same name under other dates or hashes, if that can be told quickly."""
        e = self._environment
        text = f"there is no strategy {name!r} of {e.env_date} with the hash {e.env_hash}"
        found = NotFound(text, status=error.status, type=error.type, request_id=error.request_id)
        return found.explained(partial(self._explanation, name, _Then(e.env_date, e.env_hash, self._settings())))

    def _explanation(self, name: str, then: _Then) -> str:
        try:
            with self._client.brief() as client:
                return _explanation(client, name, then)
        except Exception:  # what cannot be explained is a miss all the same
            return "; what there is could not be listed"


@dataclass(frozen=True)
class _Then:
    """What an environment was when a strategy was not found in it."""

    env_date: str
    env_hash: str
    settings: Mapping[str, Any]


def _explanation(client: Client, name: str, then: _Then) -> str:
    """Under which dates and hashes there is a name, and how settings differ, or which names are like it."""
    keys = client.list(STRATEGIES, patient=False, name=name)
    if not keys:
        similar = _similar(client, name)
        if similar:
            return f"; there is {_some([repr(n) for n in similar])} (is the name right?)"
        return ", nor of another date or hash; get_keys_by_prefix shows what is there"
    parts = [(key, *key[len(name) + 1 :].split("||")) for key in keys]
    dates = sorted({date for _, date, hash_ in parts if hash_ == then.env_hash})
    others = {hash_: key for key, date, hash_ in parts if date == then.env_date}
    text = ""
    if dates:
        text += f"; with this hash it is there of {_some(dates)} (is env_date right?)"
    if others:
        described = [_difference(client, hash_, key, then) for hash_, key in sorted(others.items())[-_NEAR:]]
        text += f"; of this date it is there with the hash {_some(described, len(others))} (are the settings the same?)"
    if not dates and not others:
        text += f"; there are {_some([repr(str(key)) for key in keys])}: both env_date and the settings differ"
    return text


def _difference(client: Client, env_hash: str, key: str, then: _Then) -> str:
    """A hash, and how the settings that it is of differ from those here."""
    try:
        stated = client.stat(STRATEGIES, key, patient=False).meta.get("settings", "")
    except LarderError:
        return env_hash
    differ = settings_differences(stated, then.settings)
    return f"{env_hash} ({differ})" if differ else env_hash


def _similar(client: Client, name: str) -> list[str]:
    """Names that are this one but for capitals and white space, among the first of the same letter."""
    wanted = "".join(name.split()).casefold()
    found = set()
    for letter in {name[:1].upper(), name[:1].lower()}:
        for key in client.page(STRATEGIES, letter, patient=False):
            other = key.rsplit("|", 3)[0]
            if other != name and "".join(other.split()).casefold() == wanted:
                found.add(other)
    return sorted(found)


def _several(strategies: Any) -> list[Any]:
    """One strategy, or several, in a list."""
    if isinstance(strategies, Mapping):
        return list(strategies.values())
    is_frame = hasattr(strategies, "iloc")
    if is_frame and not isinstance(getattr(strategies, "name", None), str):
        kind = type(strategies).__qualname__
        raise NotBuilt(f"a {kind} is no strategy: it has no name of its own; put it into the object service, or into an object with a name")
    if hasattr(strategies, "name") or isinstance(strategies, (str, bytes)) or not isinstance(strategies, Iterable):
        return [strategies]
    return list(strategies)


def _some(texts: list[str], count: int = 0) -> str:
    count = count or len(texts)
    more = f" and {count - _NEAR} more" if count > _NEAR else ""
    return ", ".join(texts[-_NEAR:]) + more


def check_strategy(strategy: Any) -> str:
    """The name of a strategy that is built. Raises NotBuilt."""
    name = getattr(strategy, "name", None)
    if callable(name):
        name = name()
    if not isinstance(name, str) or not name:
        raise NotBuilt(f"a {type(strategy).__qualname__} has no name: a strategy has an attribute or a method 'name' that is text")
    check_built(strategy, name)
    return name


def check_built(strategy: Any, name: str) -> None:
    """Raises NotBuilt if a strategy says that it is not built."""
    built = getattr(strategy, "is_built", True)
    if callable(built):
        built = built()
    if not built:
        raise NotBuilt(f"the strategy {name!r} says that it is not built (is_built is {built!r}): build it, then cache it")
