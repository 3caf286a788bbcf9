"""What `get` of 1 MiB costs beside a bare http.client loop to the same URL.

LARDER_URL=http://127.0.0.1:8080 python bench/get.py
"""

from __future__ import annotations

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

    def larder_get() -> object:
        return objects.get("bench")

    assert larder_get() == value
    bare()
    pairs = [(seconds(bare), seconds(larder_get)) for _ in range(ROUNDS)]
    plain, ours = (statistics.median(column) for column in zip(*pairs, strict=True))
    ratio = statistics.median(b / a for a, b in pairs)
    print(f"1 MiB: http.client {plain * 1e3:.2f} ms, larder {ours * 1e3:.2f} ms, ratio {ratio:.2f} (median of {ROUNDS} rounds)")


if __name__ == "__main__":
    main()
