"""requests, httpx and aiohttp: put, get, a condition; quote(key, safe="") makes a path of any key."""

import asyncio
import os
from importlib.metadata import version
from urllib.parse import quote

import aiohttp
import httpx
import requests

one, two = os.environ["ONE"], os.environ["TWO"]
headers = {"Authorization": "Bearer " + os.environ["TOKEN"]}
body = os.urandom(2_000_000)
for key in ["http/a b", "http/%41", "http/x|y+z", "http//..//é", "http/[1]?#&"]:
    path = "/v1/objects/" + quote(key, safe="")
    for client in (requests, httpx):
        assert client.put(one + path, data=body, headers=headers).status_code in (200, 201)
        got = client.get(two + path, headers=headers)
        assert got.content == body, key
        again = client.get(two + path, headers={**headers, "If-None-Match": got.headers["ETag"]})
        assert again.status_code == 304, again


async def main():
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.put(one + "/v1/objects/http/aio", data=body) as put:
            assert put.status == 201
        async with session.get(two + "/v1/objects/http/aio") as got:
            assert await got.read() == body


asyncio.run(main())
print(*(f"{name} {version(name)}" for name in ("requests", "httpx", "aiohttp")))
