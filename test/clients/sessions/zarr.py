"""zarr and xarray: written chunk by chunk with obstore, read by fsspec and by obstore."""

import os
from importlib.metadata import version

import numpy as np
import obstore.store
import xarray as xr
import zarr
from zarr.storage import ObjectStore

one, two = (os.environ[n] + "/v1/objects/zarr" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
options = {"allow_http": True, "default_headers": headers}
data = np.arange(40_000, dtype="f4").reshape(200, 200)
local = xr.Dataset({"t": (("x", "y"), data)})
local.chunk({"x": 50, "y": 50}).to_zarr("local.zarr", zarr_format=3, consolidated=True)
store = obstore.store.HTTPStore.from_url(one, client_options=options)
for folder, _, files in os.walk("local.zarr"):
    for name in files:
        path = os.path.join(folder, name)
        with open(path, "rb") as f:
            store.put(path, f.read(), use_multipart=False)
got = xr.open_zarr(two + "/local.zarr", storage_options={"headers": headers})
np.testing.assert_array_equal(got.t.values, data)
store = ObjectStore(obstore.store.HTTPStore.from_url(two + "/local.zarr", client_options=options), read_only=True)
np.testing.assert_array_equal(zarr.open_group(store, mode="r")["t"][10:20], data[10:20])
print(*(f"{name} {version(name)}" for name in ("zarr", "xarray", "obstore")))
