"""Decorators that look into the cache first, and call only on a miss."""

from __future__ import annotations

import asyncio
import functools
import inspect
import time
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, Protocol, TypeVar, overload

from larder.client import OBJECTS, STRATEGIES, Client
from larder.environment import env
from larder.errors import DecodeError, IntegrityError, LarderError, NotFound, warn
from larder.flights import Flights
from larder.strategies import check_built

P = ParamSpec("P")
R = TypeVar("R")

Name = str | Callable[..., str]


class _Decorated(Protocol[P, R]):
    """What all decorated functions have."""

    __wrapped__: Callable[P, R]

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R: ...
    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """A method, bound as methods are."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Call the function whatever is stored, and store what it returns."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the result for these arguments is stored."""


class Cached(_Decorated[P, R], Protocol[P, R]):
    """A decorated function."""

    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove what is stored for these arguments, and say whether there was anything."""


class CachedCoroutine(_Decorated[P, Coroutine[Any, Any, R]], Protocol[P, R]):
    """A decorated coroutine function. What is awaited of it does not hold up the loop."""

    async def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove what is stored for these arguments, and say whether there was anything."""


class Decorator(Protocol):
    """What makes a function a cached one."""

    @overload  # the first that fits is taken
    def __call__(self, function: Callable[P, Coroutine[Any, Any, R]], /) -> CachedCoroutine[P, R]: ...  # type: ignore[overload-overlap]
    @overload
    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


def strategy_service_cache(name: Name) -> Decorator:
    """Cache what a function returns as the strategy ``name`` of the current environment.

    ``name`` is text, for a function that is called without arguments, or a function of the arguments that
    returns the text. A cache that does not answer, or holds what cannot be read, costs one warning, and the
    function is called; what the function raises is the caller's.
    """

    def key_of(text: str) -> str:
        return env().strategy_service().key_of(text)

    return _decorator(_Entry(STRATEGIES, name, key_of))


def object_service_cache(name: Name) -> Decorator:
    """Cache what a function returns as the object ``{name}_{env.asofdate}``; see strategy_service_cache."""

    def key_of(text: str) -> str:
        return f"{text}_{env().asofdate}"

    return _decorator(_Entry(OBJECTS, name, key_of))


class _Missing:
    """The answer of a cache that has no value. ``store`` tells whether one may be put there."""

    def __init__(self, *, store: bool) -> None:
        self.store = store


class _Entry:
    """Where a function's results are kept."""

    def __init__(self, service: str, name: Name, key_of: Callable[[str], str]) -> None:
        self.service = service
        self.name = name
        self.key_of = key_of
        self.flights = Flights()
        self.warned = False  # since the cache last answered

    def key(self, *args: Any, **kwargs: Any) -> str:
        if callable(self.name):
            return self.key_of(self.name(*args, **kwargs))
        if args or kwargs:
            raise TypeError(
                f"the cache's name {self.name!r} is fixed, and the function was called with arguments: other arguments would get "
                "the same result. Give a function of the arguments as name, for example lambda ticker: f'{ticker} strategy'"
            )
        return self.key_of(self.name)

    def look(self, client: Client, key: str) -> Any:
        """The value that is stored, or a _Missing."""
        try:
            value = client.load(self.service, key, patient=False)
        except NotFound:
            return _Missing(store=True)
        except (IntegrityError, DecodeError) as error:
            # What others may be able to read is not overwritten by one who cannot.
            self._warn(f"{error}. The function is called instead; its refresh() replaces what is stored")
            return _Missing(store=False)
        except LarderError as error:
            self._warn(f"the cache does not serve {key!r}, so the function is called: {error}")
            return _Missing(store=False)
        self.warned = False
        return value

    def keep(self, client: Client, key: str, value: Any, seconds: float) -> None:
        """Store a value, or warn."""
        try:
            if self.service == STRATEGIES:
                check_built(value, key)
            client.store(self.service, key, value, build_seconds=seconds, patient=False)
        except LarderError as error:
            self._warn(f"{key!r} is returned and not cached: {error}")

    def forget(self, client: Client, key: str) -> bool:
        """Remove what is stored, and say whether there was anything."""
        try:
            client.remove(self.service, key)
        except NotFound:
            return False
        return True

    def _warn(self, text: str) -> None:
        if not self.warned:
            self.warned = True
            warn(text)


def _decorator(entry: _Entry) -> Decorator:
    def decorate(function: Any = None, /) -> Any:
        if not callable(function):
            raise TypeError("a decorator of larder takes a name: write, for example, @larder.object_service_cache('DAX')")
        wrap = _wrap_coroutine if inspect.iscoroutinefunction(function) else _wrap_function
        wrapper = wrap(entry, function)
        wrapper.key = entry.key
        return wrapper

    return decorate


def _wrap_function(entry: _Entry, function: Callable[..., Any]) -> Any:
    def build(client: Client, key: str, args: Any, kwargs: Any, *, store: bool) -> Any:
        began = time.perf_counter()
        value = function(*args, **kwargs)
        if store:
            entry.keep(client, key, value, time.perf_counter() - began)
        return value

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        key, client = entry.key(*args, **kwargs), env().client
        found = entry.look(client, key)
        if not isinstance(found, _Missing):
            return found
        if not found.store:
            return build(client, key, args, kwargs, store=False)
        with entry.flights.one(key):
            found = entry.look(client, key)  # another thread may have built it meanwhile
            if not isinstance(found, _Missing):
                return found
            return build(client, key, args, kwargs, store=found.store)

    def refresh(*args: Any, **kwargs: Any) -> Any:
        return build(env().client, entry.key(*args, **kwargs), args, kwargs, store=True)

    def forget(*args: Any, **kwargs: Any) -> bool:
        return entry.forget(env().client, entry.key(*args, **kwargs))

    call.refresh = refresh  # type: ignore[attr-defined]
    call.forget = forget  # type: ignore[attr-defined]
    return call


def _wrap_coroutine(entry: _Entry, function: Callable[..., Any]) -> Any:
    """As _wrap_function. The cache is asked in another thread, so that the loop goes on."""

    async def build(client: Client, key: str, args: Any, kwargs: Any, *, store: bool) -> Any:
        began = time.perf_counter()
        value = await function(*args, **kwargs)
        if store:
            await asyncio.to_thread(entry.keep, client, key, value, time.perf_counter() - began)
        return value

    @functools.wraps(function)
    async def call(*args: Any, **kwargs: Any) -> Any:
        key, client = entry.key(*args, **kwargs), env().client
        found = await asyncio.to_thread(entry.look, client, key)
        if not isinstance(found, _Missing):
            return found
        return await build(client, key, args, kwargs, store=found.store)

    async def refresh(*args: Any, **kwargs: Any) -> Any:
        return await build(env().client, entry.key(*args, **kwargs), args, kwargs, store=True)

    async def forget(*args: Any, **kwargs: Any) -> bool:
        return await asyncio.to_thread(entry.forget, env().client, entry.key(*args, **kwargs))

    call.refresh = refresh  # type: ignore[attr-defined]
    call.forget = forget  # type: ignore[attr-defined]
    return call
