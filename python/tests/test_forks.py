"""What the child of a fork has of its parent's."""

from __future__ import annotations

import json
import multiprocessing
import os
import pkgutil
import socket
import ssl
import sys
import threading
import types
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from importlib import import_module
from typing import Any

import pytest

import larder
from larder import http1
from larder.claims import Visit
from larder.config import parse_nodes
from larder.local import Tier
from tests.scripted import lines, served
from tests.test_http1 import CERTIFICATE

pytestmark = pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
LOCKS = type(threading.Lock()), type(threading.RLock())
LIMIT = 30.0  # seconds


def locks() -> Iterator[Any]:
    """The locks that modules have: their own, and those of their classes and of instances of these."""
    for found in pkgutil.iter_modules(larder.__path__, "larder."):
        module = import_module(found.name) if found.name != "larder.__main__" else types.ModuleType("none")
        for value in vars(module).values():
            held = [value]
            if type(value).__module__ == found.name or getattr(value, "__module__", "") == found.name:
                held += getattr(value, "__dict__", {}).values()
            yield from (lock for lock in held if isinstance(lock, LOCKS))


def test_nobody_holds_a_lock_in_a_child() -> None:
    def take_all() -> None:
        sys.exit(sum(not lock.acquire(timeout=1) for lock in locks()))

    with ExitStack() as stack:
        held = [stack.enter_context(lock) for lock in locks()]  # as other threads may, in the moment of the fork
        child = multiprocessing.get_context("fork").Process(target=take_all)
        child.start()
    child.join(LIMIT)
    assert child.exitcode == 0
    assert held


def test_a_tier_that_was_being_counted() -> None:
    tier = Tier(1000, "")
    with tier._lock:
        tier._size = 900  # of an entry that another thread has just dropped
        tier.renew_lock()
    assert tier._size == 0


@pytest.mark.parametrize("tls", [False, True])
def test_a_child_holds_no_connection_open(tls: bool) -> None:
    """Not even one that another thread was about to use when it was forked."""
    trusting = ssl.create_default_context(cafile=str(CERTIFICATE))
    ends: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            ends.append(server.accept()[0])
            if tls:
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.load_cert_chain(CERTIFICATE)
                ends[0] = context.wrap_socket(ends[0], server_side=True)

        thread = threading.Thread(target=accept)
        thread.start()
        port = server.getsockname()[1]
        (node,) = parse_nodes(f"https://localhost:{port}")
        address = (socket.AF_INET, socket.SOCK_STREAM, 0, "", ("127.0.0.1", port))
        mine = http1.connect(node, address, trusting if tls else None, LIMIT, LIMIT)
        thread.join(LIMIT)
    context = multiprocessing.get_context("fork")
    go = context.Event()
    child = context.Process(target=go.wait, args=(LIMIT,))
    child.start()
    try:
        with ends[0] as end:
            end.settimeout(LIMIT / 2)
            mine.close()
            with suppress(ConnectionResetError):  # of what TLS had sent besides, nobody has read
                assert end.recv(1) == b""
    finally:
        go.set()
        child.join(LIMIT)


def test_a_place_in_a_child_is_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where greenlets go on in a child, as gevent's do."""
    waiters: list[str] = []

    def note(h: Any) -> None:
        waiters.append(json.loads(h.body)["waiter"])
        lines('{"event": "unstored"}')(h)

    with served() as (url, server), larder.Client(url) as client:
        server.script.extend([note] * 3)
        visit = Visit(client, "objects", "k", {})
        visit.attach().close()
        visit.attach("claim").close()
        monkeypatch.setattr(os, "getpid", lambda: 0)
        with pytest.raises(larder.Conflict, match="parent"):
            visit.attach("claim")
        visit.attach().close()
    assert waiters[0] == waiters[1] != waiters[2]
