"""Nodes that refuse, hang, break off and come back."""

from __future__ import annotations

import multiprocessing
import os
import socket
import threading
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

import larder
from larder import transport
from tests.conftest import Node, StartNode, free_ports
from tests.scripted import Reply, Scripted, answer, problem, served


def hang_up(h: Scripted) -> None:
    h.close_connection = True


def break_off(h: Scripted) -> None:
    h.send_response(200)
    h.send_header("Larder-Request", "request-1")
    h.send_header("Content-Length", "1000")
    h.end_headers()
    h.wfile.write(b"part")
    h.close_connection = True


@pytest.fixture
def scripted() -> Iterator[tuple[larder.ObjectService, deque[Reply], list[str]]]:
    """A client of a scripted server, its script, and the methods that it has seen."""
    with served() as (url, handler), larder.Client(url) as client:
        yield larder.ObjectService(client), handler.script, handler.seen


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test waits for what it need not."""
    monkeypatch.setattr(transport, "_MAX_PAUSE", 0.01)


Served = tuple[larder.ObjectService, deque[Reply], list[str]]


@pytest.mark.parametrize("trouble", [problem(503, "not-written"), problem(504, "timeout"), problem(429, "slow"), hang_up, break_off])
def test_get_is_sent_again(scripted: Served, trouble: Reply) -> None:
    objects, script, seen = scripted
    script += [trouble, trouble, answer(200, b"here")]
    assert objects.get_raw("x") == b"here"
    assert seen == ["GET"] * 3


@pytest.mark.parametrize("trouble", [problem(503, "not-written"), problem(503, "outcome-unknown"), hang_up])
def test_put_is_sent_again(scripted: Served, trouble: Reply) -> None:
    objects, script, seen = scripted
    script += [trouble, answer(201)]
    objects.put_raw("x", b"data")
    assert seen == ["PUT"] * 2


def test_delete_that_was_done_before_its_answer_was_lost(scripted: Served) -> None:
    objects, script, _ = scripted
    script += [hang_up, problem(404, "not-found")]
    objects.delete("x")
    script += [problem(404, "not-found")]
    with pytest.raises(larder.NotFound):
        objects.delete("x")


@pytest.mark.parametrize(
    ("reply", "error", "times"),
    [
        (problem(400, "bad-key"), larder.BadRequest, 1),
        (problem(401, "no-credential"), larder.AuthError, 1),
        (problem(403, "read-only"), larder.AuthError, 1),
        (problem(404, "not-found"), larder.NotFound, 1),
        (problem(404, "no-route"), larder.BadRequest, 1),
        (answer(404, b"<html>", mark=False), larder.BadRequest, 1),
        (answer(404, b'{"error":"no such page"}', mark=False), larder.BadRequest, 1),
        (problem(409, "conflict"), larder.Conflict, 1),
        (problem(412, "precondition-failed"), larder.Conflict, 1),
        (problem(413, "too-large"), larder.TooLarge, 1),
        (problem(500, "internal"), larder.ServerError, 1),
        (problem(502, "store-unexpected"), larder.ServerError, 1),
        (problem(503, "store-unavailable"), larder.Unavailable, 5),
        (problem(503, "outcome-unknown"), larder.OutcomeUnknown, 5),
    ],
)
def test_refusals(scripted: Served, reply: Reply, error: type[larder.LarderError], times: int) -> None:
    objects, script, seen = scripted
    script += [reply] * times
    with pytest.raises(error) as caught:
        objects.get_raw("x")
    assert type(caught.value) is error
    assert len(seen) == times
    assert "get 'x'" in str(caught.value)


def test_bytes_that_changed_on_the_way(scripted: Served) -> None:
    objects, script, _ = scripted
    script += [answer(200, b"other", Repr_Digest="sha-256=:" + "A" * 43 + "=:")]
    with pytest.raises(larder.IntegrityError):
        objects.get_raw("x")


def test_refused_node_is_skipped(node: Node) -> None:
    dead = f"http://127.0.0.1:{free_ports(1)[0]}"
    client = larder.Client(f"{dead}, {node.url}")
    client._transport._nodes.sort(key=lambda n: n.port == node.http)  # the dead one is first
    objects = larder.ObjectService(client)
    objects.put("skipped", 1)
    assert client._transport._down
    assert objects.get("skipped") == 1


def test_store_that_hangs_is_waited_for_once(scripted: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    objects, script, seen = scripted
    monkeypatch.setattr(transport, "_SLOW", 0.0)  # so that any refusal is a slow one
    larder.init("2022-01-30", client=objects._client)
    script += [problem(503, "store-unavailable")] * 2
    build = larder.object_service_cache("x")(lambda: "built")
    with pytest.warns(larder.LarderWarning, match="is called"):
        assert [build() for _ in range(5)] == ["built"] * 5
    assert len(seen) == 1
    script.clear()
    script += [answer(200, b"there")]
    assert objects.get_raw("x") == b"there"  # who waits is served


def test_nobody_there() -> None:
    objects = larder.ObjectService(larder.Client(f"http://127.0.0.1:{free_ports(1)[0]}"))
    with pytest.raises(larder.Unavailable, match="LARDER_URL"):
        objects.get("x")


def test_node_that_hangs() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = larder.Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.2)
        with pytest.raises(larder.OutcomeUnknown, match="may have happened"):
            larder.ObjectService(client).put("x", 1)


def test_node_that_restarts(start_node: StartNode) -> None:
    node = start_node()
    objects = larder.ObjectService(larder.Client(node.url))
    objects.put("kept", [1])
    node.stop()
    node.start()
    node.wait_ready()
    assert objects.get("kept") == [1]  # over the connection that was kept alive, and is dead


def test_too_large(start_node: StartNode) -> None:
    node = start_node("--max-object-size", "2MiB")
    objects = larder.ObjectService(larder.Client(node.url))
    for size in (2 << 20, 64 << 20):
        with pytest.raises(larder.TooLarge, match="2097152 bytes"):
            objects.put("large", os.urandom(size))
    objects.put("small", b"x")


def test_connections_are_kept(client: larder.Client, objects: larder.ObjectService) -> None:
    objects.put("kept alive", 1)
    (idle,) = client._transport._pool._idle.values()
    before = idle[-1].sock.getsockname()
    for _ in range(20):
        objects.get("kept alive")
        with pytest.raises(larder.NotFound):
            objects.get("not there")
    assert [c.sock.getsockname() for c in idle] == [before]


def hammer(objects: larder.ObjectService, worker: str, threads: int, rounds: int) -> list[str]:
    """Threads that put and get what is theirs. Returns what went wrong."""
    wrong: list[str] = []

    def work(i: int) -> None:
        key = f"hammer/{worker}/{i}"
        for n in range(rounds):
            value = [key, n, "x" * (n * 997 % 20_000)]
            try:
                objects.put(key, value)
                if objects.get(key) != value:
                    wrong.append(key)
            except Exception as error:
                wrong.append(repr(error))

    pool = [threading.Thread(target=work, args=(i,)) for i in range(threads)]
    for t in pool:
        t.start()
    for t in pool:
        t.join()
    return wrong


def child(objects: larder.ObjectService, worker: str, results: Any) -> None:
    results.put(hammer(objects, worker, 25, 4))


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_threads_and_processes_share_a_client(node: Node, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    client = larder.Client(node.url)
    objects = larder.ObjectService(client)
    assert hammer(objects, f"{method}-parent", 200, 3) == []
    context: Any = multiprocessing.get_context(method)
    results = context.Queue()
    workers = [context.Process(target=child, args=(objects, f"{method}-{i}", results)) for i in range(8)]
    for w in workers:
        w.start()
    assert hammer(objects, f"{method}-beside", 25, 4) == []
    assert [results.get(timeout=120) for _ in workers] == [[]] * 8
    for w in workers:
        w.join(60)
        assert w.exitcode == 0
    client.close()


def test_joblib(node: Node) -> None:
    import joblib

    objects = larder.ObjectService(larder.Client(node.url))
    jobs = (joblib.delayed(objects.put)(f"joblib/{i}", i) for i in range(8))
    joblib.Parallel(n_jobs=2)(jobs)
    assert [objects.get(f"joblib/{i}") for i in range(8)] == list(range(8))
    from joblib.externals.loky import get_reusable_executor

    get_reusable_executor().shutdown(wait=True)
