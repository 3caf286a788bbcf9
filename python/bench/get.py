"""What `get` of 1 MiB costs beside a bare http.client loop to the same URL.

LARDER_URL=http://127.0.0.1:8080 python bench/get.py

All are called in turns, a few times each, so that all see the same machine; a ratio is the median of the
rounds' ratios.
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

from blake3 import blake3

import larder

ROUNDS, CALLS = 150, 10
KEYS = ("bench", "bench-signed")


def seconds(call: Callable[[], object]) -> float:
    """The time of one call, on average over some."""
    began = time.perf_counter()
    for _ in range(CALLS):
        call()
    return (time.perf_counter() - began) / CALLS


def contenders() -> dict[str, Callable[[], object]]:
    """What is measured; the first is what all are compared with."""
    url = urlsplit(os.environ.get("LARDER_URL", "http://127.0.0.1:8080").partition(",")[0])
    value = os.urandom(1 << 20)
    plain = larder.ObjectService(larder.Client(url.geturl(), signing_key=[]))
    signed = larder.ObjectService(larder.Client(url.geturl(), signing_key=os.urandom(32)))
    for objects, key in zip((plain, signed), KEYS, strict=True):
        objects.put(key, value)
        assert objects.get(key) == value
    connection = http.client.HTTPConnection(url.hostname or "", url.port)

    def bare() -> bytes:
        connection.request("GET", f"/v1/objects/{KEYS[0]}")
        return connection.getresponse().read()

    return {
        "http.client": bare,
        "http.client and BLAKE3": lambda: blake3(bare()).digest(),
        "http.client and SHA-256": lambda: hashlib.sha256(bare()).digest(),
        "larder": lambda: plain.get(KEYS[0]),
        "larder, signed": lambda: signed.get(KEYS[1]),
    }


def main() -> None:
    """Measure, and print medians."""
    warnings.simplefilter("ignore", larder.LarderWarning)
    calls = contenders()
    rounds = [[seconds(call) for call in calls.values()] for _ in range(ROUNDS)]
    print(f"1 MiB, medians of {ROUNDS} rounds of {CALLS} calls")
    for i, name in enumerate(calls):
        times = [r[i] for r in rounds]
        ratio = statistics.median(r[i] / r[0] for r in rounds)
        print(f"{name:24} {statistics.median(times) * 1e3:5.2f} ms (best {min(times) * 1e3:5.2f})  {ratio:5.2f} times the first")


if __name__ == "__main__":
    main()
