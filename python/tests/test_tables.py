"""Tables: no pickle, the same table again, and no pyarrow where there is none."""

from __future__ import annotations

import io
import json
import platform
import subprocess
import sys
from datetime import timedelta, timezone
from typing import Any

import dateutil.tz
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import larder
from larder import arrow, codec, frame

PLACE = frame.Place("acme", "objects", "table")
DAYS = pd.date_range("2020-01-01", periods=3, freq="D")


def put(value: Any) -> tuple[str, bytes]:
    made = codec.encode(value)
    whole = frame.seal({"format": made.format, "python": platform.python_version(), **made.about}, made.segments, PLACE, None)
    return made.format, b"".join(whole.parts)


def get(data: bytes, *, allow_pickle: bool = False) -> Any:
    return codec.decode(frame.read(io.BytesIO(data), len(data), PLACE, []), "table", allow_pickle=allow_pickle)


def sealed(format: str, data: list[bytes]) -> bytes:
    """A frame of segments that nobody has made of a value."""
    return b"".join(map(bytes, frame.seal({"format": format}, [frame.Segment(d, len(d)) for d in data], PLACE, None).parts))


def with_attrs() -> pd.DataFrame:
    table = pd.DataFrame({"x": [1]})
    table.attrs = {"source": "x", "n": [1, 2]}
    return table


TABLES: dict[str, Any] = {
    "one column": pd.DataFrame({"x": [1.0, 2.0]}),
    "one dtype": pd.DataFrame(np.arange(12.0).reshape(3, 4), columns=list("abcd")),
    "one dtype by columns": pd.DataFrame({"a": [1, 2], "b": [3, 4]}),
    "mixed": pd.DataFrame({"i": [1, 2, 3], "f": [1.5, np.nan, 2], "b": [True, False, True], "t": ["x", "ü€", None], "d": DAYS}),
    "timedelta": pd.DataFrame({"a": pd.to_timedelta([1, 2], "s"), "b": np.array([1, 2], "f4")}),
    "text": pd.Series(["a", "", None, "ü"]),
    "objects": pd.Series([1, "a", None, 2.5, True], dtype=object),
    "text as objects": pd.Series(["a", None, np.nan, pd.NA], dtype=object),
    "only missing": pd.Series([None, np.nan], dtype=object),
    "string": pd.Series(["a", None, "b"], dtype="string"),
    "string[python]": pd.Series(["a", None, "b"], dtype="string[python]"),
    "str[python]": pd.Series(["a", None, "b"], dtype=pd.StringDtype("python", na_value=np.nan)),
    "text in part": pd.Series([f"v{i}" for i in range(50)])[10:40:3],
    "categorical": pd.Series(["a", "b", None, "a"], dtype="category"),
    "ordered": pd.DataFrame({"c": pd.Categorical([3, 1, 2, 3], categories=[3, 2, 1], ordered=True)}),
    "categorical index": pd.Series([1, 2], index=pd.CategoricalIndex(["x", "y"], name="q")),
    "zone": pd.DataFrame({"v": [1, 2, 3]}, index=pd.date_range("2020-01-01", periods=3, tz="Europe/Zurich", freq="h", name="when")),
    "utc": pd.Series(pd.date_range("2020-01-01", periods=3, tz="UTC", unit="ms")),
    "offset": pd.Series(pd.to_datetime(["2020-01-01T00:00:00+02:00"])),
    "nat": pd.Series([pd.NaT, pd.Timestamp("2020-01-01")]),
    "freq": pd.Series([1.0, 2.0, 3.0], index=pd.date_range("2020-01-31", periods=3, freq="ME")),
    "nullable": pd.DataFrame(
        {"a": pd.array([1, None], "Int64"), "b": pd.array([True, None], "boolean"), "c": pd.array([1.5, None], "Float32")}
    ),
    "multi": pd.DataFrame(
        np.arange(8.0).reshape(4, 2),
        index=pd.MultiIndex.from_product([["a", "b"], DAYS[:2]], names=["k", "d"]),
        columns=pd.MultiIndex.from_tuples([("x", 1), ("y", 2)]),
    ),
    "period": pd.Series(pd.period_range("2020Q1", periods=2, freq="Q"), index=pd.period_range("2020-01", periods=2, freq="M")),
    "two of a name": pd.DataFrame([[1, 2.5], [3, 4.5]], columns=["a", "a"]),
    "mixed labels": pd.DataFrame({0: ["a"], "b": [1]}),
    "empty": pd.DataFrame(),
    "no rows": pd.DataFrame({"a": ["x"]}).iloc[:0],
    "no columns": pd.DataFrame(index=[1, 2, 3]),
    "range": pd.Series(range(3), index=pd.RangeIndex(5, 11, 2, name="r"), name="n"),
    "part": pd.DataFrame(np.arange(20.0).reshape(5, 4)).iloc[::2, 1:3],
    "number as name": pd.Series([1], name=0),
    "small": pd.Series([1, 2], dtype="u1"),
    "complex": pd.Series([1j]),
    "big-endian": pd.Series(np.array([1, 2], ">i4")),
    "attrs": with_attrs(),
}


