"""One build at a time for each key, within this process.

Threads, and coroutines of whichever loops, that want a key which is being built wait for that build. Then all
of them go on at once: with its exception, or to look for what it stored.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Hashable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from enum import Enum, auto


class Outcome(Enum):
    """How a build ended that did not raise an exception of its own."""

    STORED = auto()
    UNSTORED = auto()  # those who wait build for themselves
    INTERRUPTED = auto()  # one of those who wait is next


class Flight:
    """One build. ``done`` has its outcome, or the exception of the function."""

    def __init__(self) -> None:
        self.done: Future[Outcome] = Future()
        self.apart = False  # nobody else knows of it: it is within the build of its own key
        self.waits_for: list[Flight] = []  # builds that the builder itself waits for


class _Guard:
    """The lock over all flights of this process, since a builder of one function may wait for another's."""

    lock = threading.Lock()


def _after_fork() -> None:
    _Guard.lock = threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)

# The builds that the present call is part of. Tasks and asyncio's threads inherit it.
_building: ContextVar[tuple[Flight, ...]] = ContextVar("larder builds", default=())


class Flights:
    """The builds of one function. In the child of a fork, and in a copy that was pickled, none is running."""

    def __init__(self) -> None:
        self._begin()

    def __reduce__(self) -> tuple[type[Flights], tuple[()]]:
        return Flights, ()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._flights: dict[Hashable, Flight] = {}
        self._landed = 0

    def mark(self) -> int:
        """How many builds have ended: if it is another number later, there may be something to look for."""
        if self._pid != os.getpid():
            self._begin()
        return self._landed

    def join(self, key: Hashable) -> tuple[Flight, bool]:
        """The build of a key, and whether it is the caller's to do, which then must call ``land``.

        A call that is itself part of that build, or that the build waits for, gets a build of its own.
        """
        with _Guard.lock:
            flight = self._flights.get(key)
            if flight is None:
                flight = self._flights[key] = Flight()
                return flight, True
            if _waits_for(flight, _building.get()):
                flight = Flight()
                flight.apart = True
                return flight, True
            return flight, False

    def land(self, key: Hashable, flight: Flight, outcome: Outcome | BaseException) -> None:
        """End a build, and tell those who wait."""
        with _Guard.lock:
            if self._flights.get(key) is flight:
                del self._flights[key]
            self._landed += 1
        if flight.done.done():
            return
        if isinstance(outcome, BaseException):
            flight.done.set_exception(outcome)
        else:
            flight.done.set_result(outcome)


def _waits_for(flight: Flight, builds: tuple[Flight, ...]) -> bool:
    """Reports whether a build is, or waits for, one of several."""
    seen: list[Flight] = []
    todo = [flight]
    while todo:
        one = todo.pop()
        if one in builds:
            return True
        if one not in seen:
            seen.append(one)
            todo += one.waits_for
    return False


def is_building() -> bool:
    """Reports whether the present call is part of a build."""
    return bool(_building.get())


@contextmanager
def building(flight: Flight) -> Iterator[None]:
    """What is called in this block is part of a build."""
    before = _building.get()
    _building.set((*before, flight))
    try:
        yield
    finally:
        _building.set(before)


@contextmanager
def waiting(flight: Flight) -> Iterator[None]:
    """The builds that the caller is part of wait for another in this block."""
    mine = _building.get()
    with _Guard.lock:
        for one in mine:
            one.waits_for.append(flight)
    try:
        yield
    finally:
        with _Guard.lock:
            for one in mine:
                one.waits_for.remove(flight)
