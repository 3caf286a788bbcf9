"""The strategy service: strategies by name, in an environment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from larder.client import STRATEGIES, Client
from larder.errors import BadRequest, NotBuilt, NotFound, short_tracebacks
from larder.listing import Keys

_NEAR = 5  # near misses that an error names


class Dated(Protocol):
    """What a strategy's key takes from its environment."""

    @property
    def env_date(self) -> str: ...
    @property
    def env_hash(self) -> str: ...


@short_tracebacks
class StrategyService:
    """The strategies of an environment.

    A strategy is any object with a name: an attribute ``name``, or a method of that name. If it has an
    attribute or a method ``is_built`` and that is false, it is not stored.
    """

    def __init__(self, client: Client, environment: Dated) -> None:
        self._client = client
        self._environment = environment

    def __repr__(self) -> str:
        return f"<larder.StrategyService of {self._environment.env_date} {self._environment.env_hash}, {self._client!r}>"

    def key_of(self, name: str) -> str:
        """The key of a name in this environment: NAME|ENV_DATE||ENV_HASH."""
        if not isinstance(name, str) or not name:
            raise BadRequest(f"the name of a strategy is text that is not empty, not {name!r}")
        return f"{name}|{self._environment.env_date}||{self._environment.env_hash}"

    def cache_strategy(self, strategies: Any, *, build_seconds: float | None = None) -> list[str]:
        """Store one strategy, or each of several, and return their keys.

        Raises NotBuilt before anything is written if one of them is not built or has no name.
        ``build_seconds`` is how long each took to build, for those who look at its metadata.
        """
        many = [strategies] if hasattr(strategies, "name") or not isinstance(strategies, Iterable) else list(strategies)
        named: dict[str, Any] = {}
        for strategy in many:
            key = self.key_of(check_strategy(strategy))
            if key in named and named[key] is not strategy:
                raise BadRequest(f"two of the strategies have the key {key!r}: give them names of their own")
            named[key] = strategy
        for key, strategy in named.items():
            self._client.store(STRATEGIES, key, strategy, build_seconds=build_seconds)
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

    def get_strategy_by_key(self, key: str) -> Any:
        """The strategy of a key, of whichever environment. Raises NotFound."""
        return self._client.load(STRATEGIES, key)

    def remove_strategy_by_name(self, name: str) -> None:
        """Remove the strategy of a name in this environment. Raises NotFound, which names near misses."""
        try:
            self._client.remove(STRATEGIES, self.key_of(name))
        except NotFound as error:
            raise self._near_misses(name, error) from None

    def remove_strategy_by_key(self, key: str) -> None:
        """Remove the strategy of a key. Raises NotFound."""
        self._client.remove(STRATEGIES, key)

    def _near_misses(self, name: str, error: NotFound) -> NotFound:
        """The error, with the same name under other dates or hashes."""
        e = self._environment
        text = f"there is no strategy {name!r} of {e.env_date} with the hash {e.env_hash}"
        keys = self._client.list(STRATEGIES, name=name)
        if not keys:
            return NotFound(
                f"{text}, nor of another date or hash; get_keys_by_prefix shows what is there", status=error.status, type=error.type
            )
        parts = [(key, *key[len(name) + 1 :].split("||")) for key in keys]
        dates = sorted({date for _, date, hash_ in parts if hash_ == e.env_hash})
        hashes = sorted({hash_ for _, date, hash_ in parts if date == e.env_date})
        if dates:
            text += f"; with this hash it is there of {_some(dates)} (is env_date right?)"
        if hashes:
            text += f"; of this date it is there with the hash {_some(hashes)} (are the settings the same?)"
        if not dates and not hashes:
            text += f"; there are {_some([repr(str(key)) for key in keys])}: both env_date and the settings differ"
        return NotFound(text, status=error.status, type=error.type)


def _some(texts: list[str]) -> str:
    more = f" and {len(texts) - _NEAR} more" if len(texts) > _NEAR else ""
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
