"""DataFrames and Series of pandas without pickle: the first segment describes the rest, in JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from larder.columns import FIXED, Buffers, Held, Spec, Uncovered, array_of, read_index, read_values, write_index, write_values
from larder.frame import Buffer
from larder.plain import is_plain_dtype, is_plain_json


def write(table: Any) -> list[Buffer]:
    """The segments of a DataFrame or Series. Raises Uncovered."""
    if not table.flags.allows_duplicate_labels or not is_plain_json(table.attrs):
        raise Uncovered("flags or attrs")
    buffers = Buffers([b""])
    spec: Spec = {"index": write_index(table.index, buffers), "attrs": table.attrs}
    if type(table) is pd.Series:
        if isinstance(table.name, (list, dict)) or not is_plain_json(table.name):
            raise Uncovered("the name of a series")
        spec |= {"type": "series", "name": table.name, "values": [write_values(table, buffers)]}
    else:
        spec |= {"type": "frame", "columns": write_index(table.columns, buffers), **_write_columns(table, buffers)}
    buffers[0] = json.dumps(spec, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    return list(buffers)


def _write_columns(table: Any, buffers: Buffers) -> Spec:
    """All columns as one array if they are of one dtype of numpy, as pandas itself keeps them."""
    dtypes = set(table.dtypes)
    if len(dtypes) == 1 and table.shape[1] > 1:
        dtype = next(iter(dtypes))
        if isinstance(dtype, np.dtype) and dtype.kind in FIXED and is_plain_dtype(dtype):
            values = table.to_numpy()
            across = bool(values.flags.c_contiguous)
            data = buffers.add(values if across else values.T)
            return {"block": {"dtype": dtype.str, "data": data, "shape": values.shape, "order": "C" if across else "F"}}
    return {"values": [write_values(table.iloc[:, i], buffers) for i in range(table.shape[1])]}


def read(data: Sequence[Buffer], spec: Any) -> Any:
    """The DataFrame or Series of segments, of which the first is the JSON of ``spec``."""
    buffers = Held(data)
    index = read_index(spec["index"], buffers)
    if spec["type"] == "series":
        table = _series(read_values(spec["values"][0], buffers), index)
        table.name = spec["name"]
    else:
        table = _read_columns(spec, index, buffers)
        table.columns = read_index(spec["columns"], buffers)
    table.attrs = spec["attrs"]
    return table


def _series(values: Any, index: Any) -> Any:
    return pd.Series(values, index=index, dtype=values.dtype, copy=False)


def _read_columns(spec: Spec, index: Any, buffers: Held) -> Any:
    if block := spec.get("block"):
        values = array_of(buffers, block["data"], block["dtype"]).reshape(block["shape"], order=block["order"])
        return pd.DataFrame(values, index=index, copy=False)
    return pd.DataFrame({i: _series(read_values(s, buffers), index) for i, s in enumerate(spec["values"])}, index=index, copy=False)
