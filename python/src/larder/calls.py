"""What a decorated function does when it is called: look first, build on a miss, once at a time.

Threads, and coroutines, that want what is being built wait for it, and then look again: each gets a value of its
own. If the function raised, they get that; if its value could not be stored, all of them build at once.
"""

from __future__ import annotations

import inspect
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from larder import behind
from larder.aside import begin, in_thread, is_cancelled, result_of
from larder.attempts import Attempt, Decision, Wish, holding, new_attempt
from larder.claims import Claim
from larder.entry import Entry, Missing, Slot, Stale, is_interrupt
from larder.environment import pinned
from larder.errors import NotFound, short_traceback
from larder.flights import Flight, Flights, Outcome, building, waiting
from larder.listing import Info, Keys
from larder.many import WRITES, each

_ATTEMPTS = 3  # after that, what others build is never what is wanted

# What a decorated function has beside the call.
OPERATIONS = ("refresh", "bypass", "cached_only", "forget", "forget_all", "key", "info", "entries")


class Calls:
    """The calls of one decorated function."""

    def __init__(self, entry: Entry, flights: Flights | None = None) -> None:
        self.entry = entry
        self.function: Callable[..., Any] = entry.function
        self.flights = flights or Flights()

    def larder_key(self) -> Any:
        """As an argument of another function, it is the function that was decorated."""
        return self.function

    @short_traceback
    def key(self, *args: Any, **kwargs: Any) -> str:
        return self._slot(args, kwargs).key

    def bypass(self, *args: Any, **kwargs: Any) -> Any:
        return self._plain(args, kwargs)

    def _plain(self, args: Any, kwargs: Any) -> Any:
        """Call the function, and neither look nor store; of a coroutine function what is returned is awaited."""
        raise NotImplementedError

    def _slot(self, args: Any, kwargs: Any) -> Slot:
        """As Entry.slot, where what is wrong is the caller's to hear."""
        self.entry.check_arguments(args, kwargs)
        return self.entry.slot(args, kwargs)

    def _cached_only(self, slot: Slot) -> Any:
        limit = self.entry.options.max_age

        def judge(info: Info) -> None:
            self.entry.judge(info, limit)

        try:
            return slot.client.fetch(self.entry.options.service, slot.key, judge=judge, max_age=limit)[0]
        except NotFound as error:
            self.entry.explain(slot, error)
            raise

    def _behind(self, slot: Slot, args: Any, kwargs: Any) -> Slot:
        """A slot for a build that goes on after its call, whose caller may change what it was called with."""

        def complaint() -> str:
            with slot.session():
                same = self.entry.slot(args, kwargs).key == slot.key
            return "" if same else "the arguments were changed while it was built"

        return replace(slot, checks=(complaint,))

    def _attempts(self, flight: Flight, slot: Slot, missing: Missing) -> Iterator[Attempt]:
        """Attempts to get the claim, as long as what others built is not there when it is looked for; at last none."""
        options = self.entry.options
        wish = Wish(options.single_build, options.wait, missing.max_age, self.entry.took, missing.behind)
        for _ in range(_ATTEMPTS if missing.store and not flight.apart else 0):
            made = new_attempt(slot.client, options.service, slot.key, wish)
            if made is None:
                return
            yield made

    def _decided(self, flight: Flight, slot: Slot, decision: Decision) -> Claim | None:
        """The claim that the caller has. Raises the error of the build that it waited for."""
        if decision.error is not None:
            raise decision.error
        if decision.unstored:
            self.flights.land(slot.flight, flight, Outcome.UNSTORED)  # the threads that wait here build at once, too
        return decision.claim

    def _timed_out(self, flight: Flight) -> Outcome:
        """What to do after a wait that came to its end, unless the function itself raised a TimeoutError."""
        return flight.done.result() if flight.done.done() else Outcome.UNSTORED

    def _info(self, slot: Slot) -> Info:
        try:
            return slot.client.stat(self.entry.options.service, slot.key)
        except NotFound as error:
            self.entry.explain(slot, error)
            raise

    def _forget_all(self) -> int:
        client = self.entry.environment().client
        return sum(each("forget_all", lambda key: self.entry.forget(client, key), self.entry.listed(), WRITES).values())


