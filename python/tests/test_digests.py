"""Digests of arguments: those that mean the same have one, and two others have two."""

from __future__ import annotations

import collections
import collections.abc
import dataclasses
import enum
import functools
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any, Generic, TypeVar
from zoneinfo import ZoneInfo

import attrs
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pydantic
import scipy.sparse as sp

from larder.arguments import plain_text
from larder.fingerprint import fingerprint


class Side(enum.Enum):
    BUY = 1
    SELL = 2


class Other(enum.Enum):
    BUY = 1


@dataclasses.dataclass
class Deal:
    n: int
    legs: Any = ()


class Keyed:
    def __init__(self, n: int) -> None:
        self.n = n
        self.lock = threading.Lock()

    def larder_key(self) -> int:
        return self.n


def holding(a: Any, b: Any) -> Any:
    return lambda: (a, b)


def adder(n: int) -> Callable[[int], int]:
    return lambda x: x + n


def with_state(value: Any, **state: Any) -> Any:
    """A value of a class that is derived from its own, with attributes."""
    derived = DERIVED[type(value)]
    made = value.view(derived) if isinstance(value, np.ndarray) else derived(value)
    vars(made).update(state)
    return made


class Measured(np.ndarray):
    @functools.cached_property
    def total(self) -> float:
        return float(np.asarray(self).sum())


class Quoted(pd.DataFrame):
    _metadata = ("unit",)


class Looks(collections.abc.Mapping[str, Any]):
    """A mapping that no known class is beneath."""

    def __init__(self, **items: Any) -> None:
        self.items_, self.lock = items, threading.Lock()

    def __getitem__(self, name: str) -> Any:
        return self.items_[name]

    def __iter__(self) -> Any:
        return iter(self.items_)

    def __len__(self) -> int:
        return len(self.items_)


@dataclasses.dataclass
class Scaled:
    n: int
    scale: dataclasses.InitVar[int] = 1

    def __post_init__(self, scale: int) -> None:
        self._scale = scale

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.n


class Renamed(Deal):
    __slots__ = ("__name",)

    def __init__(self, n: int, name: str, **more: Any) -> None:
        super().__init__(n)
        self.__name = name
        vars(self).update(more)


@attrs.define
class Bond:
    n: int

    @functools.cached_property
    def double(self) -> int:
        return 2 * self.n


class Named(Bond):
    def __init__(self, n: int, name: str) -> None:
        super().__init__(n)
        self.name = name


class Open(pydantic.BaseModel, extra="allow"):
    n: int
    _name: str = pydantic.PrivateAttr("")

    def called(self, name: str) -> Open:
        self._name = name
        return self


T = TypeVar("T")


@dataclasses.dataclass
class Box(Generic[T]):
    n: T


def computed(value: Any) -> Any:
    assert value.double == 2 * value.n
    return value


def entries(kind: Any, *data: float, dtype: str = "i4") -> Any:
    """A sparse matrix with so many entries in one place."""
    where = np.ones(len(data), dtype)
    return kind((np.array(data), (where, where)), shape=(2, 2))


def stated(unit: str) -> Any:
    return np.zeros(2, np.dtype("f8", metadata={"unit": unit}))


class Slots(list[int]):
    __slots__ = ("unit",)

    def __init__(self, unit: str) -> None:
        super().__init__([1])
        self.unit = unit


DERIVED: dict[type, Any] = {kind: type(f"Derived{kind.__name__}", (kind,), {}) for kind in (list, dict, set, tuple, str, float, int)}
DERIVED |= {np.ndarray: Measured, pd.DataFrame: Quoted}


def summed() -> Any:
    made = with_state(np.arange(3.0), unit="m")
    assert made.total == 3
    return made


def quoted(unit: str) -> Any:
    made: Any = Quoted({"x": [1]})
    made.unit = unit
    return made


def told(table: Any, **attrs: Any) -> Any:
    table.attrs.update(attrs)
    return table


def reading(source: str, **names: Any) -> Any:
    """A function of a module that has these names."""
    exec(f"f = {source}", names)
    return names["f"]


def calling(expression: str, k: int = 1, wrapper: str = "") -> Any:
    """A function that has another of its module do the work, which in turn calls it."""
    names: dict[str, Any] = {"K": k, "cache": functools.lru_cache, "__name__": "calling"}
    exec(f"{wrapper}\ndef work(x):\n    return f(x) if x > 9 else {expression}\ndef f(x):\n    return work(x)", names)
    return names["f"]


COUNTED = "def count():\n    global n\n    n += 1"


def counting(n: int) -> Any:
    names: dict[str, Any] = {"n": n}
    exec(COUNTED, names)
    return names["count"]


