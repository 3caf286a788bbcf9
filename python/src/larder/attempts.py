"""One build for the whole organisation: what becomes of a call that found nothing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from larder.aside import result_of
from larder.claims import Claim, Event, Visit
from larder.client import Client
from larder.config import Config
from larder.errors import BuildFailed, ConfigError, LarderError, Unavailable
from larder.flights import is_building
from larder.settings import setting
from larder.watch import Watch
from larder.workers import is_worker

_LEAST_WAIT, _TIMES = 60.0, 3.0  # a worker waits for three times what a build usually takes, and for a minute at least
_OFF, _OFF_SHORT = 60.0, 5.0  # seconds for which a cluster is not asked that does not know builds, or that has no answer

_log = logging.getLogger("larder")
_claim: ContextVar[Claim | None] = ContextVar("larder claim", default=None)


@dataclass(frozen=True)
class Wish:
    """What a caller wants. ``expect`` is how long the build is thought to take, all in seconds."""

    single_build: bool = True
    wait: float | None = None
    max_age: float | None = None
    expect: float | None = None
    behind: bool = False  # nobody waits for it


@dataclass(frozen=True)
class Decision:
    """What a caller does now: build with a claim or without one, read what was built, or raise an error."""

    claim: Claim | None = None
    built: bool = False
    unstored: bool = False  # nobody can store it, so all build at once
    error: BuildFailed | None = None


ALONE = Decision()


def seconds_to_wait(wish: Wish, limited: bool, news: Event | None) -> float | None:
    """How long a caller waits for a build before it builds itself; None for as long as the builder lives."""
    if wish.wait is not None or not limited:
        return wish.wait
    told = news.get("expect") if news else None
    return max(_LEAST_WAIT, _TIMES * float(told or wish.expect or 0.0))


def is_limited() -> bool:
    """Reports whether the caller may be what the build that it would wait for is waiting for."""
    return is_building() or is_worker()


class _Off:
    """Clusters that are not asked for a while."""

    until: dict[Config, float] = {}  # noqa: RUF012  # it is one for the process


def new_attempt(client: Client, service: str, key: str, wish: Wish) -> Attempt | None:
    """A caller's attempt to get a claim; None if builds are not to be claimed."""
    if not wish.single_build or _is_switched_off():
        return None
    if _Off.until.get(client.settings, 0.0) > time.monotonic():
        return None
    return Attempt(client, service, key, wish)


def _is_switched_off() -> bool:
    try:
        return setting("builds").lower() in ("off", "0", "false", "no")
    except ConfigError:  # the file cannot be read now: what the client has of it stays
        return False


class Attempt:
    """A caller that wants what is not there."""

    def __init__(self, client: Client, service: str, key: str, wish: Wish) -> None:
        self._client = client
        self._key = key
        self._wish = wish
        self._limited = is_limited()
        self._claim: Claim | None = None
        self._visit = Visit(client, service, key, {"max_age": wish.max_age, "expect": wish.expect})

    def decide(self) -> Decision:
        """Wait until it is known what the caller does. What goes wrong here has it build without a claim."""
        watch = Watch(self._key, shown=False if self._wish.behind else self._client.settings.progress)
        began = time.monotonic()

        def goes_on(news: Event | None) -> bool:
            watch.update(news)
            most = seconds_to_wait(self._wish, self._limited, news)
            return most is None or time.monotonic() < began + most

        try:
            return self._decided(self._visit.wait(goes_on))
        except Exception as error:
            self._visit.end()
            self._note_off(error)
            return ALONE
        except BaseException:
            self._visit.end()
            raise
        finally:
            watch.close()

    def _decided(self, event: Event | Claim | None) -> Decision:
        if isinstance(event, Claim):
            self._claim = event
            return Decision(claim=event)
        kind = event["event"] if event is not None else ""
        if event is None:
            _log.info("build %r: built without a claim after waiting long enough", self._key)
        elif kind == "failed":
            builder, error = str(event.get("builder") or "somebody"), str(event.get("error") or "")
            text = f"{self._key!r} was built by {builder} just now, and that failed: {error}; bypass() or refresh() call the function here"
            return Decision(error=BuildFailed(text, builder=builder, error=error))
        return Decision(built=kind == "built", unstored=kind == "unstored")

    def _note_off(self, error: Exception) -> None:
        unknown = not isinstance(error, (Unavailable, OSError))
        _Off.until[self._client.settings] = time.monotonic() + (_OFF if unknown else _OFF_SHORT)
        text = str(error) if isinstance(error, LarderError) else f"{type(error).__name__}: {error}"
        if isinstance(error, ConfigError) or getattr(error, "status", None) in (404, 405):
            text = f"the nodes do not know builds ({text})"
        _log.info("build %r: built without a claim: %s", self._key, text)

    def end(self) -> None:
        """Want nothing any more, neither a place nor the claim."""
        self._visit.end()
        if self._claim is not None:
            self._claim.end()

    async def decided(self) -> Decision:
        """As decide, in a thread of its own: asyncio's are few, and what builds may need one."""
        done: Future[Decision] = Future()
        done.set_running_or_notify_cancel()

        def run() -> None:
            try:
                done.set_result(self.decide())
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=run, name="larder waiter", daemon=True).start()
        try:
            return await result_of(done)
        except BaseException:
            self._visit.end()
            done.add_done_callback(_end_claim)
            raise


def _end_claim(done: Future[Decision]) -> None:
    """Let go of a claim that came when nobody wanted it any more."""
    if done.exception() is None and (claim := done.result().claim) is not None:
        claim.end()


@contextmanager
def holding(claim: Claim | None) -> Iterator[None]:
    """What is called in this block is a build under a claim, or under none."""
    token = _claim.set(claim)
    try:
        yield
    finally:
        _claim.reset(token)


def progress(done: float | None = None, message: str = "") -> None:
    """Tell those who wait for what is being built here how far it is: ``larder.progress(0.4, "loading prices")``.

    ``done`` is from 0 to 1. Without effect where nothing is built for others.
    """
    if done is not None and (isinstance(done, bool) or not isinstance(done, (int, float)) or not 0 <= done <= 1):
        raise ValueError(f"progress is a number from 0 to 1, not {done!r}")
    claim = _claim.get()
    if claim is not None:
        claim.note(done, str(message)[:500])
