"""What a decorated function is to type checkers."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, Concatenate, ParamSpec, Protocol, Self, TypeVar, overload

from larder.listing import Info, Keys

P = ParamSpec("P")
Q = ParamSpec("Q")
R = TypeVar("R")
S = TypeVar("S")
R_co = TypeVar("R_co", covariant=True)


class Cached(Protocol[P, R_co]):
    """A decorated function. Of a coroutine function all operations but ``key`` are awaited."""

    @property
    def __wrapped__(self) -> Callable[P, R_co]: ...

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...

    @overload
    def __get__(self, instance: None, owner: type | None = None) -> Self: ...
    @overload
    def __get__(self: Cached[Concatenate[Any, Q], S], instance: object, owner: type | None = None) -> Cached[Q, S]:
        """A method, bound: its operations are bound too."""

    def refresh(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function whatever is stored, and store what it returns."""

    def bypass(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """Call the function, and neither look nor store."""

    def cached_only(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """What is stored for these arguments; the function is not called. Raises NotFound."""

    def key(self, *args: P.args, **kwargs: P.kwargs) -> str:
        """The key under which the result for these arguments is stored."""

    @overload
    def forget(self: Cached[Q, Coroutine[Any, Any, Any]], *args: Q.args, **kwargs: Q.kwargs) -> Coroutine[Any, Any, bool]: ...  # type: ignore[overload-overlap]
    @overload
    def forget(self, *args: P.args, **kwargs: P.kwargs) -> bool:
        """Remove what is stored for these arguments, and report whether there was anything."""

    @overload
    def forget_all(self: Cached[Q, Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, int]: ...  # type: ignore[overload-overlap]
    @overload
    def forget_all(self) -> int:
        """Remove what is stored of this function, of all arguments and dates, without asking; returns how many."""

    @overload
    def info(self: Cached[Q, Coroutine[Any, Any, Any]], *args: Q.args, **kwargs: Q.kwargs) -> Coroutine[Any, Any, Info]: ...  # type: ignore[overload-overlap]
    @overload
    def info(self, *args: P.args, **kwargs: P.kwargs) -> Info:
        """Who stored the result for these arguments, when, with what. Raises NotFound."""

    @overload
    def entries(self: Cached[Q, Coroutine[Any, Any, Any]]) -> Coroutine[Any, Any, Keys]: ...  # type: ignore[overload-overlap]
    @overload
    def entries(self) -> Keys:
        """The keys of what is stored of this function, of all arguments and dates."""


CachedCoroutine = Cached[P, Coroutine[Any, Any, R]]


class Decorator(Protocol):
    """What makes a function a cached one."""

    def __call__(self, function: Callable[P, R], /) -> Cached[P, R]: ...


class NameOrFunction(Cached[P, R_co], Protocol[P, R_co]):
    """What a decorator makes of a function: it makes names for another, or is decorated itself."""

    @overload
    def __call__(self, function: Callable[Q, S], /) -> Cached[Q, S]: ...
    @overload
    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
