"""Real nodes for the tests. LARDER_NODE names the binary; without it, it is built."""

from __future__ import annotations

import itertools
import os
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
import uuid
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import larder

ROOT = Path(__file__).resolve().parents[2]
START_LIMIT = 60.0  # seconds


def free_ports(n: int) -> list[int]:
    """Ports that were free a moment ago."""
    sockets = [socket.socket() for _ in range(n)]
    for s in sockets:
        s.bind(("127.0.0.1", 0))
    ports = [s.getsockname()[1] for s in sockets]
    for s in sockets:
        s.close()
    return ports


@dataclass
class Node:
    """A node process."""

    binary: Path
    flags: list[str]
    log: Path
    http: int
    admin: int
    environment: dict[str, str] = field(default_factory=dict)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http}"

    def start(self) -> None:
        own = {k: v for k, v in os.environ.items() if not k.startswith(("LARDER_", "AWS_"))}
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [str(self.binary), *self.flags],
                stdout=log,
                stderr=log,
                env={**own, **self.environment, "AWS_EC2_METADATA_DISABLED": "true"},
            )

    def wait_ready(self) -> None:
        deadline = time.monotonic() + START_LIMIT
        while time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.admin}/readyz", timeout=5) as answer:
                    if answer.status == 200:
                        return
            except (urllib.error.URLError, OSError):
                pass
            assert self.process is not None
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)
        raise AssertionError(f"{self.url} is not ready: {self.log.read_text()}")

    def stop(self) -> None:
        if self.process is None:
            return
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(20)
        self.process = None

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(20)
        self.process = None


@pytest.fixture(scope="session")
def binary(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The node's program."""
    if given := os.environ.get("LARDER_NODE"):
        return Path(given)
    path = tmp_path_factory.mktemp("bin") / "node"
    go = shutil.which("go")
    assert go, "the tests start real nodes: they need Go, or LARDER_NODE"
    subprocess.run([go, "build", "-o", str(path), "./cmd/node"], cwd=ROOT, check=True)
    return path


StartNode = Callable[..., Node]


@pytest.fixture(scope="session")
def start_node(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartNode]:
    """Starts a node alone, with flags."""
    nodes: list[Node] = []
    numbers = itertools.count(1)

    def start(*flags: str) -> Node:
        folder = tmp_path_factory.mktemp("node")
        http, admin, gossip, peer = free_ports(4)
        addresses = {"--http-addr": http, "--admin-addr": admin, "--gossip-addr": gossip, "--peer-addr": peer}
        own = [word for flag, port in addresses.items() for word in (flag, f"127.0.0.1:{port}")]
        name = f"alone-{next(numbers)}"
        own += ["--name", name, "--cluster-label", name, "--data-dir", str(folder / "data"), "--log-level", "warn"]
        if "--memory" not in flags:
            own += ["--memory", "256MiB"]
        node = Node(binary, [*own, *flags], folder / "log", http, admin)
        nodes.append(node)
        node.start()
        node.wait_ready()
        return node

    yield start
    for node in nodes:
        node.stop()


@pytest.fixture(scope="session")
def node(start_node: StartNode) -> Node:
    """A node alone, which all tests share. Each uses keys of its own."""
    return start_node()


@pytest.fixture(scope="session")
def cluster(binary: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Node]]:
    """Three nodes over one S3."""
    folder = tmp_path_factory.mktemp("cluster")
    s3_port, *ports = free_ports(13)
    secrets = {"AWS_ACCESS_KEY_ID": "larder", "AWS_SECRET_ACCESS_KEY": "larder-on-loopback"}
    s3 = Node(binary, ["s3", "--addr", f"127.0.0.1:{s3_port}", "--data-dir", str(folder / "s3")], folder / "s3.log", s3_port, 0, secrets)
    s3.start()
    join = ",".join(f"127.0.0.1:{ports[4 * i + 2]}" for i in range(3))
    nodes = []
    for i in range(3):
        http, admin, gossip, peer = ports[4 * i : 4 * i + 4]
        flags = ["--name", f"node-{i}", "--cluster-label", f"python-{s3_port}", "--join", join, "--memory", "256MiB"]
        flags += ["--http-addr", f"127.0.0.1:{http}", "--admin-addr", f"127.0.0.1:{admin}"]
        flags += ["--gossip-addr", f"127.0.0.1:{gossip}", "--peer-addr", f"127.0.0.1:{peer}"]
        flags += ["--s3-bucket", "larder", "--s3-endpoint", f"http://127.0.0.1:{s3_port}", "--s3-path-style"]
        nodes.append(Node(binary, flags, folder / f"node-{i}.log", http, admin, secrets))
        nodes[-1].start()
    try:
        for n in nodes:
            n.wait_ready()
        yield nodes
    finally:
        for n in [*nodes, s3]:
            n.stop()


@pytest.fixture(autouse=True)
def clean_environment(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No test sees the variables, or the session, of another."""
    for name in list(os.environ):
        if name.startswith("LARDER_") and name != "LARDER_NODE":
            monkeypatch.delenv(name)
    yield
    larder.de_init()


@pytest.fixture
def client(node: Node) -> Iterator[larder.Client]:
    """A client of the shared node."""
    c = larder.Client(node.url)
    yield c
    c.close()


@pytest.fixture
def objects(client: larder.Client) -> larder.ObjectService:
    """The object service of the shared node."""
    return larder.ObjectService(client)


@pytest.fixture
def env(client: larder.Client) -> larder.Environment:
    """An environment of this test alone."""
    return larder.init("2022-01-30", client=client, test=uuid.uuid4().hex)


@pytest.fixture
def unique() -> str:
    """A name of this test alone."""
    return uuid.uuid4().hex


@contextmanager
def collected() -> Iterator[list[str]]:
    texts: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield texts
    # Sockets of a test before this one may be collected meanwhile.
    texts += [str(w.message) for w in caught if "no signing key" not in str(w.message) and w.category is not ResourceWarning]
