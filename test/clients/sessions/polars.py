"""polars: its own reader of URLs sends no header fields, so a token goes by fsspec."""

import io
import os
from importlib.metadata import version

import fsspec
import polars as pl
import requests

one, two = (os.environ[n] + "/v1/objects/polars/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
fs = fsspec.filesystem("http", headers=headers)
frame = pl.DataFrame({"ticker": ["SAP", "BMW"], "close": [1.5, 2.5]})
body = io.BytesIO()
frame.write_parquet(body)
requests.put(one + "prices.parquet", data=body.getvalue(), headers=headers).raise_for_status()
assert pl.read_parquet(fs.open(two + "prices.parquet")).equals(frame)
assert pl.scan_parquet(fs.open(two + "prices.parquet")).filter(pl.col("close") > 2).collect()["ticker"].to_list() == ["BMW"]
requests.put(one + "prices.csv", data=frame.write_csv(), headers=headers).raise_for_status()
assert pl.read_csv(fs.open(two + "prices.csv")).equals(frame)
print("polars", version("polars"))
