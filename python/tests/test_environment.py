"""Whose environment it is: the process's, a thread's, a task's, a block's."""

from __future__ import annotations

import asyncio
import contextvars
import gc
import sys
import threading
import types
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

import larder
from larder import environment

DATES = [f"2024-01-{d:02}" for d in range(1, 21)]


def asof() -> str:
    return str(larder.env().asofdate) if larder.is_initialised() else "none"


def in_thread(function: Any) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_each_thread_has_its_own() -> None:
    larder.init("2022-01-30")
    barrier = threading.Barrier(4, timeout=30)

    def work(day: str) -> str:
        larder.init(day)
        barrier.wait()  # until all have theirs
        return asof()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(work, DATES)) == DATES
    assert asof() == "2022-01-30"


def test_each_task_has_its_own() -> None:
    larder.init("2022-01-30")

    async def work(day: str) -> tuple[str, str]:
        larder.init(day)
        await asyncio.sleep(0)
        return asof(), await asyncio.to_thread(asof)

    async def main() -> list[tuple[str, str]]:
        return await asyncio.gather(*map(work, DATES))

    assert asyncio.run(main()) == [(d, d) for d in DATES]
    assert asof() == "2022-01-30"


def test_the_main_thread_of_eventlet(monkeypatch: pytest.MonkeyPatch, client: larder.Client) -> None:
    """It has a copy of the module threading, and so an object of its own for the main thread."""
    other = type("_MainThread", (threading.Thread,), {})()
    monkeypatch.setattr(threading, "current_thread", lambda: other)
    environment = larder.init("2022-01-30", client=client)
    seen: list[larder.Environment] = []
    thread = threading.Thread(target=lambda: seen.append(larder.env()))
    thread.start()
    thread.join()
    assert seen == [environment]


def test_the_process_has_that_of_the_main_thread() -> None:
    larder.init("2022-01-30")
    assert in_thread(asof) == "2022-01-30"
    larder.init("2022-01-31")
    assert (asof(), in_thread(asof)) == ("2022-01-31", "2022-01-31")
    larder.de_init()
    assert (asof(), in_thread(asof)) == ("none", "none")


def test_what_a_thread_makes_is_its_own() -> None:
    def begin() -> str:
        larder.init("2022-01-30")
        return asof()

    assert in_thread(begin) == "2022-01-30"
    assert (asof(), in_thread(asof)) == ("none", "none")
    with pytest.raises(larder.NotInitialised, match="another thread"):
        larder.env()


def test_a_thread_ends_its_session_alone() -> None:
    larder.init("2022-01-30")

    def end() -> str:
        larder.de_init()
        return asof()

    assert (in_thread(end), asof(), in_thread(asof)) == ("none", "2022-01-30", "2022-01-30")


def test_a_task_keeps_what_it_began_with() -> None:
    async def work(go_on: asyncio.Event) -> str:
        await go_on.wait()
        return asof()

    async def main() -> tuple[str, str]:
        go_on = asyncio.Event()
        larder.init("2022-01-30")
        task = asyncio.create_task(work(go_on))
        larder.init("2022-01-31")
        go_on.set()
        return await task, asof()

    assert asyncio.run(main()) == ("2022-01-30", "2022-01-31")


CELLS = """
class events:
    called = []
    def register(name, function):
        assert name == "pre_run_cell"
        events.called.append(function)

def get_ipython():
    import sys
    return sys.modules["IPython"]

async def run_cell_async(function):
    for begin in events.called:
        begin(None)
    result = function()
    return await result if hasattr(result, "__await__") else result
"""


def test_cells_are_the_program_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """IPython runs each cell in a task, and some in a context of their own."""
    shell: Any = types.ModuleType("IPython")
    vars(shell)["__name__"] = "IPython.core"
    exec(CELLS, vars(shell))
    monkeypatch.setitem(sys.modules, "IPython", shell)
    monkeypatch.setattr(environment._Process, "follows_cells", False)
    kernel = contextvars.copy_context()

    def cell(function: Any, *, own_context: bool = False) -> Any:
        async def task() -> Any:
            return await asyncio.create_task(shell.run_cell_async(function), context=kernel.copy() if own_context else kernel)

        return asyncio.run(task())

    async def work(day: str) -> tuple[str, str]:
        larder.init(day)
        await asyncio.sleep(0)
        return asof(), in_thread(asof)

    async def two() -> Any:
        return await asyncio.gather(work("2024-01-01"), work("2024-01-02"))

    for day in DATES[:3]:
        cell(lambda day=day: larder.init(day), own_context=True)
        assert cell(lambda: (asof(), in_thread(asof))) == (day, day)
    cell(lambda: larder.init("2022-01-30"))
    assert list(cell(two)) == [("2024-01-01", "2022-01-30"), ("2024-01-02", "2022-01-30")]
    assert cell(asof) == "2022-01-30"
    cell(larder.de_init, own_context=True)
    assert cell(asof) == "none"


