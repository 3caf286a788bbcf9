"""Decorated coroutine functions under trio, and where no loop runs at all."""

from __future__ import annotations

import time
from typing import Any

import pytest
import trio

import larder


def test_built_once(env: larder.Environment, unique: str) -> None:
    built: list[int] = []

    @larder.object_service_cache(unique)
    async def double(x: int) -> int:
        built.append(x)
        await trio.sleep(0.2)
        return 2 * x

    got: list[int] = []

    async def one() -> None:
        got.append(await double(1))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for _ in range(60):  # more than trio has threads
                nursery.start_soon(one)
        assert await double.cached_only(1) == await double.refresh(1) == 2
        assert (await double.info(1)).format == "json"
        assert await double.forget(1)

    trio.run(main)
    assert got == [2] * 60
    assert built == [1, 1]


def test_errors_and_cancellation(env: larder.Environment, unique: str) -> None:
    @larder.object_service_cache(f"{unique} fails")
    async def fail() -> None:
        raise ZeroDivisionError

    @larder.object_service_cache(f"{unique} hangs")
    async def hang(seconds: float) -> float:
        await trio.sleep(seconds)
        return seconds

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await fail()
        with trio.move_on_after(0.2) as scope:
            await hang(100)
        assert scope.cancelled_caught
        assert await hang(0) == 0

    trio.run(main)


def test_rebuilt_behind_the_call(env: larder.Environment, unique: str) -> None:
    built: list[float] = []

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    async def now() -> int:
        built.append(time.monotonic())
        return len(built)

    async def main() -> None:
        assert await now() == 1
        with trio.fail_after(20):
            while len(built) < 2:
                assert await now() >= 1
                await trio.sleep(0.05)

    trio.run(main)


def test_without_a_loop(env: larder.Environment, unique: str) -> None:
    @larder.object_service_cache(unique)
    async def double(x: int) -> int:
        return 2 * x

    def step(coroutine: Any) -> Any:
        with pytest.raises(StopIteration) as stopped:
            coroutine.send(None)
        return stopped.value.value

    assert [step(double(2)), step(double(2)), step(double.cached_only(2))] == [4, 4, 4]
