"""numpy, safetensors, smart-open and tensorstore read files by URL."""

import os
from importlib.metadata import version

import fsspec
import numpy as np
import requests
import smart_open
import tensorstore as ts
from safetensors.numpy import load, save

one, two = (os.environ[n] + "/v1/objects/arrays/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
fs = fsspec.filesystem("http", headers=headers)
data = np.arange(100_000.0)
np.save("local.npy", data)
with open("local.npy", "rb") as f:
    requests.put(one + "a.npy", data=f, headers=headers).raise_for_status()
requests.put(one + "a.safetensors", data=save({"a": data}), headers=headers).raise_for_status()
np.testing.assert_array_equal(np.load(fs.open(two + "a.npy")), data)
np.testing.assert_array_equal(load(fs.cat_file(two + "a.safetensors"))["a"], data)
with smart_open.open(two + "a.npy", "rb", transport_params={"headers": headers}) as f:
    np.testing.assert_array_equal(np.load(f), data)
kv = ts.KvStore.open({"driver": "http", "base_url": two, "headers": [f"{k}: {v}" for k, v in headers.items()]}).result()
assert len(kv.read("a.npy").result().value) == os.path.getsize("local.npy")
print(*(f"{name} {version(name)}" for name in ("numpy", "safetensors", "smart-open", "tensorstore")))
