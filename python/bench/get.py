"""What `get` of 1 MiB costs beside a bare http.client loop to the same URL.

LARDER_URL=http://127.0.0.1:8080 python bench/get.py

All are called in turns, a few times each, so that all see the same machine, and in an order drawn anew for each
round, since each leaves the processor's caches to the next; a ratio is the median of the rounds' ratios.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import random
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
    """What is measured. Each is compared with the bare loop over the same object, which caches keep alike."""
    url = urlsplit(os.environ.get("LARDER_URL", "http://127.0.0.1:8080").partition(",")[0])
    value = os.urandom(1 << 20)
    plain = larder.ObjectService(larder.Client(url.geturl(), signing_key=[]))
    signed = larder.ObjectService(larder.Client(url.geturl(), signing_key=os.urandom(32)))
    for objects, key in zip((plain, signed), KEYS, strict=True):
        objects.put(key, value)
        assert objects.get(key) == value
    connection = http.client.HTTPConnection(url.hostname or "", url.port)

    def bare(key: str) -> bytes:
        connection.request("GET", f"/v1/objects/{key}")
        return connection.getresponse().read()

    return {
        "http.client": lambda: bare(KEYS[0]),
        "http.client and BLAKE3": lambda: blake3(bare(KEYS[0])).digest(),
        "http.client and SHA-256": lambda: hashlib.sha256(bare(KEYS[0])).digest(),
        "larder": lambda: plain.get(KEYS[0]),
        "http.client, signed": lambda: bare(KEYS[1]),
        "larder, signed": lambda: signed.get(KEYS[1]),
    }


def main() -> None:
    """Measure, and print medians."""
    warnings.simplefilter("ignore", larder.LarderWarning)
    calls = contenders()
    order, rounds = list(calls), []
    for _ in range(ROUNDS):
        random.shuffle(order)
        took = {name: seconds(calls[name]) for name in order}
        rounds.append([took[name] for name in calls])
    print(f"1 MiB, medians of {ROUNDS} rounds of {CALLS} calls")
    names = list(calls)
    for i, name in enumerate(names):
        base = names.index("http.client, signed" if "signed" in name else "http.client")
        times = [r[i] for r in rounds]
        ratio = statistics.median(r[i] / r[base] for r in rounds)
        print(f"{name:24} {statistics.median(times) * 1e3:5.2f} ms (best {min(times) * 1e3:5.2f})  {ratio:5.2f} times the bare loop")


if __name__ == "__main__":
    main()
