"""The local tier: never stale, nothing shared, and one small request for what did not change."""

from __future__ import annotations

import multiprocessing
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import larder
from larder import local
from larder.http1 import Response
from larder.transport import Request, Transport
from tests.conftest import Node

SIZE = 1 << 20


@pytest.fixture(params=["memory", "disk"])
def folder(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path | None]:
    monkeypatch.setenv("LARDER_LOCAL_CACHE", "64MiB")
    if request.param == "disk":
        monkeypatch.setenv("LARDER_LOCAL_CACHE_DIR", str(tmp_path / "tier"))
    local._tiers.clear()
    yield tmp_path / "tier" if request.param == "disk" else None
    local._tiers.clear()


@pytest.fixture
def objects(folder: Path | None, node: Node) -> larder.ObjectService:
    return larder.ObjectService(larder.Client(node.url))


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The statuses of all answers to GET."""
    seen: list[int] = []
    send = Transport.send

    def sent(self: Transport, request: Request, read: Any) -> Any:
        def noted(answer: Response) -> Any:
            if request.method == "GET":
                seen.append(answer.status)
            return read(answer)

        return send(self, request, noted)

    monkeypatch.setattr(Transport, "send", sent)
    return seen


def noise(seed: int = 1) -> Any:
    return np.random.default_rng(seed).random(SIZE // 8)


@pytest.mark.parametrize(
    "value",
    [noise(), np.zeros(SIZE), os.urandom(SIZE), "text" * SIZE, pd.DataFrame({"a": noise(), "b": "x"}), {"a": [noise()], "b": {1, 2}}],
    ids=["noise", "zeros", "bytes", "text", "frame", "pickle"],
)
def test_what_did_not_change_is_not_sent_again(objects: larder.ObjectService, answers: list[int], value: Any) -> None:
    objects.put("kept", value)
    for _ in range(3):
        got = objects.get("kept")
        assert repr(got) == repr(value)
        assert type(got) is type(value)
    assert answers == [200, 304, 304]


def test_a_change_is_seen_at_once(objects: larder.ObjectService, answers: list[int]) -> None:
    for seed in range(5):
        objects.put("changing", noise(seed))
        np.testing.assert_array_equal(objects.get("changing"), noise(seed))
        np.testing.assert_array_equal(objects.get("changing"), noise(seed))
    assert answers == [200, 304] * 5
    objects.delete("changing")
    for _ in range(2):
        with pytest.raises(larder.NotFound):
            objects.get("changing")


def test_what_is_known_of_it_comes_with_each_answer(objects: larder.ObjectService, answers: list[int]) -> None:
    client = objects._client
    client.store("objects", "told", noise(), about={"code": "3.11:abc"})
    told: list[larder.Info] = []
    for _ in range(2):
        client.fetch("objects", "told", judge=told.append)
    assert answers == [200, 304]
    for info in told:
        assert (info.writer, info.etag, info.meta["code"]) == ("anonymous", objects.info("told").etag, "3.11:abc")
        assert info.age < 60


def test_what_is_too_old_is_kept(objects: larder.ObjectService, answers: list[int]) -> None:
    objects.put("old", noise())
    objects.get("old")
    assert objects.get("old", None, max_age=0) is None
    np.testing.assert_array_equal(objects.get("old"), noise())
    assert answers == [200, 304, 304]


def test_a_copy_is_compressed_as_it_was(objects: larder.ObjectService) -> None:
    objects.put("zeros", np.zeros(SIZE))
    objects.get("zeros")
    objects.copy("zeros", "copied")
    assert objects.info("copied").size == objects.info("zeros").size


def test_values_share_nothing(objects: larder.ObjectService) -> None:
    objects.put("mine", noise())
    values = [objects.get("mine") for _ in range(3)]
    for n, value in enumerate(values):
        value[:] = n
    assert [v[0] for v in values] == [0, 1, 2]
    np.testing.assert_array_equal(objects.get("mine"), noise())
    assert objects.get("mine").flags.writeable
    assert objects.get("mine").flags.aligned


def test_small_values_are_not_kept(objects: larder.ObjectService, answers: list[int]) -> None:
    objects.put("small", b"x" * 1000)
    assert [objects.get("small"), objects.get("small")] == [b"x" * 1000] * 2
    assert answers == [200, 200]


def test_only_so_many_bytes(
    objects: larder.ObjectService, folder: Path | None, answers: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    tier = objects._client._tier
    assert tier is not None
    monkeypatch.setattr(tier, "_limit", 2 * SIZE + 1000)
    if tier._disk:
        monkeypatch.setattr(tier._disk, "_limit", 2 * SIZE + 4000)
    for n in range(4):
        objects.put(f"one of {n}", noise(n))
        objects.get(f"one of {n}")
    assert tier._size <= tier._limit
    assert len(tier._entries) == 2
    objects.get("one of 0")
    objects.get("one of 3")
    assert answers[-2:] == [200, 304]
    if folder:
        assert sum(f.stat().st_size for f in folder.iterdir()) <= 2 * SIZE + 4000
    objects.put("too large", np.zeros(SIZE))
    assert objects.get("too large").nbytes == objects.get("too large").nbytes == 8 * SIZE


def test_another_key_and_another_signature(folder: Path | None, node: Node, answers: list[int]) -> None:
    signing = larder.ObjectService(larder.Client(node.url, signing_key="k" * 16))
    others = larder.ObjectService(larder.Client(node.url, signing_key="o" * 16))
    plain = larder.ObjectService(larder.Client(node.url, allow_pickle=False))
    signing.put("signed", noise())
    plain.get("signed")
    signing.get("signed")
    for _ in range(2):
        with pytest.raises(larder.IntegrityError):
            others.get("signed")
    signing.put("a pickle", {"a": noise(), "b": {1}})
    for _ in range(2):
        signing.get("a pickle")
        with pytest.raises(larder.DecodeError, match="allow_pickle"):
            plain.get("a pickle")


def test_threads(objects: larder.ObjectService) -> None:
    objects.put("shared", noise())
    failures: list[BaseException] = []

    def work(n: int) -> None:
        try:
            for _ in range(5):
                got = objects.get("shared")
                assert got[0] == noise()[0]
                got[:] = n
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not failures


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_forks(objects: larder.ObjectService) -> None:
    objects.put("forked", noise())
    objects.get("forked")
    tier = objects._client._tier
    assert tier is not None

    def work() -> None:
        got = objects.get("forked")
        assert got[0] == noise()[0]
        got[:] = 0

    with tier._lock:  # as another thread may, in the moment of the fork
        worker = multiprocessing.get_context("fork").Process(target=work)
        worker.start()
    worker.join(60)
    assert worker.exitcode == 0
    assert objects.get("forked")[0] == noise()[0]


@pytest.fixture
def on_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, node: Node) -> Iterator[tuple[larder.ObjectService, Path]]:
    monkeypatch.setenv("LARDER_LOCAL_CACHE_DIR", str(tmp_path / "tier"))
    local._tiers.clear()
    yield larder.ObjectService(larder.Client(node.url)), tmp_path / "tier"
    local._tiers.clear()


def another_process(node: Node) -> larder.ObjectService:
    local._tiers.clear()
    return larder.ObjectService(larder.Client(node.url))


def test_the_next_process(on_disk: tuple[larder.ObjectService, Path], node: Node, answers: list[int]) -> None:
    objects, folder = on_disk
    objects.put("for the next", noise())
    objects.get("for the next")
    (file,) = folder.iterdir()
    assert file.stat().st_mode & 0o777 == 0o600
    assert folder.stat().st_mode & 0o777 == 0o700
    for _ in range(2):
        np.testing.assert_array_equal(another_process(node).get("for the next"), noise())
    assert answers == [200, 304, 304]


@pytest.mark.parametrize("harm", ["bit", "head", "end", "link", "open to all", "empty"])
def test_files_that_were_harmed(on_disk: tuple[larder.ObjectService, Path], node: Node, answers: list[int], harm: str) -> None:
    objects, folder = on_disk
    objects.put("harmed", noise())
    objects.get("harmed")
    (file,) = folder.iterdir()
    data = bytearray(file.read_bytes())
    if harm == "bit":
        data[len(data) // 2] ^= 1
    if harm == "head":
        data[5] ^= 1
    if harm == "end":
        data = data[:-1]
    if harm == "empty":
        data = bytearray()
    file.write_bytes(data)
    if harm == "link":
        file.rename(folder.parent / "elsewhere")
        file.symlink_to(folder.parent / "elsewhere")
    if harm == "open to all":
        file.chmod(0o666)
    np.testing.assert_array_equal(another_process(node).get("harmed"), noise())
    assert answers[-1] == 200
    np.testing.assert_array_equal(another_process(node).get("harmed"), noise())
    assert answers[-1] == 304


def test_a_full_disk(on_disk: tuple[larder.ObjectService, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    objects, folder = on_disk

    def full(self: Any, data: Any) -> int:
        self.fault = OSError(28, "No space left on device")
        return 0

    monkeypatch.setattr("larder.disk._Tee._write", full)
    objects.put("no room", noise())
    with pytest.warns(larder.LarderWarning, match="No space left"):
        np.testing.assert_array_equal(objects.get("no room"), noise())
    assert not list(folder.iterdir())


@pytest.mark.parametrize(("name", "value"), [("LARDER_LOCAL_CACHE", "much"), ("LARDER_LOCAL_CACHE", "-1"), ("LARDER_LOCAL_CACHE_DIR", "/")])
def test_settings(node: Node, monkeypatch: pytest.MonkeyPatch, name: str, value: str, tmp_path: Path) -> None:
    if value == "/":
        open_to_all = tmp_path / "open"
        open_to_all.mkdir()
        open_to_all.chmod(0o777)
        value = str(open_to_all)
    monkeypatch.setenv(name, value)
    with pytest.raises(larder.ConfigError, match=name):
        larder.Client(node.url)
    monkeypatch.setenv(name, "0") if name == "LARDER_LOCAL_CACHE" else monkeypatch.delenv(name)
    assert larder.Client(node.url)._tier is None