def assert_equal(value: Any, got: Any) -> None:
    if isinstance(value, pd.DataFrame):
        pd.testing.assert_frame_equal(got, value, check_freq=True)
        assert list(got.dtypes) == list(value.dtypes)
        assert type(got.columns) is type(value.columns)
    else:
        pd.testing.assert_series_equal(got, value, check_freq=True)
        assert got.dtype == value.dtype
        assert list(map(type, got.tolist())) == list(map(type, value.tolist()))
    assert type(got.index) is type(value.index)
    assert got.attrs == value.attrs


@pytest.mark.parametrize("name", TABLES)
def test_pandas_without_pickle(name: str) -> None:
    format, data = put(TABLES[name])
    assert format == "pandas"
    assert_equal(TABLES[name], get(data))


class OfOurs(pd.DataFrame):
    @property
    def _constructor(self) -> Any:
        return OfOurs


@pytest.mark.parametrize(
    "value",
    [
        pd.DataFrame({"a": [{1, 2}]}),
        pd.Series(pd.array([1, 0, 0], dtype=pd.SparseDtype("int64", 0))),
        pd.Series([1, 2], dtype="int64[pyarrow]"),
        pd.Series(pd.interval_range(0, 2)),
        pd.Series([1], name=("a", "b")),
        pd.Series(["half \ud800"], dtype=object),
        OfOurs({"a": [1]}),
        pd.DataFrame({"a": [1]}).set_flags(allows_duplicate_labels=False),
        pd.Series([1], pd.date_range("2020-01-01", periods=1, freq=pd.DateOffset(months=1, days=2))),
        pd.Series([1], pd.date_range("2020-01-01", periods=1, tz=dateutil.tz.tzlocal())),
        pd.Series([1], pd.date_range("2020-01-01", periods=1, tz=timezone(timedelta(hours=5), "IST"))),
    ],
    ids=["sets", "sparse", "arrow", "interval", "tuple as name", "surrogate", "subclass", "flags", "offset", "local", "named"],
)
def test_what_is_pickled(value: Any) -> None:
    format, data = put(value)
    assert format == "pickle"
    got = get(data, allow_pickle=True)
    assert str(got.index.dtype) == str(value.index.dtype)
    assert type(got) is type(value)
    assert got.equals(value)
    assert got.flags.allows_duplicate_labels == value.flags.allows_duplicate_labels


def test_what_comes_back_is_the_callers_own() -> None:
    for value in (TABLES["one dtype"], TABLES["mixed"], pd.DataFrame(np.zeros((10_000, 3)))):
        got = get(put(value)[1])
        got.iloc[0, 0] = 7
        assert got.iloc[0, 0] == 7


