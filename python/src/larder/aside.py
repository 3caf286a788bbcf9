"""What coroutines wait for: under asyncio, under trio, which anyio may have started, and where neither runs."""

from __future__ import annotations

import asyncio
import math
import sys
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from contextlib import suppress
from contextvars import Context
from functools import partial
from typing import Any, TypeVar

T = TypeVar("T")

_tasks: set[asyncio.Task[None]] = set()  # that nobody waits for; a loop alone would not keep them


def _trio() -> Any:
    """The library trio, if it runs the present task."""
    trio: Any = sys.modules.get("trio")
    try:
        trio.lowlevel.current_task()
    except (AttributeError, RuntimeError):
        return None
    return trio


def is_cancelled(error: BaseException) -> bool:
    """Reports whether an error is how a task is ended from outside."""
    trio: Any = sys.modules.get("trio")
    return isinstance(error, (asyncio.CancelledError, getattr(trio, "Cancelled", ())))


async def in_thread(function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """What a function returns, which is called in another thread, so that others go on; in this one if nobody could."""
    call = partial(function, *args, **kwargs)
    if trio := _trio():
        found: T = await trio.to_thread.run_sync(call)
        return found
    return await asyncio.to_thread(call) if asyncio._get_running_loop() else call()


async def result_of(done: Future[T], seconds: float | None = None) -> T:
    """What becomes of a future. Who is cancelled meanwhile cancels nobody else. Raises TimeoutError."""
    trio = _trio()
    if trio is None:
        if asyncio._get_running_loop() is None:
            return done.result(seconds)
        return await asyncio.wait_for(asyncio.shield(asyncio.wrap_future(done)), seconds)
    ended, token = trio.Event(), trio.lowlevel.current_trio_token()

    def wake(_: Future[T]) -> None:
        with suppress(RuntimeError):  # nobody runs there any more
            token.run_sync_soon(ended.set)

    done.add_done_callback(wake)
    with trio.move_on_after(math.inf if seconds is None else seconds):
        await ended.wait()
    return done.result(0)


def begin(run: Callable[[], Coroutine[Any, Any, None]], end: Callable[[], None]) -> None:
    """Begin a task that nobody waits for. ``end`` is called after it, also if it does not even begin."""
    if trio := _trio():

        async def whole() -> None:
            try:
                await run()
            finally:
                end()

        trio.lowlevel.spawn_system_task(whole, context=Context())
    elif asyncio._get_running_loop():
        task = asyncio.get_running_loop().create_task(run(), context=Context())
        _tasks.add(task)
        task.add_done_callback(_tasks.discard)
        task.add_done_callback(lambda _: end())
    else:
        end()
