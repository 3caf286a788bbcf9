"""fsspec and pyarrow: folders, by listings with links."""

import os
from importlib.metadata import version

import fsspec
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import requests

one, two = (os.environ[n] + "/v1/objects/folders/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
links = {**headers, "Accept": "text/html"}
fs = fsspec.filesystem("http", headers=links, client_kwargs={"headers": links}, use_listings_cache=False)
for year in ("2021", "2022"):
    for day in ("a", "b"):
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"close": [1.0, 2.0]}), sink)
        url = one + f"prices/year={year}/{day}.parquet"
        requests.put(url, data=sink.getvalue().to_pybytes(), headers=headers).raise_for_status()
root = two + "prices/"
assert sorted(e["name"].rstrip("/").split("/")[-1] for e in fs.ls(root)) == ["year=2021", "year=2022"], fs.ls(root)
assert len(fs.find(root)) == 4, fs.find(root)
assert fs.glob(root + "year=2021/*.parquet") == [root + f"year=2021/{day}.parquet" for day in ("a", "b")]
table = ds.dataset(fs.find(root), filesystem=fs, partitioning="hive").to_table()
assert table.num_rows == 8 and sorted(set(table["year"].to_pylist())) == [2021, 2022], table
print("fsspec", version("fsspec"), "lists folders")
