"""One build for the organisation, with real nodes and real processes that are killed, interrupted and cut off."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

import larder
from larder import attempts
from tests.conftest import Node, StartNode, collected

LIMIT = 60.0  # seconds

HEAD = """
import os, signal, sys, threading, time, larder
folder, = sys.argv[1:]
larder.init("2022-01-30", client=larder.Client(signing_key="a-key-of-the-whole-group"))
objects = larder.env().object_service()
def note(name):
    with open(os.path.join(folder, name), "a") as file:
        file.write(f"{os.getpid()}\\n")
def wait_for(name):
    while not os.path.exists(os.path.join(folder, name)):
        time.sleep(0.01)
def waiting(count):
    while sum(b.waiting for b in larder.builds(KEY)) < count:
        time.sleep(0.05)
"""


CLIENTS: list[larder.Client] = []


def new_client(url: str, **more: Any) -> larder.Client:
    CLIENTS.append(larder.Client(url, **more))
    return CLIENTS[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


class Scripts:
    """Processes that run scripts in one folder, against one URL."""

    def __init__(self, folder: Path, key: str, url: str) -> None:
        self.folder, self.key, self.url = folder, key, url
        self.running: list[subprocess.Popen[str]] = []

    def start(self, body: str, url: str = "") -> subprocess.Popen[str]:
        environment = {k: v for k, v in os.environ.items() if not k.startswith("LARDER_")} | {"LARDER_URL": url or self.url}
        script = f"KEY = {self.key!r}\n{HEAD}\n{body}"
        command = [sys.executable, "-c", script, str(self.folder)]
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self.running.append(process)
        return process

    def notes(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().split() if path.exists() else []

    def until(self, name: str, count: int = 1) -> None:
        wait_until(lambda: len(self.notes(name)) >= count, f"{name}: {[p.stdout.read() for p in self.running if p.stdout and p.poll()]}")

    def stop(self) -> None:
        for process in self.running:
            process.kill()
            process.communicate()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)


def output(process: subprocess.Popen[str]) -> str:
    return process.communicate(timeout=LIMIT)[0].strip()


@pytest.fixture
def scripts(tmp_path: Path, unique: str, node: Node) -> Iterator[Scripts]:
    made = Scripts(tmp_path, unique, node.url)
    yield made
    made.stop()


# A build that ends when it is told to, and says who built.
BUILD = """
def build():
    note("begun")
    wait_for("go")
    return str(os.getpid())
"""
CALL = BUILD + "print(objects.build(KEY, build))"


def test_processes_and_threads_build_once(scripts: Scripts) -> None:
    many = """
@larder.object_service_cache(KEY)
def build():
    note("begun")
    if not os.path.exists(os.path.join(folder, "go")):
        waiting(7)
    return os.urandom(8).hex()
found = []
threads = [threading.Thread(target=lambda: found.append(build())) for _ in range(25)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(found), *set(found))
"""
    outputs = {output(p) for p in [scripts.start(many) for _ in range(8)]}
    assert len(scripts.notes("begun")) == 1, outputs
    assert len(outputs) == 1
    assert outputs.pop().startswith("25 ")


def test_the_next_builds_when_a_builder_is_killed(scripts: Scripts) -> None:
    builder = scripts.start(CALL)
    scripts.until("begun")
    waiter = scripts.start(CALL)
    wait_until(lambda: any(b.waiting for b in builds(scripts)), "a waiter")
    builder.kill()
    scripts.until("begun", 2)
    (scripts.folder / "go").touch()
    assert output(waiter) == str(waiter.pid)


def builds(scripts: Scripts) -> larder.Builds:
    return larder.builds(scripts.key, client=new_client(scripts.url))


INTERRUPTED = (
    BUILD
    + """
try:
    print(objects.build(KEY, build))
except KeyboardInterrupt:
    print("interrupted", objects.get(KEY + " other", None), flush=True)
"""
)


def test_who_waits_is_interrupted(scripts: Scripts) -> None:
    builder = scripts.start(CALL)
    scripts.until("begun")
    waiter = scripts.start(INTERRUPTED)
    wait_until(lambda: any(b.waiting for b in builds(scripts)), "a waiter")
    waiter.send_signal(signal.SIGINT)
    assert output(waiter) == "interrupted None"
    wait_until(lambda: [b.waiting for b in builds(scripts)] == [0], "nobody waits any more")
    (scripts.folder / "go").touch()
    assert output(builder) == str(builder.pid)


def test_who_builds_is_interrupted(scripts: Scripts) -> None:
    builder = scripts.start(INTERRUPTED)
    scripts.until("begun")
    waiter = scripts.start(CALL)
    wait_until(lambda: any(b.waiting for b in builds(scripts)), "a waiter")
    builder.send_signal(signal.SIGINT)
    assert output(builder) == "interrupted None"
    scripts.until("begun", 2)
    (scripts.folder / "go").touch()
    assert output(waiter) == str(waiter.pid)


def test_the_builder_may_hold_the_interpreter_lock(scripts: Scripts) -> None:
    """For longer than the 3.5 s after which a silent machine is taken for gone."""
    builder = scripts.start("""
