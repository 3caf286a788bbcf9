"""One build for the organisation, with real nodes and real processes that are killed, interrupted and cut off."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import larder
from larder import attempts, claims
from tests.building import LIMIT, closed, new_client, wait_until  # noqa: F401
from tests.conftest import Node, StartNode, collected


def other(node: Node) -> larder.ObjectService:
    return larder.ObjectService(new_client(node.url, timeout=59))


def in_threads(*functions: Callable[[], Any]) -> list[Any]:
    results: list[Any] = [None] * len(functions)

    def run(at: int) -> None:
        try:
            results[at] = functions[at]()
        except Exception as error:
            results[at] = error

    threads = [threading.Thread(target=run, args=(at,)) for at in range(len(functions))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def test_others_are_told_of_a_failure(start_node: StartNode, tmp_path: Path) -> None:
    """A reader, too, who would not be given the claim."""
    tokens = {user: f"lrd_{user:x<43}" for user in ("ada", "bob", "cyd")}
    file = tmp_path / "tokens.json"
    roles = {"ada": "writer", "bob": "writer", "cyd": "reader"}
    entries = [
        {"id": user, "org": "acme", "user": user, "role": roles[user], "sha256": hashlib.sha256(token.encode()).hexdigest()}
        for user, token in tokens.items()
    ]
    file.write_text(json.dumps(entries))
    url = start_node("--tokens-file", str(file)).url
    ada, bob, cyd = (larder.ObjectService(new_client(url, token=tokens[user])) for user in tokens)

    def builds() -> larder.Builds:
        return larder.builds("prices", client=new_client(url, token=tokens["ada"]))

    def fail() -> int:
        wait_until(lambda: any(b.waiting == 2 for b in builds()), "two who wait")
        raise ValueError("no prices")

    def wait(objects: larder.ObjectService) -> int:
        wait_until(lambda: bool(builds()), "a builder")
        return objects.build("prices", lambda: 5)

    errors = in_threads(lambda: ada.build("prices", fail), lambda: wait(bob), lambda: wait(cyd))
    assert [type(error) for error in errors] == [ValueError, larder.BuildFailed, larder.BuildFailed]
    assert (errors[1].builder, errors[2].error) == ("ada", "ValueError: no prices")
    with collected() as texts:
        assert cyd.build("other", lambda: 5) == 5  # a reader builds for itself
    assert ["may" in text or "read" in text for text in texts] == [True], texts
    assert ada.build("prices", lambda: 6) == 6


def test_a_value_that_cannot_be_stored_is_built_by_all_at_once(node: Node, objects: larder.ObjectService, unique: str) -> None:
    together = threading.Barrier(2, timeout=LIMIT)

    def first() -> Any:
        wait_until(lambda: any(b.waiting for b in larder.builds(unique, client=new_client(node.url))), "a waiter")
        return (n for n in "ab")

    def second() -> Any:
        return (n for n in "cd")

    def waiter() -> Any:
        together.wait()
        wait_until(lambda: bool(larder.builds(unique, client=new_client(node.url))), "a builder")
        return other(node).build(unique, second)

    def builder() -> Any:
        together.wait()
        return objects.build(unique, first)

    with collected() as texts:
        results = in_threads(builder, waiter)
    assert [list(r) for r in results] == [["a", "b"], ["c", "d"]]
    assert all("is returned and not cached" in text for text in texts)
    assert unique not in objects


def test_progress_and_what_is_built(node: Node, objects: larder.ObjectService, unique: str) -> None:
    seen: list[larder.Build] = []
    client = new_client(node.url)

    def build() -> int:
        larder.progress(0.4, "loading prices")
        wait_until(lambda: any(b.progress for b in larder.builds(unique, client=client)), "progress")
        seen.extend(larder.builds(unique, client=client))
        return 7

    assert objects.build(unique, build) == 7
    assert [(b.key, b.progress, b.message, b.waiting, b.service) for b in seen] == [(unique, 0.4, "loading prices", 0, "objects")]
    assert "has been building" in str(seen[0])
    assert larder.builds(unique, client=client) == []
    assert repr(larder.builds(unique, client=client)) == "nothing is being built"
    assert "loading prices" in larder.Builds(seen)._repr_html_()
    larder.progress(0.5)  # where nothing is built
    with pytest.raises(ValueError, match="from 0 to 1"):
        larder.progress(50)


def test_a_build_within_itself(env: larder.Environment, unique: str) -> None:
    depth = []

    @larder.object_service_cache(unique)
    def outer() -> int:
        depth.append(1)
        return outer() + 1 if len(depth) < 3 else 0

    assert outer() == 2
    assert len(depth) == 3


def test_two_who_want_what_the_other_builds(
    node: Node, objects: larder.ObjectService, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "_LEAST_WAIT", 0.5)
    both = threading.Barrier(2, timeout=LIMIT)

    def one(service: larder.ObjectService, mine: str, theirs: str) -> Any:
        def build() -> str:
            both.wait()
            return mine + service.build(unique + theirs, lambda: theirs)

        return service.build(unique + mine, build)

    first, second = in_threads(lambda: one(objects, "a", "b"), lambda: one(other(node), "b", "a"))
    assert first in ("ab", "aba")  # it built the other's itself, or got what that had made
    assert second in ("ba", "bab")


def test_wait_is_bounded(node: Node, objects: larder.ObjectService, unique: str) -> None:
    go = threading.Event()

    def slow() -> str:
        assert go.wait(LIMIT)
        return "slow"

    def impatient() -> str:
        wait_until(lambda: bool(larder.builds(unique, client=new_client(node.url))), "a builder")
        try:
            return other(node).build(unique, lambda: "own", wait=0.5)
        finally:
            go.set()

    assert in_threads(lambda: objects.build(unique, slow), impatient) == ["slow", "own"]
    assert objects.get(unique) == "own"  # the late value replaced nothing


@pytest.mark.parametrize("off", ["argument", "variable"])
def test_off(node: Node, objects: larder.ObjectService, unique: str, off: str, monkeypatch: pytest.MonkeyPatch) -> None:
    both = threading.Barrier(2, timeout=LIMIT)
    single = off != "argument"
    if off == "variable":
        monkeypatch.setenv("LARDER_BUILDS", "off")

    def build() -> int:
        both.wait()
        return 1

    calls = [lambda s=s: s.build(unique, build, single_build=single) for s in (objects, other(node))]
    assert in_threads(*calls) == [1, 1]


def test_coroutines(node: Node, objects: larder.ObjectService, unique: str) -> None:
    called = []

    async def build(n: int) -> int:
        called.append(n)
        wait = asyncio.to_thread(wait_until, lambda: any(b.waiting for b in larder.builds(unique, client=new_client(node.url))), "")
        await wait
        return n

    async def main() -> list[int]:
        return await asyncio.gather(*(s.build(unique, build, 5) for s in (objects, other(node), objects)))

    assert asyncio.run(main()) == [5, 5, 5]
    assert called == [5]


def test_a_coroutine_that_waits_is_cancelled(node: Node, objects: larder.ObjectService, unique: str) -> None:
    client = new_client(node.url)

    async def main() -> None:
        go = asyncio.Event()

        async def build() -> int:
            await go.wait()
            return 1

        builder = asyncio.create_task(objects.build(unique, build))
        await asyncio.to_thread(wait_until, lambda: bool(larder.builds(unique, client=client)), "a builder")
        waiter = asyncio.create_task(other(node).build(unique, build))
        await asyncio.to_thread(wait_until, lambda: any(b.waiting for b in larder.builds(unique, client=client)), "a waiter")
        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter
        await asyncio.to_thread(wait_until, lambda: [b.waiting for b in larder.builds(unique, client=client)] == [0], "nobody")
        go.set()
        assert await builder == 1

    asyncio.run(main())


def test_an_older_value_does_not_do(node: Node, env: larder.Environment, unique: str) -> None:
    made = []

    @larder.object_service_cache(unique, max_age=0)
    def build() -> int:
        made.append(1)
        return len(made)

    assert [build(), build()] == [1, 2]


def test_other_code_is_built_anew(env: larder.Environment, unique: str) -> None:
    @larder.object_service_cache(unique, code="recompute")
    def build() -> int:
        return 1

    assert build() == 1
    with collected():  # that two functions have one name

        @larder.object_service_cache(unique, code="recompute")
        def again() -> int:
            return 2 + 0 * len(unique)

    assert [again(), again()] == [2, 2]


def test_build_of_strategies(env: larder.Environment, unique: str) -> None:
    class Strategy:
        def __init__(self, name: str) -> None:
            self.name = name

    service = env.strategy_service()
    assert service.build(unique, Strategy, unique).name == unique
    assert service.build(unique, Strategy, "other").name == unique
    with pytest.raises(larder.BadRequest, match="takes a function"):
        service.build(unique, 5)  # type: ignore[arg-type]


def test_ended_stream_is_not_kept(node: Node, unique: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who stores the value may end a stream just before the thread that keeps the claim has read its last line."""
    client = new_client(node.url)
    stream = claims.Visit(client, "objects", unique, {}).attach()
    kept: list[Any] = []
    monkeypatch.setattr(client.transport, "finish", lambda *connection: kept.append(connection))
    stream.end()
    stream.close()
    assert not kept
