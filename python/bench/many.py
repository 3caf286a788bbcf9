"""What `get_many` and `put_many` cost beside loops of `get` and `put`, and beside joblib on a local disk.

LARDER_URL=http://127.0.0.1:8080 python bench/many.py

All are called in turns, in an order drawn anew for each round, so that all see the same machine; a ratio is the median of
the rounds' ratios. The processor's time is this process's own.
"""

from __future__ import annotations

import os
import random
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable

import joblib

import larder

ROUNDS = 15
MANY, SIZE, SMALL = 500, 20 << 10, 100


def seconds(call: Callable[[], object]) -> tuple[float, float]:
    """The time of one call, and the processor's time in it."""
    began, used = time.perf_counter(), time.process_time()
    call()
    return time.perf_counter() - began, time.process_time() - used


def contenders(objects: larder.ObjectService, folder: str) -> dict[str, Callable[[], object]]:
    """What is measured. What is read is kept until all of it is there."""
    large = {f"bench many/{i}": os.urandom(SIZE) for i in range(MANY)}
    small = {f"bench small/{i}": {"number": i} for i in range(SMALL)}
    objects.put_many({**large, **small})
    assert objects.get_many(large) == large
    files = {key: os.path.join(folder, str(i)) for i, key in enumerate(large)}
    for key, path in files.items():
        joblib.dump(large[key], path)

    def put_each() -> None:
        for key, value in small.items():
            objects.put(key, value)

    return {
        f"{MANY} gets of {SIZE >> 10} KiB": lambda: {key: objects.get(key) for key in large},
        "get_many": lambda: objects.get_many(large),
        "joblib.load": lambda: {key: joblib.load(path) for key, path in files.items()},
        f"{SMALL} small puts": put_each,
        "put_many": lambda: objects.put_many(small),
        f"{SMALL} small gets": lambda: {key: objects.get(key) for key in small},
        "get_many of these": lambda: objects.get_many(small),
    }


def main() -> None:
    """Measure, and print medians."""
    warnings.simplefilter("ignore", larder.LarderWarning)
    objects = larder.ObjectService(larder.Client(signing_key=[]))
    with tempfile.TemporaryDirectory() as folder:
        calls = contenders(objects, folder)
        order, rounds = list(calls), []
        for _ in range(ROUNDS):
            random.shuffle(order)
            took = {name: seconds(calls[name]) for name in order}
            rounds.append([took[name] for name in calls])
    for i, name in enumerate(calls):
        wall, used = (statistics.median(r[i][n] for r in rounds) * 1e3 for n in (0, 1))
        print(f"{name:22} {wall:7.1f} ms, {used:6.1f} ms of the processor")
    loops = ((1, 0), (1, 2), (4, 3), (6, 5))
    names = list(calls)
    for i, base in loops:
        wall, used = (statistics.median(r[i][n] / r[base][n] for r in rounds) for n in (0, 1))
        print(f"{names[i]} / {names[base]}: {wall:.2f} times, {used:.2f} of the processor")
    objects.remove_by_prefix("bench ", ask=False)


if __name__ == "__main__":
    main()
