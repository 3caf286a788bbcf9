"""duckdb: a registered fsspec file system, which must say when a file was changed."""

import os
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from importlib.metadata import version

import duckdb
import pandas as pd
import requests
from fsspec.implementations.http import HTTPFileSystem

one, two = (os.environ[n] + "/v1/objects/duckdb/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}


class Larder(HTTPFileSystem):
    protocol = "larder"

    def encode_url(self, url):
        return super().encode_url(url.replace("larder://", "http://", 1))

    def modified(self, path):
        date = self.info(path).get("Last-Modified")  # absent for two seconds after a write
        return parsedate_to_datetime(date) if date else datetime.now(UTC)


pd.DataFrame({"a": range(1000)}).to_parquet("local.parquet")
requests.put(one + "a.parquet", data=open("local.parquet", "rb").read(), headers=headers).raise_for_status()
connection = duckdb.connect()
connection.register_filesystem(Larder(headers=headers))
url = two.replace("http://", "larder://") + "a.parquet"
assert connection.sql(f"select sum(a) from read_parquet('{url}')").fetchall() == [(499500,)]
print("duckdb", version("duckdb"))
