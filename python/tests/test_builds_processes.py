"""Builds that several processes want."""

from __future__ import annotations

import gc
import os
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

import larder
from tests.building import LIMIT, closed, new_client, wait_until  # noqa: F401
from tests.conftest import Node

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


@pytest.fixture(autouse=True)
def collected() -> Iterator[None]:
    """What a test leaves in cycles goes with it: a warning of an open socket names that test."""
    yield
    gc.collect()


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


NGINX = """
daemon off; master_process off; pid {folder}/nginx.pid; error_log {folder}/nginx.log;
events {{}}
http {{
  access_log off; client_body_temp_path {folder}; proxy_temp_path {folder};
  fastcgi_temp_path {folder}; uwsgi_temp_path {folder}; scgi_temp_path {folder};
  server {{
    listen 127.0.0.1:{port};
    location / {{ proxy_pass http://127.0.0.1:{node}; proxy_http_version 1.1; proxy_read_timeout 1s; proxy_set_header Host $http_host; }}
  }}
}}
"""


@contextmanager
def nginx(folder: Path, node: int) -> Iterator[str]:
    """The URL of an nginx that cuts a stream on which a node is silent for a second."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    conf = folder / "nginx.conf"
    conf.write_text(NGINX.format(folder=folder, port=port, node=node))
    process = subprocess.Popen(["nginx", "-e", str(folder / "nginx.log"), "-c", str(conf)])

    def listens() -> bool:
        with suppress(OSError), socket.create_connection(("127.0.0.1", port)):
            return True
        return False

    try:
        wait_until(listens, "nginx")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_through_nginx(scripts: Scripts, node: Node, tmp_path: Path) -> None:
    with nginx(tmp_path, node.http) as url:
        builder = scripts.start(CALL, url)
        scripts.until("begun")
        waiter = scripts.start(CALL, url)
        wait_until(lambda: any(b.waiting and b.elapsed > 3 for b in builds(scripts)), "a waiter, after several cuts")
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