def test_a_reader_without_pyarrow() -> None:
    text = pd.DataFrame({"t": ["a", None, "ü"], "s": pd.array(["x", None, "y"], "string[pyarrow]")}, index=["p", "q", "r"])
    format, data = put(text)
    assert format == "pandas"
    script = (
        "import sys; sys.modules['pyarrow'] = None\n"
        "import io; from larder import codec, frame\n"
        "place = frame.Place('acme', 'objects', 'table')\n"
        "data = sys.stdin.buffer.read()\n"
        "got = codec.decode(frame.read(io.BytesIO(data), len(data), place, []), 'k', allow_pickle=False)\n"
        "assert got['t'].tolist()[::2] == ['a', 'ü'] and got['t'].isna().tolist() == [False, True, False], got\n"
        "assert str(got['s'].dtype) == 'string' and got.loc['r', 's'] == 'y' and list(got.index) == ['p', 'q', 'r']\n"
        "made = codec.encode(got); sealed = frame.seal({'format': made.format}, made.segments, place, None)\n"
        "sys.stdout.buffer.write(b''.join(sealed.parts))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    pd.testing.assert_frame_equal(get(done.stdout), text)


@pytest.mark.parametrize(
    "value",
    [
        pl.DataFrame({"a": [1, 2], "b": ["x", None], "c": [[1], []]}),
        pl.DataFrame({"a": ["x", "y", "x"]}, schema={"a": pl.Enum(["x", "y"])}),
        pl.DataFrame({"a": ["x", "y", "x"]}, schema={"a": pl.Categorical}),
        pl.DataFrame(),
        pl.Series("s", [1.5, None]),
    ],
    ids=["frame", "enum", "categorical", "empty", "series"],
)
def test_polars(value: Any) -> None:
    _, data = put(value)
    got = get(data, allow_pickle=True)
    assert got.equals(value)
    assert (got.schema == value.schema) if isinstance(value, pl.DataFrame) else (got.name, got.dtype) == (value.name, value.dtype)


def test_polars_as_arrow_for_other_languages() -> None:
    format, data = put(pl.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert format == "arrow"
    segments = frame.read(io.BytesIO(data), len(data), PLACE, []).segments
    assert segments[0].data == b"polars.DataFrame"
    assert pa.ipc.open_stream(pa.py_buffer(segments[1].data)).read_all().to_pydict() == {"a": [1, 2], "b": ["x", "y"]}
    objects = pl.DataFrame({"a": [object()]}, schema={"a": pl.Object})
    with pytest.raises(larder.EncodeError):
        put(objects)


@pytest.mark.parametrize(
    "value",
    [
        pa.table({"a": [1, 2], "b": ["x", None]}, metadata={"k": "v"}),
        pa.table({"a": pa.chunked_array([[1], [2, 3]])}),
        pa.record_batch({"a": [1, 2]}),
        pa.record_batch({"a": pa.array([], pa.int32())}),
        pa.array([1, None, 3]),
        pa.chunked_array([[1], [2, 3]]),
        pa.array(["a", "b", "a"]).dictionary_encode(),
    ],
    ids=["table", "chunks", "batch", "empty batch", "array", "chunked array", "dictionary"],
)
def test_pyarrow(value: Any) -> None:
    format, data = put(value)
    assert format == "arrow"
    got = get(data)
    assert type(got) is type(value)
    assert got.equals(value)
    assert getattr(got, "schema", None) == getattr(value, "schema", None)


def polars_stream(compression: Any) -> bytes:
    file = io.BytesIO()
    pl.DataFrame({"a": np.zeros(1 << 20)}).write_ipc_stream(file, compression=compression)
    return file.getvalue()


def arrow_stream(compression: Any, column: Any, **options: Any) -> bytes:
    sink, table = pa.BufferOutputStream(), pa.table({"a": column})
    with pa.ipc.new_stream(sink, table.schema, options=pa.ipc.IpcWriteOptions(compression=compression, **options)) as writer:
        writer.write(table)
    return bytes(sink.getvalue())


@pytest.mark.parametrize("codec", ["zstd", "lz4"])
def test_what_is_compressed_within_is_refused(codec: str) -> None:
    zeros, words = np.zeros(1 << 20), pa.array(["x" * 10_000]).dictionary_encode()
    for data in (
        polars_stream(codec),
        arrow_stream(codec, zeros),
        arrow_stream(codec, words),
        arrow_stream(codec, zeros, use_legacy_format=True),
    ):
        for kind in ("polars.DataFrame", "pyarrow.Table"):
            with pytest.raises(ValueError, match="compressed"):
                arrow.read(kind, data)
    for data in (polars_stream("uncompressed"), arrow_stream(None, zeros), arrow_stream(None, zeros, use_legacy_format=True)):
        assert len(arrow.read("pyarrow.Table", data)) == 1 << 20


@pytest.mark.parametrize(
    "whole", [pa.table({"a": range(200_000), "b": ["text"] * 200_000}), pa.array(range(200_000))], ids=["table", "array"]
)
def test_a_slice_is_stored_without_the_rest(whole: Any) -> None:
    part = whole.slice(5, 10)
    _, data = put(part)
    assert len(data) < 2000
    assert get(data).equals(part)


@pytest.mark.parametrize("more", [[], [lambda: 0]], ids=["pickle", "cloudpickle"])
def test_a_slice_within_another_object_is_stored_without_the_rest(more: list[Any]) -> None:
    table = pa.table({"a": range(200_000), "b": ["text"] * 200_000, "c": [[1]] * 200_000, "d": [None, True] * 100_000})
    frame = pd.DataFrame({"a": pd.Series(["text"] * 200_000, dtype=pd.ArrowDtype(pa.string()))})
    parts = [table.slice(5, 10), table["b"].chunk(0).slice(9, 0), table.to_batches()[0].slice(7, 3), frame.iloc[5:10]]
    _, data = put([parts, *more])
    assert len(data) < 10_000
    got = get(data, allow_pickle=True)[0]
    assert all(one.equals(part) for one, part in zip(got, parts, strict=True))
    got[0].validate(full=True)


COUNT = {"type": "range", "start": 0, "stop": 4, "step": 1, "names": [None]}
TEXT = {"type": "text", "dtype": "object", "default": False, "offsets": 1, "missing": None, "data": 2}
STAMPS = {"type": "datetimetz", "unit": "ns", "zone": "UTC", "data": 1}


@pytest.mark.parametrize(
    ("values", "buffers"),
    [
        ([TEXT], [np.array([0, 9, 0, 9, 0], "<i8"), b"123456789"]),
        ([TEXT], [np.array([0, 9, 0, 9, 9], "<i8"), b"123456789"]),
        ([TEXT], [np.array([0, 2, 4, 6, 10], "<i8"), b"123456789"]),
        ([TEXT], [np.array([-9, 2, 4, 6, 8], "<i8"), b"123456789"]),
        ([TEXT | {"dtype": "string", "storage": "python"}], [np.array([0, 9, 0, 9, 9], "<i8"), b"123456789"]),
        ([TEXT] * 2, [np.array([0, 2, 4, 6, 8], "<i8"), b"123456789"]),
        ([STAMPS] * 2, [np.zeros(4, "<i8")]),
        ([STAMPS, STAMPS | {"data": -2}], [np.zeros(4, "<i8"), b""]),
    ],
)
def test_few_bytes_are_not_made_many(values: list[Any], buffers: list[Any]) -> None:
    """Texts that overlap, and buffers that several columns name, would be more than came."""
    spec = {"index": COUNT, "attrs": {}, "type": "frame", "columns": COUNT | {"stop": len(values)}, "values": values}
    data = [json.dumps(spec).encode(), *map(bytes, buffers)]
    with pytest.raises(larder.DecodeError):
        get(sealed("pandas", data))


@pytest.mark.parametrize("end", [4, 12, 100, -100])
def test_a_stream_that_is_cut(end: int) -> None:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, pa.schema({"a": pa.int64()})) as writer:
        writer.write(pa.table({"a": range(1000)}))
    with pytest.raises(larder.DecodeError):
        get(sealed("arrow", [b"pyarrow.Table", sink.getvalue().to_pybytes()[:end]]))


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    polars, arrow, table = put(pl.DataFrame({"a": [1]}))[1], put(pa.array([1]))[1], put(TABLES["text"])[1]
    for name in ("polars", "pyarrow"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(larder.DecodeError, match="pip install polars"):
        get(polars)
    with pytest.raises(larder.DecodeError, match="pip install pyarrow"):
        get(arrow)
    for name in ("larder.tables", "larder.columns"):
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delattr(larder, "tables")
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(larder.DecodeError, match="pip install pandas"):
        get(table)
