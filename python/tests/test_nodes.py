"""Which node is asked, for how long, and what is known of a write when none answers."""

from __future__ import annotations

import multiprocessing
import os
import random
import select
import socket
import threading
import time
from collections import Counter
from contextlib import closing
from typing import Any

import pytest

import larder
from larder import transport
from tests.conftest import Node, free_ports
from tests.scripted import Scripted, answer, problem, served

URLS = ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]
URL = ",".join(URLS)


def first(client: larder.Client) -> int:
    return client._transport._choose(transport.Request("GET", "/"), []).port


def test_clients_are_spread_over_the_nodes() -> None:
    clients = [larder.Client(URL) for _ in range(100)]
    chosen = Counter(map(first, clients))
    assert set(chosen) == {1, 2, 3}
    assert min(chosen.values()) >= 10  # of 100, by chance less once in a million runs
    assert all(first(c) == first(c) for c in clients)  # and each keeps to its own


@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_processes_are_spread_over_the_nodes() -> None:
    client = larder.Client(URL)
    mine = first(client)
    context = multiprocessing.get_context("fork")
    results = context.SimpleQueue()
    children = [context.Process(target=lambda: results.put(first(client))) for _ in range(20)]
    for child in children:
        child.start()
    assert len({results.get() for _ in children}) > 1
    for child in children:
        child.join(30)
    assert first(client) == mine


def dead() -> str:
    return f"http://127.0.0.1:{free_ports(1)[0]}"


@pytest.mark.parametrize("call", ["put", "delete"])
@pytest.mark.parametrize("url", ["http://larder.invalid:8080", "http://" + "a" * 63 + ".invalid", "dead"])
def test_nothing_was_sent(call: str, url: str) -> None:
    with larder.Client(dead() if url == "dead" else url, retries=0) as client:
        objects = larder.ObjectService(client)
        calls: dict[str, Any] = {"put": lambda: objects.put("k", 1), "delete": lambda: objects.delete("k")}
        with pytest.raises(larder.Unavailable, match="LARDER_URL") as caught:
            calls[call]()
    assert type(caught.value) is larder.Unavailable


