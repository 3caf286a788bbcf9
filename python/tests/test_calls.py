"""Calls of decorated functions: who builds, who waits, and that the cache never fails one."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cloudpickle
import pytest

import larder
from larder.client import Client
from larder.flights import Flights
from tests.conftest import collected


class Gate:
    """Holds a build until so many others wait for it."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, others: int) -> None:
        self.joined = threading.Semaphore(0)
        self.others = others
        join = Flights.join

        def joining(*args: Any) -> Any:
            flight, leads = join(*args)
            if not leads:
                self.joined.release()
            return flight, leads

        monkeypatch.setattr(Flights, "join", joining)

    def wait(self) -> None:
        for _ in range(self.others):
            assert self.joined.acquire(timeout=30)


def in_threads(count: int, function: Callable[[], Any]) -> list[Any]:
    def call() -> Any:
        try:
            return function()
        except Exception as error:
            return error

    with ThreadPoolExecutor(count) as pool:
        return [f.result() for f in [pool.submit(call) for _ in range(count)]]


def test_each_who_waited_has_a_value_of_its_own(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, gate = [], Gate(monkeypatch, 7)

    @larder.object_service_cache(unique)
    def build() -> list[int]:
        calls.append(1)
        gate.wait()
        return [1]

    got = in_threads(8, build)
    assert got == [[1]] * 8
    assert len(calls) == 1
    assert len({id(value) for value in got}) == 8


def test_those_who_waited_share_the_exception(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, gate = [], Gate(monkeypatch, 7)

    @larder.object_service_cache(unique)
    def build() -> None:
        calls.append(1)
        gate.wait()
        raise ValueError("of the function")

    got = in_threads(8, build)
    assert [str(error) for error in got] == ["of the function"] * 8
    assert len(calls) == 1


def test_what_cannot_be_stored_is_built_by_all_at_once(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    gate, together, first = Gate(monkeypatch, 7), threading.Barrier(7, timeout=30), threading.Lock()

    @larder.object_service_cache(unique)
    def build() -> Any:
        if first.acquire(blocking=False):
            gate.wait()
        else:
            together.wait()  # passes only if the seven build at the same time
        return threading.Lock()

    with collected():
        got = in_threads(8, build)
    assert len({id(value) for value in got}) == 8


def test_an_interrupt_passes_the_build_on(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, gate = [], Gate(monkeypatch, 1)

    @larder.object_service_cache(unique)
    def build() -> str:
        calls.append(1)
        if len(calls) == 1:
            gate.wait()
            raise KeyboardInterrupt
        return "built"

    def call() -> Any:
        try:
            return build()
        except KeyboardInterrupt:
            return "interrupted"

    assert sorted(in_threads(2, call)) == ["built", "interrupted"]
    assert len(calls) == 2


def test_coroutines_build_once(env: larder.Environment, unique: str) -> None:
    calls = []

    @larder.object_service_cache(unique)
    async def build(fails: bool) -> list[int]:
        calls.append(fails)
        await asyncio.sleep(0.01)
        if fails:
            raise ValueError
        return [1]

    async def session() -> list[Any]:
        both = [asyncio.gather(*(build(fails) for _ in range(8)), return_exceptions=True) for fails in (False, True)]
        return [await b for b in both]

    values, errors = asyncio.run(session())
    assert values == [[1]] * 8
    assert [type(error) for error in errors] == [ValueError] * 8
    assert len({id(value) for value in values}) == 8
    assert calls.count(False) == 1
    assert 1 <= calls.count(True) <= 8


def test_a_cancelled_coroutine_cancels_no_other(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    calls, gate = [], Gate(monkeypatch, 2)
    began = asyncio.Event()

    @larder.object_service_cache(unique)
    async def build() -> str:
        calls.append(1)
        began.set()
        if len(calls) == 1:
            await asyncio.Event().wait()
        return "built"

    async def session() -> Any:
        first = asyncio.create_task(build())
        await began.wait()
        second, third = asyncio.create_task(build()), asyncio.create_task(build())
        for _ in range(2):
            while not gate.joined.acquire(blocking=False):
                await asyncio.sleep(0)
        second.cancel()
        first.cancel()
        return await third

    assert asyncio.run(session()) == "built"
    assert len(calls) == 2


def test_a_function_may_call_itself(env: larder.Environment, unique: str) -> None:
    depth = []

    @larder.object_service_cache(unique)
    def build() -> str:
        depth.append(1)
        return build() if len(depth) < 3 else "built"

    @larder.object_service_cache(f"{unique} later")
    async def later() -> str:
        depth.append(1)
        if len(depth) < 6:
            return (await asyncio.gather(later()))[0]  # in a task of its own
        return "built"

    assert build() == "built"
    assert asyncio.run(later()) == "built"
    assert len(depth) == 6


def test_builds_that_want_each_other(env: larder.Environment, unique: str) -> None:
    both = threading.Barrier(2, timeout=30)
    depth = threading.local()

    def inner(other: Callable[[], str]) -> str:
        depth.n = getattr(depth, "n", 0) + 1
        if depth.n == 1:
            both.wait()  # each thread has begun its build
            other()
        return "built"

    @larder.object_service_cache(f"{unique} a")
    def a() -> str:
        return inner(b)

    @larder.object_service_cache(f"{unique} b")
    def b() -> str:
        return inner(a)

    with ThreadPoolExecutor(2) as pool:
        assert [f.result(30) for f in (pool.submit(a), pool.submit(b))] == ["built"] * 2


def test_environment_is_that_of_the_call(client: larder.Client, unique: str) -> None:
    larder.init("2022-01-30", client=client)
    dates = [f"2024-01-{d:02}" for d in range(1, 13)]
    barrier = threading.Barrier(4, timeout=30)

    @larder.object_service_cache(unique)
    def universe() -> str:
        barrier.wait()  # the others have begun their sessions
        return str(larder.env().asofdate)

    @larder.object_service_cache(f"{unique} later")
    async def later() -> str:
        await asyncio.sleep(0)
        return str(larder.env().asofdate)

    def backtest(date: str) -> tuple[str, str]:
        larder.init(date, client=client)
        return universe(), asyncio.run(later())

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(backtest, dates)) == [(d, d) for d in dates]
    for d in dates:
        larder.init(d, client=client)
        assert larder.env().object_service().get(universe.key()) == d


def test_session_within_a_build(env: larder.Environment, unique: str) -> None:
    @larder.object_service_cache(unique)
    def build() -> str:
        larder.init("2024-01-01", client=env.client)
        return str(larder.env().asofdate)

    assert build() == "2024-01-01"
    assert larder.env() is env
    assert env.object_service().get(f"{unique}_2022-01-30") == "2024-01-01"


def test_settings_that_change_meanwhile(env: larder.Environment, unique: str) -> None:
    @larder.strategy_service_cache(unique)
    def build() -> str:
        larder.env()["costs"] = 0.5
        return "built"

    key = build.key()
    with pytest.warns(larder.LarderWarning, match="settings were changed while it was built"):
        assert build() == "built"
    assert key not in env.strategy_service()


@pytest.mark.parametrize("before", [{}, {"costs": 0.1}])
def test_settings_that_change_and_are_as_before(env: larder.Environment, before: dict[str, float], unique: str) -> None:
    env.update(before)

    @larder.strategy_service_cache(unique)
    def build() -> float:
        with ThreadPoolExecutor() as other:
            other.submit(env.update, costs=0.5).result()
            seen: float = larder.env()["costs"]
            other.submit(lambda: env.update(before) if before else env.pop("costs")).result()
        return seen

    with pytest.warns(larder.LarderWarning, match="settings were changed while it was built"):
        assert build() == 0.5
    assert build.key() not in env.strategy_service()


def test_a_setting_that_is_set_to_what_it_is(env: larder.Environment, unique: str) -> None:
    env["universe"] = ["SAP"]

    @larder.strategy_service_cache(unique)
    def build() -> str:
        larder.env()["universe"] = ("SAP",)
        return "built"

    assert build() == "built"
    assert build.key() in env.strategy_service()


class Panic(BaseException):
    """As extension modules in Rust raise it."""


@pytest.mark.parametrize("error", [ValueError("strange"), Panic("strange"), MemoryError("strange"), larder.ServerError("strange")])
@pytest.mark.parametrize("where", ["fetch", "store"])
def test_whatever_the_cache_raises(
    error: BaseException, where: str, env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    @larder.object_service_cache(unique)
    def build() -> str:
        return "built"

    @larder.object_service_cache(f"{unique} later")
    async def later() -> str:
        return "built"

    monkeypatch.setattr(Client, where, fail)
    with collected() as texts:
        assert [build(), build(), asyncio.run(later())] == ["built"] * 3
    assert len(texts) == 2  # one for each function
    assert all("strange" in text for text in texts)


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit, asyncio.CancelledError])
@pytest.mark.parametrize("where", ["fetch", "store"])
def test_interrupts_pass(
    error: type[BaseException], where: str, env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: Any, **__: Any) -> Any:
        raise error

    @larder.object_service_cache(unique)
    def build() -> str:
        return "built"

    monkeypatch.setattr(Client, where, fail)
    with pytest.raises(error):
        build()


def test_one_warning_for_each_cause(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    error: list[larder.LarderError] = []
    fetch = Client.fetch

    def fail(*args: Any, **kwargs: Any) -> Any:
        if error:
            raise error[0]
        return fetch(*args, **kwargs)

    @larder.object_service_cache(unique)
    def build() -> str:
        return "built"

    monkeypatch.setattr(Client, "fetch", fail)
    causes = [larder.AuthError("may only read", status=403), larder.AuthError("expired", status=401), larder.Unavailable("down")]
    with collected() as texts:
        for cause in [*causes, *causes]:
            error[:] = [cause]
            build()
        error.clear()
        build()  # it serves again
        error[:] = [causes[2]]
        build()
    assert [text.rsplit(": ", 1)[1] for text in texts] == ["may only read", "expired", "down", "down"]


def test_a_key_that_cannot_be_made(env: larder.Environment, unique: str) -> None:
    calls = []

    @larder.object_service_cache(unique)
    def build(lock: Any, n: int = 1) -> int:
        calls.append(n)
        return n

    def broken(n: int) -> str:
        raise ZeroDivisionError("of the name function")

    @larder.object_service_cache(broken)
    def named(n: int) -> int:
        return n

    with collected() as texts:
        assert build(threading.Lock()) == build(threading.Lock()) == 1
        assert named(2) == named(3) - 1 == 2
    assert len(calls) == 2
    assert len(texts) == 2
    assert "ignore=" in texts[0]
    assert "argument 'lock'" in texts[0]
    assert "ZeroDivisionError: of the name function" in texts[1]
    with pytest.raises(larder.ArgumentError, match="'lock'"):
        build.key(threading.Lock())
    with pytest.raises(TypeError, match=r"build\(\) missing 1 required positional argument: 'lock'"):
        build()  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="'lock'"):
        build.key()  # type: ignore[call-arg]


def test_a_session_that_travelled_and_cannot_be_made(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    @larder.object_service_cache(unique)
    def build() -> str:
        return "built"

    pickled = cloudpickle.dumps(build)
    larder.de_init()
    monkeypatch.setattr("larder.carried.unpack", lambda _: larder.Client("no address"))
    there = cloudpickle.loads(pickled)
    with pytest.warns(larder.LarderWarning, match="is not the address of a node"):
        assert there() == "built"
