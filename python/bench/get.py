"""What `get` of 1 MiB costs beside a bare http.client loop to the same URL, and one that verifies SHA-256.

LARDER_URL=http://127.0.0.1:8080 python bench/get.py
"""

from __future__ import annotations

import hashlib
import http.client
import os
import statistics
import time
import warnings
from collections.abc import Callable
from urllib.parse import urlsplit

import larder

ROUNDS, CALLS = 30, 40


def seconds(call: Callable[[], object]) -> float:
    """The time of one call, on average over some."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def main() -> None:
    """Measure in turns, so that both see the same machine."""
    warnings.simplefilter("ignore", larder.LarderWarning)
    client = larder.Client()
    objects = larder.ObjectService(client)
    value = os.urandom(1 << 20)
    objects.put("bench", value)
    url = urlsplit(os.environ.get("LARDER_URL", "http://127.0.0.1:8080"))
    connection = http.client.HTTPConnection(url.hostname or "", url.port)

    def bare() -> bytes:
        connection.request("GET", "/v1/objects/bench")
        return connection.getresponse().read()

    def verifying() -> bytes:
        return hashlib.sha256(bare()).digest()

    def larder_get() -> object:
        return objects.get("bench")

    assert larder_get() == value
    bare()
    rounds = [(seconds(bare), seconds(verifying), seconds(larder_get)) for _ in range(ROUNDS)]
    plain, verified, ours = (statistics.median(column) * 1e3 for column in zip(*rounds, strict=True))
    to_plain = statistics.median(ours / plain for plain, _, ours in rounds)
    to_verified = statistics.median(ours / verified for _, verified, ours in rounds)
    print(f"1 MiB, medians of {ROUNDS} rounds: http.client {plain:.2f} ms, and SHA-256 {verified:.2f} ms, larder {ours:.2f} ms")
    print(f"larder takes {to_plain:.2f} times the first, {to_verified:.2f} times the second")


if __name__ == "__main__":
    main()