def nanoseconds(n: int, kind: str) -> Any:
    """A column whose values differ in nanoseconds."""
    if kind in ("polars.Time", "polars.Datetime", "polars.Duration", "polars.List", "polars.Struct"):
        inner: Any = {"polars.Time": pl.Time, "polars.Duration": pl.Duration("ns")}.get(kind, pl.Datetime("ns"))
        column = pl.Series([n], dtype=pl.Int64).cast(inner)
        if kind == "polars.Struct":
            return pl.DataFrame({"x": column}).to_struct()
        return column.implode() if kind == "polars.List" else column
    dtype = {"time": pa.time64("ns"), "duration": pa.duration("ns"), "timestamp": pa.timestamp("ns")}[kind.rpartition(".")[2]]
    column = pa.array([n], pa.int64()).cast(dtype)
    if kind.startswith("pandas"):
        return pd.Series(pd.arrays.ArrowExtensionArray(column))
    return pa.array([[0]], pa.list_(pa.int64())).cast(pa.list_(dtype)) if n < 0 else column


TIMES = ["polars.Time", "polars.Datetime", "polars.Duration", "polars.List", "polars.Struct"]
TIMES += [f"{library}.{kind}" for library in ("pyarrow", "pandas") for kind in ("time", "duration", "timestamp")]
ORDERED = [collections.OrderedDict([("a", 1), ("b", 2)]), collections.OrderedDict([("b", 2), ("a", 1)])]
HOLIDAYS = [pd.offsets.CustomBusinessDay(holidays=[f"2020-01-0{n}"]) for n in (1, 2)]
WINDOWS: list[Any] = [enum.Enum("Window", {"SHORT": n}, module="settings", qualname="Window") for n in (20, 30)]

NEW_YEAR = datetime(2020, 1, 1, tzinfo=UTC)
FRAME = pd.DataFrame({"x": [1.0, 2.0], "t": ["a", "b"]}, index=pd.date_range("2020-01-01", periods=2, tz="UTC"))

