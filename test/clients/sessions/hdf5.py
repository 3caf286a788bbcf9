"""h5py and h5netcdf: ranges of one file through fsspec."""

import os
from importlib.metadata import version

import fsspec
import h5py
import numpy as np
import requests
import xarray as xr

one, two = (os.environ[n] + "/v1/objects/hdf5/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
fs = fsspec.filesystem("http", headers=headers)
data = np.arange(100_000.0)
with h5py.File("local.h5", "w") as f:
    f["a"] = data
xr.Dataset({"a": ("x", data)}).to_netcdf("local.nc", engine="h5netcdf")
for name in ("local.h5", "local.nc"):
    with open(name, "rb") as f:
        requests.put(one + name, data=f, headers=headers).raise_for_status()
with h5py.File(fs.open(two + "local.h5")) as f:
    np.testing.assert_array_equal(f["a"][500:600], data[500:600])
with fs.open(two + "local.nc") as f:
    np.testing.assert_array_equal(xr.open_dataset(f, engine="h5netcdf").a.values, data)
print(*(f"{name} {version(name)}" for name in ("h5py", "h5netcdf")))