def test_no_answer_to_a_connection() -> None:
    """A host that drops packets: a listener whose queue is full does so too."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as server:
        address = server.getsockname()
        queue = [socket.socket() for _ in range(4)]
        for s in queue:
            s.setblocking(False)
            s.connect_ex(address)
        client = larder.Client(f"http://127.0.0.1:{address[1]}", retries=0, connect_timeout=0.2)
        with pytest.raises(larder.Unavailable, match="TimeoutError") as caught:
            larder.ObjectService(client).put("k", 1)
        assert type(caught.value) is larder.Unavailable
        for s in queue:
            s.close()


def test_a_write_that_may_have_happened_before_the_node_was_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "_MAX_PAUSE", 0.01)

    def hang_up_for_good(h: Any) -> None:
        h.close_connection = True
        h.server.socket.close()

    def hang_up(h: Scripted) -> None:
        h.close_connection = True

    with served() as (url, handler), larder.Client(url, retries=1) as client:
        handler.script += [hang_up, problem(503, "not-written")]
        with pytest.raises(larder.OutcomeUnknown, match="may have been carried out"):
            larder.ObjectService(client).put("k", 1)
        handler.script += [hang_up_for_good]
        with pytest.raises(larder.OutcomeUnknown, match="may have happened"):
            larder.ObjectService(client).put("k", 1)


def test_what_another_node_does_not_have_was_not_removed(node: Node) -> None:
    with larder.Client(f"{dead()},{node.url}") as client:
        client._transport._nodes.sort(key=lambda n: n.port == node.http)  # the dead one is first
        with pytest.raises(larder.NotFound):
            larder.ObjectService(client).delete("was never there")


@pytest.mark.parametrize(
    "drip",
    [
        b"HTTP/1.1 102 Processing\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLarder-Request: r\r\nContent-Length: 100000\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nLarder-Request: r\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_answers_that_drip(drip: bytes) -> None:
    """A byte comes before each silence is over, for ever."""
    over = threading.Event()

    def serve(server: socket.socket) -> None:
        connection, _ = server.accept()
        with closing(connection):
            connection.recv(10_000)
            try:
                connection.sendall(drip)
                while not over.wait(0.02):
                    connection.sendall(drip[:1] if b"102" not in drip else drip)
            except OSError:
                return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, args=(server,))
        thread.start()
        client = larder.Client(f"http://127.0.0.1:{server.getsockname()[1]}", timeout=0.3, retries=0)
        with pytest.raises(larder.Unavailable):
            client.load_raw("objects", "k")
        over.set()
        thread.join()


@pytest.mark.parametrize("status", [429, 503])
@pytest.mark.parametrize("told", ["7", "date"])
def test_waits_as_told(monkeypatch: pytest.MonkeyPatch, status: int, told: str) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    date = time.strftime("%a, %d %b %Y %H:%M:%S GMT", time.gmtime(time.time() + 7))
    with served() as (url, handler), larder.Client(url) as client:
        handler.script += [problem(status, "slow", Retry_After=date if told == "date" else told), answer(201)]
        larder.ObjectService(client).put_raw("k", b"")
        handler.script += [problem(status, "slow", Retry_After="3600"), answer(201)]
        larder.ObjectService(client).put_raw("k", b"")
    waits = [s for s in slept if s > 1]
    assert 5 < waits[0] < 7.2
    assert 50 < waits[1] < 60.2  # no longer than timeout


def test_other_nodes_are_not_asked_what_was_too_much(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    monkeypatch.setattr(time, "sleep", slept.append)
    with served() as (url, one), served() as (other, two), larder.Client([url, other]) as client:
        for handler in (one, two):
            handler.script += [problem(429, "slow", Retry_After="2"), answer(201)]
        client.store_raw("objects", "k", b"")
    assert any(s >= 2 for s in slept)


def test_a_name_with_a_dead_address(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The name has an address at which nobody listens, and the node's; the first is asked once."""
    found = socket.getaddrinfo("127.0.0.1", node.http, type=socket.SOCK_STREAM)
    gone = socket.getaddrinfo("127.0.0.2", free_ports(1)[0], type=socket.SOCK_STREAM)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: gone + found)
    tried: list[Any] = []
    connect = socket.socket.connect

    def count(sock: socket.socket, address: Any) -> None:
        tried.append(address)
        connect(sock, address)

    monkeypatch.setattr(socket.socket, "connect", count)
    client = larder.Client("http://localhost:1")
    client._transport._pool._seed = next(
        seed for seed in map(float, range(1000)) if hash((seed, gone[0])) < hash((seed, found[0]))
    )  # the dead one comes first
    for _ in range(5):
        client.whoami()
        client.close()
    assert [address[0] for address in tried] == ["127.0.0.2"] + ["127.0.0.1"] * 5


def test_a_client_is_closed_at_the_end_of_its_block(node: Node) -> None:
    with larder.Client(node.url) as client:
        client.whoami()
        assert any(client._transport._pool._idle.values())
    assert not any(client._transport._pool._idle.values())


def test_without_poll(objects: larder.ObjectService, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, and in programs that eventlet has patched."""
    monkeypatch.delattr(select, "poll")
    for _ in range(2):
        objects.put("k", b"x" * (2 << 20))
        assert objects.get("k") == b"x" * (2 << 20)


def test_tls_that_is_none(node: Node) -> None:
    with larder.Client(f"https://127.0.0.1:{node.http}") as client, pytest.raises(larder.ConfigError, match="is https right"):
        larder.ObjectService(client).put("k", 1)


def test_numbers_of_the_program_are_left_alone(node: Node) -> None:
    random.seed(1)
    wanted = random.random()
    random.seed(1)
    with larder.Client([node.url, dead()]) as client:
        client.whoami()
    assert random.random() == wanted


def test_a_connection_that_was_kept_for_long(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time of an answer begins with its request, whatever was before."""
    objects = larder.ObjectService(larder.Client(node.url, timeout=20, retries=0))
    objects.put("k", b"small")
    monotonic = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 40)
    objects.put("k", os.urandom(2 << 20))  # asks first
    monkeypatch.setattr(time, "monotonic", lambda: monotonic() + 80)
    assert len(objects.get("k")) == 2 << 20
