"""Decorated functions travel to workers, with their environment and without secrets."""

from __future__ import annotations

import asyncio
import contextvars
import os
import pickle
import subprocess
import sys
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cloudpickle
import pytest

import larder
from larder import carried, environment
from tests.conftest import Node

SCRIPT = """
import asyncio, joblib, larder, sys

@larder.object_service_cache(lambda t: f"{t} momentum {larder.env()['window']}")
def momentum(t):
    return t, str(larder.env().asofdate), larder.env()["window"]

@larder.object_service_cache
def fibonacci(n):
    return n if n < 2 else fibonacci(n - 1) + fibonacci(n - 2)

@larder.object_service_cache
async def later(t):
    return t

class Model:
    @larder.object_service_cache(ignore=("self",))
    def fit(self, t):
        return t

def work(t):
    return momentum(t), fibonacci(6), Model().fit(t), asyncio.run(later(t)), Model().fit.key(t)

if __name__ == "__main__":
    larder.init("2022-01-30", window=3)
    results = joblib.Parallel(n_jobs=2)(joblib.delayed(work)(t) for t in ("SAP", "SIE"))
    for t, result in zip(("SAP", "SIE"), results):
        assert result == ((t, "2022-01-30", 3), 8, t, t, f"Model.fit(t={t!r})_2022-01-30"), result
        assert momentum.cached_only(t) == (t, "2022-01-30", 3)
    objects = larder.env().object_service()
    objects.put("model", Model())
    assert objects.get("model").fit("SAP") == "SAP"
    print("done")
"""


def test_joblib(node: Node, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    environment = {**os.environ, "LARDER_URL": node.url, "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr


SPAWNED = """
import dataclasses, enum, larder, multiprocessing, sys, warnings

class Side(enum.Enum):
    BUY = 1

@dataclasses.dataclass
class Deal:
    n: int

@larder.object_service_cache
def total(side, deal, reduce=Deal(1)):
    return deal.n

def work(n):
    larder.init("2022-01-30")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return total.cached_only(Side.BUY, Deal(n)), total(Side.BUY, Deal(n)), total.key(Side.BUY, Deal(n))

if __name__ == "__main__":
    larder.init("2022-01-30")
    total(Side.BUY, Deal(3))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.map(work, [3]) == [(3, 3, total.key(Side.BUY, Deal(3)))]
    print("done")
"""


def test_spawned(node: Node, tmp_path: Path) -> None:
    """What is __main__ is another module in spawned processes, and has the same keys there."""
    script = tmp_path / "script.py"
    script.write_text(SPAWNED)
    environment = {**os.environ, "LARDER_URL": node.url, "LARDER_SIGNING_KEY": "a-key-of-the-whole-group"}
    done = subprocess.run([sys.executable, script], env=environment, capture_output=True, text=True, timeout=120)
    assert done.stdout == "done\n", done.stderr


@larder.object_service_cache("of a module")
def of_a_module(n: int) -> int:
    return n


class Desk:
    @larder.object_service_cache(ignore=("self",))
    def universe(self) -> str:
        return "DAX"


def test_by_name() -> None:
    assert pickle.loads(pickle.dumps(of_a_module)) is of_a_module
    assert pickle.loads(pickle.dumps(Desk.universe)) is Desk.universe
    assert cloudpickle.loads(cloudpickle.dumps(of_a_module)) is of_a_module
    assert pickle.loads(pickle.dumps(Desk().universe)).__func__ is Desk().universe.__func__  # type: ignore[attr-defined]


def test_secrets_stay(node: Node) -> None:
    secret = "s" * 20
    larder.init("2022-01-30", client=larder.Client(node.url, token=secret, signing_key=secret), window=3)

    @larder.object_service_cache
    def local(n: int) -> int:
        return n

    assert secret.encode() not in cloudpickle.dumps(local)


def test_session_of_a_worker(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_URL", node.url)
    larder.init("2022-01-30", window=3)

    @larder.object_service_cache("carried", settings=True)
    def local() -> str:
        return f"{larder.env().asofdate} {larder.env()['window']}"

    key, pickled = local.key(), cloudpickle.dumps(local)
    larder.de_init()
    there = cloudpickle.loads(pickled)
    assert there() == "2022-01-30 3"
    assert there.key() == key
    assert not larder.is_initialised()
    larder.init("2022-01-31", window=4)  # one of the worker's own is used instead
    assert there() == "2022-01-31 4"


def test_session_of_a_call_without_a_key(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LARDER_URL", node.url)
    larder.init("2022-01-30", window=3)

    @larder.object_service_cache
    def local(lock: object) -> str:
        return str(larder.env().asofdate)

    @larder.object_service_cache
    async def later(lock: object) -> str:
        return str(larder.env().asofdate)

    there, later_there = cloudpickle.loads(cloudpickle.dumps((local, later)))
    larder.de_init()
    with pytest.warns(larder.LarderWarning, match="argument 'lock'"):
        assert there(object()) == "2022-01-30"
    with pytest.warns(larder.LarderWarning, match="argument 'lock'"):
        assert asyncio.run(later_there(object())) == "2022-01-30"
    assert there.bypass(object()) == "2022-01-30"
    assert asyncio.run(later_there.bypass(object())) == "2022-01-30"


def in_thread(function: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_pickled_by_another_thread(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """As by dask, joblib and pools: it takes the environment that the process has then, with a word if it had others."""
    monkeypatch.setenv("LARDER_URL", node.url)
    monkeypatch.setattr(environment._Process, "first", None)
    monkeypatch.setattr(environment._Process, "had_others", False)
    larder.init("2022-01-30")

    @larder.object_service_cache("carried by another thread")
    def local() -> str:
        return str(larder.env().asofdate)

    taken: list[str] = []

    def pack(environment: larder.Environment) -> bytes:
        taken.append(str(environment.asofdate))
        return b""

    monkeypatch.setattr(carried, "pack", pack)
    older = contextvars.copy_context()  # in which the loop of dask's client goes on

    def pickle_there() -> None:
        in_thread(lambda: older.run(cloudpickle.dumps, local))

    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle_there()
        larder.init("2022-01-31")
        cloudpickle.dumps(local)  # here it is sure
    with pytest.warns(larder.LarderWarning, match="local goes to a worker with the environment of 2022-01-31"):
        pickle_there()
    with larder.use(larder.Environment("2022-02-01", larder.env().client, {})), warnings.catch_warnings():
        warnings.simplefilter("error")
        pickle_there()  # as was said
        cloudpickle.dumps(local)
    assert taken == ["2022-01-30", "2022-01-31", "2022-01-31", "2022-01-31", "2022-02-01"]