def test_blocks() -> None:
    outer = larder.init("2022-01-30")
    with larder.init("2022-01-31") as inner:
        assert larder.env() is inner
        assert in_thread(asof) == "2022-01-31"
        with larder.use(outer):
            assert larder.env() is outer
            assert in_thread(asof) == "2022-01-31"
            context = contextvars.copy_context()
            assert in_thread(lambda: context.run(asof)) == "2022-01-30"
            larder.init("2022-02-01")
            assert (asof(), in_thread(asof)) == ("2022-02-01", "2022-01-31")
        assert larder.env() is inner
    assert larder.env() is outer
    assert in_thread(asof) == "2022-01-30"
    with pytest.raises(larder.ConfigError, match=r"larder\.init returns"):
        larder.use("2022-01-30").__enter__()  # type: ignore[arg-type]


def test_blocks_that_fail() -> None:
    with pytest.raises(ValueError, match="no"), larder.init("2022-01-30"):
        raise ValueError("no")
    assert asof() == "none"


def test_sessions_share_a_client() -> None:
    client = larder.init("2022-01-30").client
    assert in_thread(lambda: larder.init("2022-01-31").client) is client


def test_the_time_of_threads_that_overlap() -> None:
    """What one thread began is not changed by another that begins and ends meanwhile."""
    larder.init("2022-01-30")
    begun, over = threading.Event(), threading.Event()

    def other() -> None:
        assert begun.wait(30)
        larder.init("2022-01-31")
        larder.de_init()
        over.set()

    thread = threading.Thread(target=other)
    thread.start()
    with larder.use(larder.env()):
        begun.set()
        assert over.wait(30)
        assert asof() == "2022-01-30"
    thread.join()


def test_what_notebooks_show() -> None:
    html = larder.init("2022-01-30", costs="<0.1>")._repr_html_()
    for text in ("env_date", "2022-01-30T00:00:00+00:00", "env_hash", "costs", "&lt;0.1&gt;"):
        assert text in html
    assert {"init", "Client", "__version__"} <= set(dir(larder))
    assert "codec" not in dir(larder)


def test_threads_of_a_build_that_see_another_environment(client: larder.Client, unique: str) -> None:
    """What they read is the process's, and so is not what the key says."""

    def read(_: int) -> str:
        return str(larder.env().asofdate)

    @larder.object_service_cache(f"{unique} threads")
    def threads() -> list[str]:
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(read, range(2)))

    @larder.object_service_cache(f"{unique} contexts")
    def contexts() -> list[str]:
        copies = [contextvars.copy_context() for _ in range(2)]
        with ThreadPoolExecutor(2) as pool:
            return list(pool.map(lambda copy: copy.run(read, 0), copies))

    def call(function: Callable[[], list[str]]) -> list[str]:
        larder.init("2022-01-31", client=client)
        return function()

    objects = larder.init("2022-01-30", client=client).object_service()
    with ThreadPoolExecutor(1) as pool:
        with pytest.warns(larder.LarderWarning, match="read the environment of the process, which is another"):
            assert pool.submit(call, threads).result() == ["2022-01-30"] * 2
        assert pool.submit(call, contexts).result() == ["2022-01-31"] * 2
    assert objects.keys(unique) == [f"{unique} contexts_2022-01-31"]
    assert threads() == ["2022-01-30"] * 2  # of the process, as they see it
    assert objects[f"{unique} threads_2022-01-30"] == ["2022-01-30"] * 2


def test_an_environment_does_not_keep_those_before_it() -> None:
    kept = [weakref.ref(larder.init("2022-01-30", n=n)) for n in range(5)]
    gc.collect()
    assert [made() is not None for made in kept[1:]] == [False, False, True, True]


def test_blocks_in_blocks() -> None:
    larder.init("2022-01-30")
    with larder.init("2022-02-01"):
        with larder.init("2022-02-02"):
            larder.init("2022-02-03")
            larder.init("2022-02-04")
        assert asof() == "2022-02-01"
    assert asof() == "2022-01-30"
