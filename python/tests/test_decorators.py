"""Decorators: look first, call on a miss, and never cost more than a warning."""

from __future__ import annotations

import asyncio
import inspect
import threading
import uuid
import warnings
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

import larder
from larder.transport import Transport
from tests.conftest import Node, free_ports


@pytest.fixture
def env(client: larder.Client) -> larder.Environment:
    """An environment of this test alone."""
    return larder.init("2022-01-30", client=client, test=uuid.uuid4().hex)


@pytest.fixture
def unique() -> str:
    """A name of this test alone."""
    return uuid.uuid4().hex


def counted(result: Any = "built") -> tuple[Callable[[], Any], list[int]]:
    calls: list[int] = []

    def build() -> Any:
        """Build it."""
        calls.append(1)
        return result

    return build, calls


def test_object(env: larder.Environment, unique: str) -> None:
    build, calls = counted()
    cached = larder.object_service_cache(unique)(build)
    assert [cached(), cached(), cached()] == ["built"] * 3
    assert len(calls) == 1
    assert cached.key() == f"{unique}_2022-01-30"
    assert env.object_service().get(f"{unique}_2022-01-30") == "built"
    assert env.object_service().info(cached.key()).build_seconds is not None
    assert cached.__wrapped__ is build
    assert inspect.getdoc(cached) == "Build it."
    cached.refresh()
    assert len(calls) == 2
    assert cached.forget()
    assert not cached.forget()
    cached()
    assert len(calls) == 3


def test_strategy(env: larder.Environment, unique: str) -> None:
    build, calls = counted({"weights": [1.0]})
    cached = larder.strategy_service_cache(unique)(build)
    assert cached() == cached() == {"weights": [1.0]}
    assert len(calls) == 1
    assert env.strategy_service().get_strategy_by_name(unique) == {"weights": [1.0]}
    larder.init("2022-01-31", client=env.client, **env)  # another date is another entry
    cached()
    assert len(calls) == 2


def test_none_is_a_result(env: larder.Environment, unique: str) -> None:
    build, calls = counted(None)
    cached = larder.object_service_cache(unique)(build)
    assert cached() is cached() is None
    assert len(calls) == 1


def test_name_of_arguments(env: larder.Environment, unique: str) -> None:
    calls = []

    @larder.object_service_cache(lambda ticker, days=1: f"{unique} {ticker} {days}")
    def build(ticker: str, days: int = 1) -> str:
        calls.append(ticker)
        return ticker * days

    assert build("A") == build("A", days=1) == "A"
    assert build("B", days=2) == "BB"
    assert calls == ["A", "B"]
    assert build.key("B", 2) == f"{unique} B 2_2022-01-30"
    assert build.forget("A")
    assert not build.forget("A")


def test_method(env: larder.Environment, unique: str) -> None:
    class Desk:
        name = unique

        @larder.object_service_cache(lambda self: self.name)
        def universe(self) -> list[str]:
            return ["SAP"]

    assert Desk().universe() == Desk().universe() == ["SAP"]


def test_error_of_the_function_is_the_callers(env: larder.Environment, unique: str) -> None:
    calls = []

    @larder.object_service_cache(unique)
    def build() -> None:
        calls.append(1)
        raise larder.NotFound("of the function's own")

    for _ in range(2):
        with pytest.raises(larder.NotFound, match="own"):
            build()
    assert len(calls) == 2


def test_cache_that_is_down_costs_one_warning(unique: str) -> None:
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    larder.init("2022-01-30", client=larder.Client(url))
    build, calls = counted()
    cached = larder.object_service_cache(unique)(build)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        assert [cached() for _ in range(20)] == ["built"] * 20
    texts = [str(w.message) for w in caught if "signing" not in str(w.message)]
    assert len(texts) == 1
    assert unique in texts[0]
    assert "is called" in texts[0]
    assert caught[-1].filename == __file__
    assert "LARDER_URL" in texts[0]
    assert len(calls) == 20


def test_cache_that_is_down_is_not_waited_for(unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even by a client that signs, which asks first for whom."""

    def pause(*_: Any, **__: Any) -> None:
        pytest.fail("it waits")

    monkeypatch.setattr(Transport, "_pause", pause)
    url = f"http://127.0.0.1:{free_ports(1)[0]}"
    larder.init("2022-01-30", client=larder.Client(url, signing_key="k" * 16))
    build, calls = counted()
    with pytest.warns(larder.LarderWarning, match="is called"):
        assert larder.object_service_cache(unique)(build)() == "built"
    assert len(calls) == 1


def test_what_cannot_be_stored_is_returned(env: larder.Environment, unique: str) -> None:
    lock = threading.Lock()
    build, _ = counted(lock)
    with pytest.warns(larder.LarderWarning, match="not cached"):
        assert larder.object_service_cache(unique)(build)() is lock


def test_what_cannot_be_read_is_left_alone(env: larder.Environment, unique: str) -> None:
    build, calls = counted()
    cached = larder.object_service_cache(unique)(build)
    env.object_service().put_raw(cached.key(), b"of another tool")
    with pytest.warns(larder.LarderWarning, match=r"refresh\(\)"):
        assert cached() == "built"
    assert env.object_service().get_raw(cached.key()) == b"of another tool"
    cached.refresh()
    assert cached() == "built"
    assert len(calls) == 2


def test_coroutine(env: larder.Environment, unique: str) -> None:
    calls = []

    @larder.strategy_service_cache(unique)
    async def build() -> str:
        calls.append(1)
        await asyncio.sleep(0)
        return "built"

    async def session() -> list[Any]:
        return [await build(), await build(), await build.refresh(), await build.forget(), await build.forget()]

    assert inspect.iscoroutinefunction(build)
    assert asyncio.run(session()) == ["built", "built", "built", True, False]
    assert len(calls) == 2


def test_the_loop_goes_on(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, went_on = threading.Event(), threading.Event()
    send = Transport.send

    def slowly(*args: Any) -> Any:
        asked.set()
        assert went_on.wait(30)
        return send(*args)

    @larder.object_service_cache(unique)
    async def build() -> str:
        return "built"

    async def while_it_waits(what: Coroutine[Any, Any, Any]) -> Any:
        asked.clear()
        went_on.clear()
        task = asyncio.create_task(what)
        while not asked.is_set() and not task.done():
            await asyncio.sleep(0)
        went_on.set()
        return await task

    monkeypatch.setattr(Transport, "send", slowly)

    async def session() -> list[Any]:
        return [await while_it_waits(what) for what in (build(), build(), build.refresh(), build.forget())]

    assert asyncio.run(session()) == ["built", "built", "built", True]


def test_threads_build_once(env: larder.Environment, unique: str) -> None:
    started = threading.Barrier(16)
    calls, got = [], []

    @larder.object_service_cache(unique)
    def build() -> str:
        calls.append(1)
        return "built"

    def call() -> None:
        started.wait()
        got.append(build())

    threads = [threading.Thread(target=call) for _ in range(16)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert got == ["built"] * 16
    assert len(calls) == 1


def test_without_a_session(unique: str) -> None:
    build, _ = counted()
    with pytest.raises(larder.NotInitialised):
        larder.object_service_cache(unique)(build)()


def test_dead_node_among_others_costs_nothing(node: Node, unique: str) -> None:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    larder.init("2022-01-30", client=larder.Client([dead, node.url]))
    build, calls = counted()
    cached = larder.object_service_cache(unique)(build)
    assert cached() == cached() == "built"
    assert len(calls) == 1
