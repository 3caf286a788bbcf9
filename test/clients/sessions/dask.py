"""dask: CSV, and Parquet, by storage_options."""

import os
from importlib.metadata import version

import dask.dataframe as dd
import pandas as pd
import requests

one, two = (os.environ[n] + "/v1/objects/dask/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
frame = pd.DataFrame({"a": range(1000), "b": range(1000)})
frame.to_parquet("local.parquet")
requests.put(one + "a.parquet", data=open("local.parquet", "rb").read(), headers=headers).raise_for_status()
requests.put(one + "a.csv", data=frame.to_csv(index=False), headers=headers).raise_for_status()
assert dd.read_csv(two + "a.csv", storage_options={"headers": headers}).a.sum().compute() == 499500
assert dd.read_parquet([two + "a.parquet"], columns=["a"], storage_options={"headers": headers}).a.sum().compute() == 499500
print("dask", version("dask"))