# Values of one group are one argument; those of different groups are different ones.
GROUPS: list[list[Any]] = [
    [None],
    [1, np.int64(1), np.uint8(1)],
    ["1", np.str_("1")],
    [True, np.True_],
    [1.0, np.float64(1.0)],
    [0.0, -0.0],
    [b"1"],
    [Decimal("1.0"), Decimal("1.00")],
    [1j],
    ["half \ud800"],
    ["line\nbreak"],
    ["x" * 1000],
    [date(2020, 1, 1)],
    [datetime(2020, 1, 1)],
    [NEW_YEAR, NEW_YEAR.replace(tzinfo=ZoneInfo("UTC")), pd.Timestamp(NEW_YEAR)],
    *([NEW_YEAR.astimezone(ZoneInfo(z)), pd.Timestamp(NEW_YEAR).tz_convert(z)] for z in ("Europe/London", "Africa/Abidjan")),
    [datetime(2020, 1, 1, 2, tzinfo=timezone(timedelta(hours=2)))],
    ["2020-01-01"],
    [timedelta(seconds=1)],
    [Side.BUY],
    [Side.SELL],
    [Other.BUY],
    [Deal(1)],
    [Deal(2)],
    [Deal(1, [np.arange(3)])],
    [Deal(1, [np.arange(4)])],
    [Keyed(1), Keyed(1)],
    [Keyed(2)],
    [[1, 2]],
    [(1, 2)],
    [{1, 2}, {2, 1}, frozenset({1, 2})],
    [{"a": 1, "b": 2}, {"b": 2, "a": 1}],
    [Looks(a=1, b=2), Looks(b=2, a=1)],
    [{"a": 1, "b": 3}],
    [list(range(100))],
    [range(100)],
    [slice(1, 2)],
    [np.arange(3.0), np.arange(6.0)[::2] / 2],
    [np.arange(3.0).reshape(3, 1)],
    [np.arange(3)],
    [np.array(["a", None], dtype=object)],
    [np.array("2020-01-01", "M8[D]")],
    [np.ma.array([1, 2], mask=[True, False]), np.ma.array([9, 2], mask=[True, False])],
    [np.longdouble(1)],
    [FRAME, FRAME.copy()],
    [FRAME.assign(x=[1.0, 3.0])],
    [FRAME.rename(columns={"x": "y"})],
    [FRAME.tz_convert("Europe/Zurich")],
    [FRAME["x"]],
    [FRAME["t"]],
    [FRAME.index],
    [pd.Categorical(["a", "b"])],
    [pd.array([1, None], dtype="Int64")],
    [pd.MultiIndex.from_tuples([(1, 2)])],
    [pd.Timestamp("2020-01-01T00:00:00.000000001")],
    [pd.NaT],
    [pd.NA],
    [pd.Interval(0, 1)],
    [adder(1), adder(1)],
    [adder(2)],
    *([holding(*held), holding(*held)] for held in ((None, 1), (1, None), (None, None))),
    *([functools.cache(adder(n)), functools.lru_cache(adder(n))] for n in (1, 2)),
    [lambda x: x * 2],
    [functools.partial(max, 1)],
    [functools.partial(max, 2)],
    [max],
    [np.add],
    *([nanoseconds(n, kind), nanoseconds(n, kind)] for kind in TIMES for n in (1, 2)),
    *([pd.Categorical(["a"], ["a", other])] for other in ("b", "c")),
    [pd.Categorical(["a"], ["a", "b"], ordered=True)],
    *([pd.Series(["a"], dtype=pd.CategoricalDtype(["a", other]))] for other in ("b", "c")),
    *([pd.CategoricalDtype(np.arange(1000) + 1000 * (np.arange(1000) == at))] for at in (500, 501)),
    [pd.Timedelta(1)],
    [pd.Timedelta(2)],
    *([offset] for offset in HOLIDAYS),
    [pd.offsets.BDay()],
    [pd.offsets.BDay(normalize=True)],
    [pd.Series([1], pd.date_range("2020-01-01", periods=1))],
    [pd.Series([1], pd.DatetimeIndex(["2020-01-01"], dtype=pd.date_range("2020-01-01", periods=1).dtype))],
    *([told(pd.Series([9]), unit=unit), told(pd.Series([9]), unit=unit)] for unit in ("EUR", "USD")),
    [quoted("EUR"), quoted("EUR")],
    [quoted("USD")],
    [pd.DataFrame({"x": [1]})],
    [with_state(np.arange(3.0), unit="m"), summed()],
    [with_state(np.arange(3.0), unit="s")],
    [np.array([[1, 2]]).view(np.matrix)],
    [np.array([[1, 2]])],
    *([with_state(value, unit=unit)] for value in ([1], {"a": 1}, {1}, (1,), "1", 1.0, 1) for unit in ("m", "s")),
    [Slots("m"), Slots("m")],
    [Slots("s")],
    *([ordered] for ordered in ORDERED),
    [collections.defaultdict(int, a=1)],
    [collections.defaultdict(list, a=1)],
    *([memoryview(bytes(6)).cast("B", shape)] for shape in ((2, 3), (3, 2))),
    *([window.SHORT] for window in WINDOWS),
    *([reading("lambda x: x * K", K=k), reading("lambda x: x * K", K=k, L=3)] for k in (1, 2)),
    [reading("lambda x: x * K", K=[1]), reading("lambda x: x * K", K=[2])],  # which it may fill as it runs
    [counting(1), counting(2)],
    *([f"{n}".join] for n in (1, 2)),
    [Side],
    [Deal],
    [os],
    *([calling(expression), calling(expression)] for expression in ("x + K", "x - K")),
    [calling("x + K", 2)],
    *([calling(expression, wrapper="@cache")] for expression in ("x + len(K)", "x - len(K)")),
    [Scaled(1, 1), Scaled(1), computed(Scaled(1))],
    [Scaled(1, 2)],
    *([Renamed(1, name)] for name in "ab"),
    *([Renamed(1, "a", more=n)] for n in (1, 2)),
    *([functools.partial(Renamed(1, "a", more=n).__eq__, 1)] for n in (1, 2)),
    [Bond(1), computed(Bond(1))],
    *([Named(1, name), computed(Named(1, name))] for name in "ab"),
    [Open(n=1)],
    *([Open(n=1, **{name: 1}), Open.model_validate({"n": 1, name: 1})] for name in "ab"),
    *([Open(n=1).called(name)] for name in "ab"),
    [Box(1), Box[int](1)],
    *([part] for part in (functools.partial(max, 3), type("Part", (functools.partial,), {})(max, 3))),
    [collections.Counter("a"), collections.Counter({"a": 1})],
    [{"a": 1}],
    *([kind(np.eye(2))] for kind in (sp.csr_array, sp.csr_matrix, sp.csc_array, sp.lil_array, sp.bsr_array, sp.dia_array)),
    [entries(sp.csr_array, 1.0), entries(sp.csr_array, 1.0, dtype="i8")],
    [entries(sp.coo_array, 2.0), entries(sp.coo_array, 2.0, dtype="i8")],
    [entries(sp.coo_array, 1.0, 1.0)],  # which sum to that
    [entries(sp.csr_array, 0.0)],
    [entries(sp.csr_array)],
    [sp.csr_array(([1.0, 2.0], [1, 0], [0, 2, 2])), sp.csr_array(([2.0, 1.0], [0, 1], [0, 2, 2]))],
    [sp.coo_array([0, 1])],
    [sp.coo_array([0, 1, 0])],
    *([stated(unit), stated(unit)] for unit in "ms"),
    [np.zeros(2)],
    [np.char.array(["a"])],
    [np.array(["a"])],
    [np.ma.masked],
]


def in_a_key(value: Any) -> str:
    short = plain_text(value)
    return short if short is not None and len(short) <= 60 else "#" + fingerprint(value, "a value")


def test_groups() -> None:
    seen: dict[str, int] = {}
    for i, group in enumerate(GROUPS):
        texts = {in_a_key(value) for value in group}
        assert len(texts) == 1, group
        assert seen.setdefault(texts.pop(), i) == i, (group, GROUPS[seen[in_a_key(group[0])]])
        digests = {fingerprint(value, "a value") for value in group}
        assert len(digests) == 1, group


def test_the_same_in_another_process() -> None:
    code = "from tests.test_digests import GROUPS, in_a_key; print([in_a_key(g[0]) for g in GROUPS])"
    environment = {**os.environ, "PYTHONHASHSEED": "1"}
    there = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True).stdout
    assert there.strip() == str([in_a_key(g[0]) for g in GROUPS])