import ctypes
def build():
    note("begun")
    ctypes.PyDLL(None).sleep(5)
    return "slept"
print(objects.build(KEY, build))
""")
    scripts.until("begun")
    waiter = scripts.start(CALL)
    assert {output(builder), output(waiter)} == {"slept"}
    assert len(scripts.notes("begun")) == 1


def test_a_child_of_a_fork_holds_nothing(scripts: Scripts) -> None:
    """One that ends does not end its parent's claim, and one that lives does not keep it when the parent dies."""
    builder = scripts.start("""
def build():
    note("begun")
    if os.fork() == 0:
        os._exit(0)
    os.wait()
    if os.fork() == 0:
        os.close(1); os.close(2)
        wait_for("go")
        os._exit(0)
    note("forked")
    wait_for("go")
print(objects.build(KEY, build))
""")
    scripts.until("forked")
    waiter = scripts.start(CALL)
    wait_until(lambda: any(b.waiting for b in builds(scripts)), "a waiter")
    assert len(scripts.notes("begun")) == 1
    builder.kill()
    scripts.until("begun", 2)
    (scripts.folder / "go").touch()
    assert output(waiter) == str(waiter.pid)


def test_a_pool_whose_workers_all_wait_for_what_needs_one(scripts: Scripts) -> None:
    pool = scripts.start("""
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from larder import attempts
attempts._LEAST_WAIT = 0.5
def part(n):
    return n
def whole():
    return sum(pool.map(part, range(4)))
def work(n):
    return objects.build(KEY, whole_of_all)
def whole_of_all():
    if multiprocessing.parent_process() is not None:
        return 6  # a worker that waited long enough builds itself
    list(pool.map(work, range(4)))  # they wait for this very build
    return whole()
pool = ProcessPoolExecutor(4, multiprocessing.get_context("fork"))
print(objects.build(KEY, whole_of_all))
pool.shutdown()
""")
    assert output(pool) == "6"


@contextmanager
def cutting_proxy(port: int, seconds: float) -> Iterator[str]:
    """The URL of a proxy that cuts each connection after some seconds."""
    server = socket.create_server(("127.0.0.1", 0))

    def pump(a: socket.socket, b: socket.socket) -> None:
        try:
            while data := a.recv(65536):
                b.sendall(data)
        except OSError:
            pass
        for s in (a, b):
            with suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            s.close()

    def cut(client: socket.socket) -> None:
        with suppress(OSError):
            client.shutdown(socket.SHUT_RDWR)

    def serve() -> None:
        while True:
            try:
                client = server.accept()[0]
            except OSError:
                return
            node = socket.create_connection(("127.0.0.1", port))
            for pair in ((client, node), (node, client)):
                threading.Thread(target=pump, args=pair, daemon=True).start()
            timer = threading.Timer(seconds, cut, [client])
            timer.daemon = True
            timer.start()

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"
    finally:
        cut(server)
        server.close()


def test_a_proxy_that_cuts_streams(scripts: Scripts, node: Node) -> None:
    with cutting_proxy(node.http, 1.5) as url:
        scaled = "from larder import claims; claims._REPLACE = 0.5\n"
        builder = scripts.start(scaled + CALL, url)
        scripts.until("begun")
        waiter = scripts.start(scaled + CALL, url)
        wait_until(lambda: any(b.waiting for b in builds(scripts)), "a waiter")
        wait_until(lambda: any(b.elapsed > 4 for b in builds(scripts)), "several cuts")
        (scripts.folder / "go").touch()
        assert {output(builder), output(waiter)} == {str(builder.pid)}
        assert len(scripts.notes("begun")) == 1


def test_a_node_is_killed(tmp_path: Path, unique: str, cluster: list[Node]) -> None:
    scripts = Scripts(tmp_path, unique, "")
    urls = [n.url for n in cluster]
    order = "import random\nfrom larder import transport\ntransport._random.sample = lambda of, n: list(of)\n"
    call = CALL.replace("objects.build", "larder.ObjectService(larder.Client(signing_key='a-key-of-the-whole-group')).build")
    try:
        builder = scripts.start(order + call, f"{urls[2]},{urls[0]},{urls[1]}")
        scripts.until("begun")
        waiter = scripts.start(order + call, f"{urls[2]},{urls[1]},{urls[0]}")
        wait_until(lambda: any(b.waiting for b in larder.builds(unique, client=new_client(urls[0]))), "a waiter")
        cluster[2].kill()
        # The owner keeps claims and places of a node that is gone for 3.5 s: who builds after that has attached again.
        wait_until(lambda: any(b.elapsed > 5 and b.waiting for b in larder.builds(unique, client=new_client(urls[0]))), "a builder")
        (tmp_path / "go").touch()
        values = {output(builder), output(waiter)}
        assert len(values) == 1
        assert values <= {str(builder.pid), str(waiter.pid)}
        assert len(scripts.notes("begun")) <= 2
    finally:
        scripts.stop()
        if cluster[2].process is None:
            cluster[2].start()
            cluster[2].wait_ready()


# In one process, with clients that count as different ones.


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
