"""Values that are too old: misses, or returned while they are rebuilt; and values that expire."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import larder
from larder import behind, entry
from tests.conftest import Node
from tests.scripted import Reply, Scripted, answer, problem, served


def until(holds: Callable[[], bool]) -> None:
    """Wait for what happens behind a call."""
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(autouse=True)
def rebuilds_end(client: larder.Client) -> Iterator[None]:
    """The client is closed when nothing uses it any more."""
    yield
    workers = behind._workers
    until(lambda: workers._threads == 0)


class Counter:
    """A function that counts its calls, and may be held up."""

    def __init__(self) -> None:
        self.calls = 0
        self.go = threading.Event()
        self.go.set()

    def __call__(self) -> int:
        self.calls += 1
        number = self.calls
        assert self.go.wait(30)
        return number


def test_an_old_value_is_returned_and_rebuilt_behind_it(env: larder.Environment, unique: str) -> None:
    count = Counter()

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    def f() -> int:
        return count()

    assert f() == 1
    count.go.clear()
    assert [f() for _ in range(5)] == [1] * 5  # while one rebuild is under way
    count.go.set()
    until(lambda: env.object_service()[f.key()] == 2)
    assert count.calls == 2
    until(lambda: f() == 3)


def test_a_coroutine_is_rebuilt_behind(env: larder.Environment, unique: str) -> None:
    calls: list[str] = []

    @larder.object_service_cache(unique, max_age=0, stale_ok=timedelta(days=1))
    async def f() -> int:
        calls.append(str(larder.env().asofdate))
        return len(calls)

    async def run() -> None:
        assert await f() == 1
        assert await f() == 1
        while await asyncio.to_thread(env.object_service().get, f.key()) != 2:
            await asyncio.sleep(0.02)

    asyncio.run(run())
    assert calls == ["2022-01-30"] * 2


def test_a_loop_that_ends_at_once_leaves_the_rebuild_to_others(env: larder.Environment, unique: str) -> None:
    count = Counter()

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    async def f() -> int:
        return count()

    async def until_rebuilt() -> None:
        while await f() == 1:
            await asyncio.sleep(0.02)

    asyncio.run(f())
    asyncio.run(f())
    env.object_service().delete(f.key())
    env.object_service().put(f.key(), 1)
    asyncio.run(until_rebuilt())


def test_too_old_even_for_that(env: larder.Environment, unique: str) -> None:
    count = Counter()

    @larder.object_service_cache(unique, max_age=0, stale_ok=0.5)
    def f() -> int:
        return count()

    assert [f(), f()] == [1, 2]


def test_a_rebuild_is_of_the_environment_of_its_call(client: larder.Client, unique: str) -> None:
    seen: list[tuple[str, Any]] = []

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    def f() -> str:
        seen.append((str(larder.env().asofdate), larder.env()["x"]))
        return "value"

    larder.init("2022-01-30", client=client, x=1)
    f()
    f()
    larder.init("2023-01-30", client=client, x=2)
    until(lambda: len(seen) == 2)
    assert seen == [("2022-01-30", 1)] * 2


def test_what_a_rebuild_raises_is_logged(env: larder.Environment, unique: str, caplog: pytest.LogCaptureFixture) -> None:
    calls: list[int] = []

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    def f() -> int:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("no prices")
        return len(calls)

    assert [f(), f()] == [1, 1]
    until(lambda: "no prices" in caplog.text)
    assert [r.levelno for r in caplog.records if "no prices" in r.getMessage()] == [logging.WARNING]
    assert env.object_service()[f.key()] == 1
    until(lambda: f() == 3)  # the next call tries again


def test_arguments_that_change_meanwhile_are_not_stored(env: larder.Environment, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    go, calls, texts = threading.Event(), list[int](), list[str]()
    monkeypatch.setattr(entry, "warn", texts.append)

    @larder.object_service_cache(unique, max_age=0, stale_ok=True)
    def total(numbers: list[int]) -> int:
        calls.append(1)
        assert len(calls) == 1 or go.wait(30)
        return sum(numbers)

    numbers = [1, 2]
    assert [total(numbers), total(numbers)] == [3, 3]
    key = total.key(numbers)
    numbers.append(100)
    go.set()
    until(lambda: bool(texts))
    assert "the arguments were changed" in texts[0]
    assert env.object_service()[key] == 3


def test_too_many_rebuilds_are_left_to_later_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    workers, go, done = behind._Workers(), threading.Event(), list[int]()

    def task() -> None:
        assert go.wait(30)
        done.append(1)

    started = 0
    while workers.start(task):
        started += 1
        assert started <= behind._THREADS + behind._WAITING
    assert started >= behind._WAITING
    go.set()
    until(lambda: len(done) == started)
    assert workers.start(task)


def test_rebuilds_in_greenlets(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where starting a thread runs it in this one, as gevent may once it has taken the place of threads."""
    workers, done = behind._Workers(), list[int]()

    class Greenlet(threading.Thread):
        def start(self) -> None:
            self.run()

    def start() -> None:
        for n in range(behind._THREADS + 1):
            assert workers.start(partial(done.append, n))

    with monkeypatch.context() as patched:
        starter = threading.Thread(target=start, daemon=True)
        patched.setattr(threading, "Thread", Greenlet)
        starter.start()
        starter.join(30)
    assert done == list(range(behind._THREADS + 1))


