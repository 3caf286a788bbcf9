"""pandas reads by URL; it is written through bytes, since to_csv and the like of a URL store nothing."""

import io
import os
from importlib.metadata import version
from urllib.parse import quote

import pandas as pd
import requests

one, two = (os.environ[n] + "/v1/objects/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
frame = pd.DataFrame({"day": pd.date_range("2022-01-03", periods=4), "close": [1.5, 2.5, None, 4.0]})


def put(key, body):
    requests.put(one + quote(key, safe=""), data=body, headers=headers).raise_for_status()


parquet = io.BytesIO()
frame.to_parquet(parquet)
put("pandas/prices 1.parquet", parquet.getvalue())
put("pandas/prices.csv", frame.to_csv(index=False))
put("pandas/prices.pkl", frame.pipe(lambda f: (b := io.BytesIO(), f.to_pickle(b), b.getvalue())[-1]))
pd.testing.assert_frame_equal(pd.read_parquet(two + quote("pandas/prices 1.parquet", safe=""), storage_options=headers), frame)
csv = pd.read_csv(two + "pandas/prices.csv", storage_options=headers, parse_dates=["day"])
pd.testing.assert_frame_equal(csv, frame, check_dtype=False)
pd.testing.assert_frame_equal(pd.read_pickle(two + "pandas/prices.pkl", storage_options=headers), frame)
print("pandas", version("pandas"))
