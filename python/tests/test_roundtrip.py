"""Values go into the cache and come out as they were."""

from __future__ import annotations

import dataclasses
import decimal
import math
from datetime import date
from typing import Any

import numpy as np
import pandas as pd
import pytest

import larder


@dataclasses.dataclass
class Strategy:
    name: str
    weights: Any


def frame_of(size: int) -> pd.DataFrame:
    """A data frame of about so many bytes, with numbers that do not compress."""
    rows = max(1, size // 32)
    numbers = np.random.default_rng(1).random((rows, 3))
    data = pd.DataFrame(numbers, columns=["a", "b", "c"])
    data["when"] = pd.date_range("2020-01-01", periods=rows, freq="s")
    return data


@pytest.mark.parametrize(
    ("value", "format"),
    [
        (b"", "bytes"),
        (b"\x00" * 100_000, "bytes"),
        ("", "text"),
        ("Zürich \u20ac", "text"),
        (None, "json"),
        (True, "json"),
        (-(1 << 63), "json"),
        (1 << 200, "pickle"),
        (-0.0, "json"),
        (math.inf, "pickle"),
        ({"a": [1, 2.5, None, {"b": "ü"}]}, "json"),
        ({1: 2}, "pickle"),
        ((1, 2), "pickle"),
        ([(1,)], "pickle"),
        (list(range(5000)), "pickle"),
        ("half \ud800", "pickle"),
        (["half \ud800"], "pickle"),
        ({"x", "y"}, "pickle"),
        (bytearray(b"abc"), "pickle"),
        (date(2022, 1, 30), "pickle"),
        (decimal.Decimal("1.10"), "pickle"),
        (Strategy("A", {"w": [1.0]}), "pickle"),
    ],
)
def test_value(objects: larder.ObjectService, value: Any, format: str) -> None:
    objects.put("value", value)
    got = objects.get("value")
    assert type(got) is type(value)
    assert got == value
    assert math.copysign(1, got) == math.copysign(1, value) if isinstance(value, float) else True
    assert objects.info("value").format == format


def test_what_is_one_object_stays_one(objects: larder.ObjectService) -> None:
    one: list[int] = [1]
    many = {"n": 1}
    objects.put("shared", [one, one])
    first, second = objects.get("shared")
    assert first is second
    objects.put("shared", {"a": many, "b": [many]})
    got = objects.get("shared")
    assert got["a"] is got["b"][0]
    objects.put("shared", [[1], [1]])  # two that are equal
    assert objects.info("shared").format == "json"


@pytest.mark.parametrize(
    "array",
    [
        np.arange(10),
        np.zeros((0, 3)),
        np.array(3.5),
        np.arange(24.0).reshape(2, 3, 4),
        np.asfortranarray(np.arange(24.0).reshape(4, 6)),
        np.arange(24)[::2],
        np.arange(24).reshape(4, 6)[:, ::-2],
        np.array(["2020-01-01", "NaT"], dtype="M8[ns]"),
        np.array(["a", "bcd"]),
        np.array([True, False]),
        np.arange(5, dtype=">i4"),
        np.array([1 + 2j]),
    ],
    ids=lambda a: f"{a.dtype}{a.shape}",
)
def test_array(objects: larder.ObjectService, array: np.ndarray[Any, Any]) -> None:
    objects.put("array", array)
    got = objects.get("array")
    assert got.dtype == array.dtype
    np.testing.assert_array_equal(got, array)
    assert objects.info("array").format == "npy"
    assert got.flags.writeable or not got.size


@pytest.mark.parametrize(
    "array",
    [
        np.array([{"a": 1}, None], dtype=object),
        np.array([(1, 2.0)], dtype=[("a", "i4"), ("b", "f8")]),
        np.ma.masked_array([1, 2], [True, False]),
        np.empty((2, 3), dtype=[]),
    ],
    ids=["object", "structured", "masked", "void"],
)
def test_array_that_is_pickled(objects: larder.ObjectService, array: np.ndarray[Any, Any]) -> None:
    objects.put("array", array)
    got = objects.get("array")
    assert type(got) is type(array)
    assert got.dtype == array.dtype
    assert repr(got) == repr(array)
    assert objects.info("array").format == "pickle"


def test_a_hard_mask_comes_back_soft(objects: larder.ObjectService) -> None:
    """numpy's own pickling does that; docs/python.md says so."""
    objects.put("masked", np.ma.masked_array([1.0, 2.0], [False, True], hard_mask=True))
    got = objects.get("masked")
    assert not got.hardmask
    got.harden_mask()
    got[1] = 9
    assert got.sum() == 1.0


@pytest.mark.parametrize("size", [1 << 10, 1 << 20], ids=["1KiB", "1MiB"])
def test_pandas(objects: larder.ObjectService, size: int) -> None:
    data = frame_of(size)
    objects.put("frame", data, build_seconds=2.5)
    got = objects.get("frame")
    pd.testing.assert_frame_equal(got, data)
    got.loc[0, "a"] = 7.0  # what comes back is the caller's own, to change
    assert objects.get("frame").loc[0, "a"] != 7.0
    info = objects.info("frame")
    assert info.build_seconds == 2.5
    assert info.libraries["pandas"] == pd.__version__
    assert info.writer


def test_compresses_when_it_pays(objects: larder.ObjectService) -> None:
    zeros, noise = np.zeros(1 << 18), np.random.default_rng(1).random(1 << 17)
    objects.put("zeros", zeros)
    objects.put("noise", noise)
    assert objects.info("zeros").size < 10_000
    assert objects.info("noise").size >= noise.nbytes
    np.testing.assert_array_equal(objects.get("zeros"), zeros)


def test_compresses_by_blocks(objects: larder.ObjectService) -> None:
    value = np.arange(5 << 20)  # 40 MiB, three blocks
    objects.put("blocks", value)
    assert objects.info("blocks").size < 8 << 20
    np.testing.assert_array_equal(objects.get("blocks"), value)