class FunctionCalls(Calls):
    """The calls of a function."""

    def call(self, args: Any, kwargs: Any) -> Any:
        slot = self.entry.find_slot(args, kwargs)
        if slot is None:
            return self._plain(args, kwargs)
        return self.call_in(slot, args, kwargs)

    def call_in(self, slot: Slot, args: Any, kwargs: Any) -> Any:
        """What is kept in a slot, or else what the function returns."""
        while True:
            mark = self.flights.mark()
            found = self.entry.look(slot, stale=True)
            if isinstance(found, Stale):
                self._rebuild(mark, self._behind(slot, args, kwargs), args, kwargs, Missing(store=True, max_age=found.max_age, behind=True))
                return found.value
            if not isinstance(found, Missing):
                return found
            flight, leads = self.flights.join(slot.flight)
            if leads:
                return self._lead(flight, mark, slot, args, kwargs, found)
            with waiting(flight):
                try:
                    outcome = flight.done.result(self.entry.options.wait)
                except TimeoutError:
                    outcome = self._timed_out(flight)
            if outcome is Outcome.UNSTORED:
                return self._build(slot, args, kwargs, store=found.store)[0]

    def _rebuild(self, mark: int, slot: Slot, args: Any, kwargs: Any, missing: Missing) -> None:
        """Build what is there anew, in a thread, unless that is under way."""
        flight, leads = self.flights.join(slot.flight)
        if not leads or flight.apart:
            return

        def run() -> None:
            try:
                self._lead(flight, mark, slot, args, kwargs, missing)
            except BaseException as error:
                behind.note(slot.key, error)

        if not behind.start(run):
            self.flights.land(slot.flight, flight, Outcome.INTERRUPTED)

    def _lead(self, flight: Flight, mark: int, slot: Slot, args: Any, kwargs: Any, missing: Missing) -> Any:
        outcome: Outcome | BaseException = Outcome.INTERRUPTED
        claim: Claim | None = None
        attempt: Attempt | None = None
        try:
            if self.flights.mark() != mark:  # another thread may have built it since this one looked
                found = self.entry.look(slot)
                if not isinstance(found, Missing):
                    outcome = Outcome.STORED
                    return found
            for attempt in self._attempts(flight, slot, missing):
                decision = attempt.decide()
                if decision.built:
                    found = self.entry.look(slot)
                    if not isinstance(found, Missing):
                        outcome = Outcome.STORED
                        return found
                    missing = found
                    continue
                claim = self._decided(flight, slot, decision)
                break
            with building(flight):
                value, stored = self._build(slot, args, kwargs, store=missing.store, claim=claim)
            outcome = Outcome.STORED if stored else Outcome.UNSTORED
            return value
        except BaseException as error:
            outcome = Outcome.INTERRUPTED if is_interrupt(error) else error
            if attempt is not None:
                attempt.end()  # an interrupt may have come where nobody had the claim in hand
            raise
        finally:
            self.flights.land(slot.flight, flight, outcome)

    def _build(self, slot: Slot, args: Any, kwargs: Any, *, store: bool, claim: Claim | None = None) -> tuple[Any, bool]:
        """The function's value, and whether it is stored."""
        began = time.perf_counter()
        try:
            with pinned(slot.environment) as pin, slot.session(), holding(claim):
                value = self.function(*args, **kwargs)
        except BaseException as error:
            self.entry.give_up(claim, error)
            raise
        if inspect.iscoroutine(value):
            self.entry.warn_of_coroutine()
            if claim is not None:
                claim.give_up({"unstored": "a coroutine is not stored"})
            return value, False
        slot = replace(slot, checks=(*slot.checks, pin.complaint)) if pin else slot
        self.entry.took = time.perf_counter() - began
        return value, store and self.entry.keep(slot, value, self.entry.took, claim)

    def _plain(self, args: Any, kwargs: Any) -> Any:
        with self.entry.session():
            return self.function(*args, **kwargs)

    def refresh(self, *args: Any, **kwargs: Any) -> Any:
        slot = self.entry.find_slot(args, kwargs)
        return self._plain(args, kwargs) if slot is None else self._build(slot, args, kwargs, store=True)[0]

    @short_traceback
    def cached_only(self, *args: Any, **kwargs: Any) -> Any:
        return self._cached_only(self._slot(args, kwargs))

    @short_traceback
    def forget(self, *args: Any, **kwargs: Any) -> bool:
        slot = self._slot(args, kwargs)
        return self.entry.forget(slot.client, slot.key)

    @short_traceback
    def forget_all(self) -> int:
        return self._forget_all()

    @short_traceback
    def info(self, *args: Any, **kwargs: Any) -> Info:
        return self._info(self._slot(args, kwargs))

    @short_traceback
    def entries(self) -> Keys:
        return self.entry.listed()


