"""fsspec: put, pipe, cat, ranges, open and seek; what is written is read from the other node."""

import os
from importlib.metadata import version

import fsspec

one, two = (os.environ[n] + "/v1/objects/fsspec/" for n in ("ONE", "TWO"))
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
# pipe sends the headers of client_kwargs alone.
fs = fsspec.filesystem("http", headers=headers, client_kwargs={"headers": headers}, use_listings_cache=False)
content = os.urandom(300_000)
with open("local", "wb") as f:
    f.write(content)
assert not fs.exists(two + "a")
fs.put_file("local", one + "a", method="put")
fs.pipe_file(one + "b", content[:10])
assert fs.exists(two + "a") and fs.info(two + "a")["size"] == len(content)
assert fs.cat_file(two + "a") == content and fs.cat_file(two + "b") == content[:10]
assert fs.cat_file(two + "a", start=100, end=250) == content[100:250]
with fs.open(two + "a", "rb", block_size=4096) as f:
    f.seek(200_000)
    assert f.read(10_000) == content[200_000:210_000]
    f.seek(-5, 2)
    assert f.read() == content[-5:]
try:
    fs.cat_file(two + "absent")
    raise AssertionError("it is there")
except FileNotFoundError:
    pass
print("fsspec", version("fsspec"))
