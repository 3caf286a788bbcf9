"""Objects of many chunks, over three nodes as they come, and the memory that a client takes for them."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd
import pytest

import larder
from tests.conftest import Node

LARGE = 96 << 20  # a dozen chunks of 8 MiB


def numbers(size: int) -> Any:
    return np.random.default_rng(size).random(size // 8)


def counted(size: int) -> Any:
    return np.arange(size // 8) // 7  # which is compressed, in blocks


def table(size: int) -> Any:
    return pd.DataFrame(numbers(size).reshape(-1, 8), columns=list("abcdefgh"))


def table_of_kinds(size: int) -> Any:
    rows = size // 32
    return pd.DataFrame({"price": numbers(rows * 8), "day": pd.date_range("2009-01-02", periods=rows, freq="s"), "ticker": "SAP"})


def data(size: int) -> Any:
    return os.urandom(size)


@pytest.mark.parametrize("size", [1 << 10, 1 << 20, LARGE])
@pytest.mark.parametrize("make", [numbers, counted, table, table_of_kinds, data])
def test_goes_round(cluster: list[Node], make: Callable[[int], Any], size: int) -> None:
    key = f"{make.__name__}/{size}"
    value = make(size)
    larder.ObjectService(larder.Client(cluster[0].url, signing_key="k" * 16)).put(key, value)
    got = larder.ObjectService(larder.Client(cluster[1].url, signing_key="k" * 16)).get(key)
    assert type(got) is type(value)
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(got, value)
    else:
        assert np.array_equal(got, value)
    larder.ObjectService(larder.Client(cluster[2].url)).delete(key)


def test_progress_is_shown(cluster: list[Node], capsys: pytest.CaptureFixture[str]) -> None:
    objects = larder.ObjectService(larder.Client(cluster[0].url, progress=True))
    objects.put("bar", data(33 << 20))
    assert "put bar: 100%" in capsys.readouterr().err
    objects.get("bar")
    assert "get bar: 100%" in capsys.readouterr().err
    objects.put("bar", b"small")
    objects.get("bar")
    assert capsys.readouterr().err == ""


MEASURE = """
import sys, warnings
import numpy as np, pandas as pd, larder

def status(name):
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) << 10 for line in lines if line.startswith(name))

def reset():
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")  # the peak is what is there now

warnings.simplefilter("ignore")
url, what, kind, size = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
objects = larder.ObjectService(larder.Client(url))
objects.put("memory", 1)  # all is imported and connected
if what == "put":
    value = np.random.default_rng(1).random(size // 8)
    value = {"numpy": lambda: value, "pandas": lambda: pd.DataFrame(value.reshape(-1, 8)), "bytes": value.tobytes}[kind]()
before = status("VmRSS")
reset()
value = objects.put(f"memory/{kind}", value) if what == "put" else objects.get(f"memory/{kind}")
print((status("VmHWM") - before) / size)
"""


@pytest.mark.parametrize("kind", ["numpy", "pandas", "bytes"])
def test_memory(cluster: list[Node], kind: str) -> None:
    """A put takes no copy of the value, and a get takes the value."""

    def measure(what: str) -> float:
        words = [sys.executable, "-c", MEASURE, cluster[0].url, what, kind, str(LARGE)]
        return float(subprocess.run(words, check=True, capture_output=True, text=True, timeout=120).stdout)

    assert measure("put") < 0.2
    assert 0.9 < measure("get") < 1.2
