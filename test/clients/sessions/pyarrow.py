"""pyarrow: single files and lists of them through fsspec, with columns read by ranges."""

import os
from importlib.metadata import version

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import requests

one, two = (os.environ[n] + "/v1/objects/pyarrow/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
fs = fsspec.filesystem("http", headers=headers)
table = pa.table({"a": list(range(1000)), "b": [str(i) for i in range(1000)]})
for part in ("0", "1"):
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    requests.put(one + part + ".parquet", data=sink.getvalue().to_pybytes(), headers=headers).raise_for_status()
assert pq.read_table(two + "0.parquet", filesystem=fs).equals(table)
assert pq.read_table(two + "0.parquet", filesystem=fs, columns=["b"]).column_names == ["b"]
both = ds.dataset([two + "0.parquet", two + "1.parquet"], filesystem=fs)
assert both.count_rows() == 2000
print("pyarrow", version("pyarrow"))