class CoroutineCalls(Calls):
    """The calls of a coroutine function. The cache is asked in another thread, so that the loop goes on."""

    async def call(self, args: Any, kwargs: Any) -> Any:
        slot = self.entry.find_slot(args, kwargs)
        if slot is None:
            return await self._plain(args, kwargs)
        return await self.call_in(slot, args, kwargs)

    async def call_in(self, slot: Slot, args: Any, kwargs: Any) -> Any:
        """What is kept in a slot, or else what the function returns."""
        while True:
            mark = self.flights.mark()
            found = await in_thread(self.entry.look, slot, stale=True)
            if isinstance(found, Stale):
                self._rebuild(mark, self._behind(slot, args, kwargs), args, kwargs, Missing(store=True, max_age=found.max_age, behind=True))
                return found.value
            if not isinstance(found, Missing):
                return found
            flight, leads = self.flights.join(slot.flight)
            if leads:
                return await self._lead(flight, mark, slot, args, kwargs, found)
            with waiting(flight):
                try:
                    outcome = await result_of(flight.done, self.entry.options.wait)
                except TimeoutError:
                    outcome = self._timed_out(flight)
            if outcome is Outcome.UNSTORED:
                return (await self._build(slot, args, kwargs, store=found.store))[0]

    def _rebuild(self, mark: int, slot: Slot, args: Any, kwargs: Any, missing: Missing) -> None:
        """Build what is there anew, in a task, unless that is under way."""
        flight, leads = self.flights.join(slot.flight)
        if not leads or flight.apart:
            return

        async def run() -> None:
            try:
                await self._lead(flight, mark, slot, args, kwargs, missing)
            except BaseException as error:
                if is_cancelled(error):  # the loop ends
                    raise
                behind.note(slot.key, error)

        begin(run, lambda: self.flights.land(slot.flight, flight, Outcome.INTERRUPTED))

    async def _lead(self, flight: Flight, mark: int, slot: Slot, args: Any, kwargs: Any, missing: Missing) -> Any:
        outcome: Outcome | BaseException = Outcome.INTERRUPTED
        claim: Claim | None = None
        attempt: Attempt | None = None
        try:
            if self.flights.mark() != mark:
                found = await in_thread(self.entry.look, slot)
                if not isinstance(found, Missing):
                    outcome = Outcome.STORED
                    return found
            for attempt in self._attempts(flight, slot, missing):
                decision = await attempt.decided()
                if decision.built:
                    found = await in_thread(self.entry.look, slot)
                    if not isinstance(found, Missing):
                        outcome = Outcome.STORED
                        return found
                    missing = found
                    continue
                claim = self._decided(flight, slot, decision)
                break
            with building(flight):
                value, stored = await self._build(slot, args, kwargs, store=missing.store, claim=claim)
            outcome = Outcome.STORED if stored else Outcome.UNSTORED
            return value
        except BaseException as error:
            outcome = Outcome.INTERRUPTED if is_interrupt(error) else error
            if attempt is not None:
                attempt.end()  # an interrupt may have come where nobody had the claim in hand
            raise
        finally:
            self.flights.land(slot.flight, flight, outcome)

    async def _build(self, slot: Slot, args: Any, kwargs: Any, *, store: bool, claim: Claim | None = None) -> tuple[Any, bool]:
        began = time.perf_counter()
        try:
            with pinned(slot.environment) as pin, slot.session(), holding(claim):
                value = await self.function(*args, **kwargs)
        except BaseException as error:
            if is_interrupt(error):
                self.entry.give_up(claim, error)
            else:
                await in_thread(self.entry.give_up, claim, error)
            raise
        slot = replace(slot, checks=(*slot.checks, pin.complaint)) if pin else slot
        self.entry.took = time.perf_counter() - began
        return value, store and await in_thread(self.entry.keep, slot, value, self.entry.took, claim)

    async def _plain(self, args: Any, kwargs: Any) -> Any:
        with self.entry.session():
            return await self.function(*args, **kwargs)

    async def refresh(self, *args: Any, **kwargs: Any) -> Any:
        slot = self.entry.find_slot(args, kwargs)
        if slot is None:
            return await self._plain(args, kwargs)
        return (await self._build(slot, args, kwargs, store=True))[0]

    @short_traceback
    async def cached_only(self, *args: Any, **kwargs: Any) -> Any:
        return await in_thread(self._cached_only, self._slot(args, kwargs))

    @short_traceback
    async def forget(self, *args: Any, **kwargs: Any) -> bool:
        slot = self._slot(args, kwargs)
        return await in_thread(self.entry.forget, slot.client, slot.key)

    @short_traceback
    async def forget_all(self) -> int:
        return await in_thread(self._forget_all)

    @short_traceback
    async def info(self, *args: Any, **kwargs: Any) -> Info:
        return await in_thread(self._info, self._slot(args, kwargs))

    @short_traceback
    async def entries(self) -> Keys:
        return await in_thread(self.entry.listed)
