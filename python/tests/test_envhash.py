"""The hash of an environment: its vectors are for every machine, Python and language."""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import StrEnum
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from larder.envhash import Hash, canonical, env_hash
from larder.errors import SettingError


class Colour(StrEnum):
    RED = "red"


ENCODINGS: list[tuple[Any, bytes]] = [
    (None, b"n"),
    (True, b"t"),
    (False, b"f"),
    (0, b"i0;"),
    (-12345678901234567890, b"i-12345678901234567890;"),
    (1.0, b"d3ff0000000000000"),
    (-0.0, b"d0000000000000000"),
    (math.nan, b"d7ff8000000000000"),
    (-math.nan, b"d7ff8000000000000"),
    (-math.inf, b"dfff0000000000000"),
    (0.1, b"d3fb999999999999a"),
    (Decimal("1.10"), b"c11E-1;"),
    (Decimal("-1200"), b"c-12E2;"),
    (Decimal("-0.00"), b"c0E0;"),
    ("", b"s0:"),
    ("Z\u00fcrich", b"s7:Z\xc3\xbcrich"),
    ("Zu\u0308rich", b"s8:Zu\xcc\x88rich"),
    (Colour.RED, b"s3:red"),
    (b"\x00:", b"b2:\x00:"),
    (date(2009, 1, 2), b"D2009-01-02"),
    (datetime(2009, 1, 2), b"T2009-01-02T00:00:00.000000"),
    (datetime(2009, 1, 2, 3, 4, 5, 6, UTC), b"Z2009-01-02T03:04:05.000006"),
    (datetime(2009, 1, 2, 1, tzinfo=timezone(timedelta(hours=2))), b"Z2009-01-01T23:00:00.000000"),
    (timedelta(days=-1, microseconds=1), b"p-86399999999;"),
    ([], b"l0:"),
    ([1, [2]], b"l2:i1;l1:i2;"),
    ((1, (2,)), b"l2:i1;l1:i2;"),
    ({"b", "a"}, b"e2:s1:as1:b"),
    (frozenset(), b"e0:"),
    ({}, b"m0:"),
    ({"b": 1, "a": {2: None}}, b"m2:s1:am1:i2;ns1:bi1;"),
    (MappingProxyType({"a": 1}), b"m1:s1:ai1;"),
    (np.int8(-3), b"i-3;"),
    (np.uint64(2**64 - 1), b"i18446744073709551615;"),
    (np.float64(0.1), b"d3fb999999999999a"),
    (np.float32(0.5), b"d3fe0000000000000"),
    (np.bool_(True), b"t"),
    (np.str_("a"), b"s1:a"),
    (np.datetime64("2009-01-02"), b"D2009-01-02"),
    (np.datetime64("2009-01-02T03:04:05.000006000"), b"T2009-01-02T03:04:05.000006"),
    (pd.Timestamp("2009-01-02"), b"T2009-01-02T00:00:00.000000"),
    (pd.Timestamp("2009-01-02T03:00", tz="Europe/Zurich"), b"Z2009-01-02T02:00:00.000000"),
]

VECTORS: list[tuple[dict[str, Any], str]] = [
    ({}, "1329835d1124b35955d3ce55b3de1912"),
    ({"default_rs_start_date": date(2009, 1, 2)}, "2317845f7eea8c7d8413ae7fe7687474"),
    ({"costs": [0.1, 1, Decimal("2.50")], "universe": {"DAX": ("SAP", "SIE")}, "live": False}, "162a8bc5c9bbed298326058b279af95e"),
]


@pytest.mark.parametrize(("value", "encoding"), ENCODINGS, ids=lambda v: repr(v)[:40])
def test_encoding(value: Any, encoding: bytes) -> None:
    assert canonical(value) == encoding


@pytest.mark.parametrize(("settings", "hash_"), VECTORS)
def test_vector(settings: dict[str, Any], hash_: str) -> None:
    assert env_hash(settings) == hash_


def test_order_of_names_does_not_matter() -> None:
    assert env_hash({"a": 1, "b": {"c": 2, "d": 3}}) == env_hash({"b": {"d": 3, "c": 2}, "a": 1})
    assert env_hash({"a": [1, 2]}) != env_hash({"a": [2, 1]})


def test_a_hash_knows_whether_it_holds() -> None:
    settings: dict[str, Any] = {"a": [1, "x"], "b": {"c": [2]}, "t": ([3],), "s": {4}, "f": 1.5}
    hash_ = Hash(settings)
    assert hash_.text == env_hash(settings)
    assert hash_.holds()
    changes: list[tuple[Callable[[], Any], Callable[[], Any]]] = [
        (lambda: settings["a"].append(1), lambda: settings["a"].pop()),
        (lambda: settings["a"].__setitem__(0, True), lambda: settings["a"].__setitem__(0, 1)),
        (lambda: settings["a"].__setitem__(0, 1.0), lambda: settings["a"].__setitem__(0, 1)),
        (lambda: settings["b"]["c"].append(3), lambda: settings["b"]["c"].pop()),
        (lambda: settings["b"].update(c=2), lambda: settings["b"].update(c=[2])),
        (lambda: settings["t"][0].append(1), lambda: settings["t"][0].pop()),
        (lambda: settings["s"].add(5), lambda: settings["s"].remove(5)),
    ]
    for change, undo in changes:
        change()
        assert not hash_.holds()
        assert Hash(settings).text == env_hash(settings) != hash_.text
        undo()
        assert hash_.holds()
    settings["a"][0] = object()
    assert not hash_.holds()
    with pytest.raises(SettingError, match="settings\\['a'\\]"):
        Hash(settings)


def itself() -> list[Any]:
    holder: list[Any] = []
    holder.append(holder)
    return holder


@pytest.mark.parametrize(
    "value",
    [
        object(),
        1j,
        time(1, 2),
        "half \ud800",
        Decimal("nan"),
        bytearray(b"a"),
        np.arange(3),
        np.longdouble(1),
        np.datetime64("NaT", "D"),
        np.datetime64("2009"),
        np.datetime64("2009-01-02T03:04:05.000006001"),
        np.timedelta64(1, "s"),
        pd.NaT,
        pd.Timestamp("2009-01-02T03:04:05.000006001"),
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=2))),
        {np.int64(1): 1, (1,): 2},
        itself(),
    ],
    ids=lambda v: type(v).__name__,
)
def test_refused(value: Any) -> None:
    with pytest.raises(SettingError, match="settings"):
        canonical(value)


SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(st.characters(codec="utf-8"))
VALUES = st.recursive(SCALARS, lambda v: st.lists(v, max_size=4) | st.dictionaries(st.text("ab", max_size=3), v, max_size=4), max_leaves=8)


def same(a: Any, b: Any) -> bool:
    """Equal, and of the same types throughout."""
    if type(a) is not type(b) or (isinstance(a, (list, dict)) and len(a) != len(b)):
        return False
    if isinstance(a, list):
        return all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[k], b[k]) for k in a)
    return bool(a == b)


@given(VALUES, VALUES)
def test_equal_encodings_are_equal_values(a: Any, b: Any) -> None:
    assert (canonical(a) == canonical(b)) == same(a, b)