def test_no_rebuild_where_no_thread_can_be_had(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't create new thread at interpreter shutdown")

    workers, done = behind._Workers(), list[int]()
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        assert not workers.start(lambda: done.append(1))
    assert workers.start(lambda: done.append(2))
    until(lambda: done == [2])


def test_the_program_ends_though_a_rebuild_does_not(node: Node, unique: str) -> None:
    code = f"""
import larder, threading, warnings
warnings.simplefilter("ignore")
larder.init("2022-01-30", client=larder.Client({node.url!r}))
calls = []
began = threading.Event()
@larder.object_service_cache({unique!r}, max_age=0, stale_ok=True)
def f():
    calls.append(1)
    if len(calls) > 1:
        began.set()
        threading.Event().wait()
    return len(calls)
print(f(), f(), began.wait(20))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("1 1 True\n", "")


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ({"stale_ok": True}, "goes with max_age"),
        ({"stale_ok": "1h", "max_age": 1}, "stale_ok is True"),
        ({"stale_ok": -1, "max_age": 1}, "stale_ok is True"),
        ({"expires_in": 0}, "expires_in is a number"),
        ({"expires_in": True}, "expires_in is a number"),
    ],
)
def test_wrong_times(arguments: dict[str, Any], text: str) -> None:
    for decorator in (larder.object_service_cache, larder.strategy_service_cache):
        with pytest.raises(ValueError, match=text):
            decorator("DAX", **arguments)


def test_what_a_function_returned_expires(env: larder.Environment, unique: str) -> None:
    @larder.object_service_cache(unique, expires_in=timedelta(days=1))
    def f() -> int:
        return 1

    @larder.object_service_cache(unique + "2", expires_in=3600, single_build=False)
    def g() -> int:
        return 1

    f()
    g()
    for function, seconds in ((f, 86400), (g, 3600)):
        info = function.info()
        assert info.expires is not None
        assert abs((info.expires - info.modified).total_seconds() - seconds) < 10


# What is asked of a node.


def test_an_age_is_the_node_s_to_judge(objects: larder.ObjectService, unique: str) -> None:
    text = b'{"type":"urn:larder:problem:too-old","detail":"it was written at noon, more than 60 seconds ago"}'
    too_old = answer(412, text, ETag='"x"', Last_Modified="Thu, 01 Jan 2026 00:00:00 GMT")
    asked: list[str | None] = []

    def reply(h: Scripted) -> None:
        asked.append(h.headers["Larder-Max-Age"])
        too_old(h)

    with served() as (url, handler), larder.Client(url, retries=0) as c:
        service = larder.ObjectService(c)
        handler.script += [reply] * 4
        with pytest.raises(larder.NotFound, match=r"get 'k': it was written at noon, more than 60 seconds ago") as caught:
            service.get("k", max_age=60.9)
        assert (caught.value.type, caught.value.status) == ("too-old", 412)
        assert service.get("k", 5, max_age=timedelta(minutes=1)) == 5
        assert service.get_many(["k"], max_age=60) == {}
        handler.script.clear()
        handler.script += [reply, problem(412, "precondition-failed")]
        service.get("k", 5, max_age=1 << 40)
        with pytest.raises(larder.Conflict):
            service.get("k")
    assert asked == ["60", "60", "60", None]


def test_ages_of_many(objects: larder.ObjectService, unique: str) -> None:
    objects.put_many({f"{unique}/{i}": i for i in range(3)})
    assert len(objects.get_many(objects.keys(unique), max_age=3600)) == 3


def test_a_kept_value_that_is_too_old_stays_kept(node: Node, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_LOCAL_CACHE", "64MiB")
    with larder.Client(node.url) as c:
        service = larder.ObjectService(c)
        service.put(unique, bytes(range(256)) * 1024)
        service.get(unique)
        assert service.get(unique, 5, max_age=0) == 5
        assert c._tier is not None
        assert c._tier._entries


def test_what_expired_says_when() -> None:
    reply: Reply = answer(
        404, b'{"type":"urn:larder:problem:not-found","detail":"the object of this key expired at noon; a PUT stores another"}'
    )
    with served() as (url, handler), larder.Client(url) as c:
        handler.script += [reply]
        with pytest.raises(larder.NotFound, match="get 'k': the object of this key expired at noon"):
            larder.ObjectService(c).get("k")
