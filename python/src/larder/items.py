"""What columns and sparse matrices of other libraries hold, with all that tells it apart."""

from __future__ import annotations

import sys
from typing import Any


def polars_items(polars: Any, column: Any) -> list[Any]:
    """The values of a column. Those of times of day, and of what counts nanoseconds, are numbers, since Python's have no nanoseconds."""
    dtype = column.dtype
    if dtype == polars.Time or getattr(dtype, "time_unit", "") == "ns":
        return list(column.to_physical().to_list())
    if isinstance(dtype, polars.Array):
        column, dtype = column.arr.to_list(), polars.List(dtype.inner)
    if isinstance(dtype, polars.List):
        return [column.list.len().to_list(), polars_items(polars, column.explode())]
    if isinstance(dtype, polars.Struct):
        fields = [polars_items(polars, column.struct.field(name)) for name in column.struct.fields]
        return [column.is_null().to_list(), *fields]
    return list(column.to_list())


def arrow_item(scalar: Any) -> Any:
    """A scalar of pyarrow as Python values, with all of its nanoseconds."""
    import pyarrow

    if not scalar.is_valid:
        return None
    kind = scalar.type
    if pyarrow.types.is_timestamp(kind) or pyarrow.types.is_duration(kind) or pyarrow.types.is_time64(kind):
        return scalar.value
    if pyarrow.types.is_struct(kind):
        return [arrow_item(scalar[i]) for i in range(kind.num_fields)]
    if pyarrow.types.is_nested(kind) and hasattr(scalar, "values"):
        return list(map(arrow_item, scalar.values))
    return arrow_item(scalar.value) if isinstance(scalar, pyarrow.DictionaryScalar) else scalar.as_py()


def sparse_entries(value: Any) -> list[Any] | None:
    """The entries of a sparse matrix or array of scipy: an array of indices for each axis, and the values. None for what is none.

    They are in the order of their indices. An entry that is zero, or is there twice, is one: functions may count them.
    """
    sparse = sys.modules.get("scipy.sparse")
    if sparse is None or not sparse.issparse(value) or not type(value).__module__.startswith("scipy."):
        return None
    import numpy

    found = value.tocoo()
    axes = [numpy.asarray(axis, dtype="i8") for axis in getattr(found, "coords", (found.row, found.col))]
    order = numpy.lexsort(axes[::-1])
    return [axis[order] for axis in axes] + [found.data[order]]
