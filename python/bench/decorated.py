"""What a decorated hit of 1 KiB costs beside a `get` of the same key, and a miss with a claim beside one without.

LARDER_URL=http://127.0.0.1:8080 python bench/decorated.py

All are called in turns, in an order drawn anew for each round, so that all see the same machine; a ratio is the median of
the rounds' ratios, a difference that of their differences.
"""

from __future__ import annotations

import os
import random
import statistics
import time
import uuid
import warnings
from collections.abc import Callable
from functools import partial
from typing import Any

import larder

ROUNDS, CALLS, MISSES = 150, 20, 60
SIZE = 1 << 10


@larder.object_service_cache("bench plain")
def plain() -> bytes:
    """A function without arguments."""
    return os.urandom(SIZE)


@larder.object_service_cache("bench arguments")
def arguments(ticker: str, window: int = 20) -> bytes:
    """A function with arguments, which are in the key."""
    return os.urandom(SIZE)


@larder.object_service_cache("bench settings", settings=True)
def settings(ticker: str) -> bytes:
    """A function with the environment's hash in the key."""
    return os.urandom(SIZE)


@larder.object_service_cache(lambda ticker: f"bench named {ticker}")
def named(ticker: str) -> bytes:
    """A function whose key another function makes."""
    return os.urandom(SIZE)


@larder.object_service_cache(lambda name: f"bench miss/{name}")
def claimed(name: str) -> bytes:
    """A function that is built by one process at a time."""
    return os.urandom(SIZE)


@larder.object_service_cache(lambda name: f"bench miss/{name}", single_build=False)
def unclaimed(name: str) -> bytes:
    """The same without a claim."""
    return os.urandom(SIZE)


def seconds(call: Callable[[], object], calls: int) -> float:
    """The time of one call, on average over some."""
    began = time.perf_counter()
    for _ in range(calls):
        call()
    return (time.perf_counter() - began) / calls


def hits(objects: larder.ObjectService) -> None:
    """Compare each decorated function with get."""
    decorated: dict[str, tuple[Any, tuple[str, ...]]] = {
        "no arguments": (plain, ()),
        "arguments": (arguments, ("SAP",)),
        "settings=True": (settings, ("SAP",)),
        "a name function": (named, ("SAP",)),
    }
    calls: dict[tuple[str, bool], Callable[[], object]] = {}
    for name, (function, args) in decorated.items():
        calls[name, True] = partial(function, *args)
        calls[name, False] = partial(objects.get, function.key(*args))
        function(*args)
    order, took = list(calls), []
    for _ in range(ROUNDS):
        random.shuffle(order)
        took.append({which: seconds(calls[which], CALLS) for which in order})
    for name in decorated:
        get, call = (statistics.median(t[name, which] for t in took) for which in (False, True))
        ratio = statistics.median(t[name, True] / t[name, False] for t in took)
        print(f"{name:16} get {get * 1e6:5.0f} µs, call {call * 1e6:5.0f} µs: {ratio:.2f} times")


def misses() -> None:
    """Compare a miss with a claim with one without."""
    took: list[dict[Any, float]] = []
    functions = [claimed, unclaimed]
    for _ in range(MISSES):
        random.shuffle(functions)
        took.append({f: seconds(partial(f, uuid.uuid4().hex), 1) for f in functions})
    with_, without = (statistics.median(t[f] for t in took) * 1e3 for f in (claimed, unclaimed))
    more = statistics.median(t[claimed] - t[unclaimed] for t in took) * 1e3
    print(f"{'a miss':16} {without:.2f} ms, with a claim {with_:.2f} ms: {more:.2f} ms more")


def main() -> None:
    """Measure, and print medians."""
    warnings.simplefilter("ignore", larder.LarderWarning)
    env = larder.init("2022-01-30", client=larder.Client(signing_key=[]), universe="DAX", costs=0.1, tickers=["SAP", "SIE"])
    hits(env.object_service())
    misses()
    env.object_service().remove_by_prefix("bench ", ask=False)


if __name__ == "__main__":
    main()
