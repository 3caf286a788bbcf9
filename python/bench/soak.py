"""Threads of several processes, most in environments of their own, against a cluster: is every value its key's?

    make cluster                                  # in one terminal
    export LARDER_URL=http://127.0.0.1:8081,http://127.0.0.1:8082,http://127.0.0.1:8083
    python bench/soak.py --seconds 600            # in another, with larder installed

Kill a node with -9 in the middle and start it again: both commands are among those that `make cluster` prints. Each
value says of which name, date and settings it is. Each value that a call returns, and at the end each that is stored,
is compared with its key. Nothing but the function's own errors may come out of a decorated function, and nothing but
NotFound and Unavailable out of a service. Prints what it counted, and exits with 1 after a fault.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import functools
import multiprocessing
import os
import random
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

import larder

DATES = [f"2022-01-{day:02}" for day in range(1, 6)]
COSTS = [0.1, 0.2, 0.3]
SIZES = [10, 1_000, 100_000]  # bytes of padding, with which no two values of a key are equal
NUMBERS = range(10)
PREFIX = "soak"
Returned = tuple[str, str, Any]  # the service, a key of it, and the value that a call returned for that key
EXPECTED = (larder.NotFound, larder.Unavailable)  # others remove what is read; a node is killed


@dataclasses.dataclass
class Value:
    """What is stored: its name, the environment that it was made in, and padding. It is a strategy as well."""

    name: str
    date: str
    costs: float
    padding: bytes

    @classmethod
    def of(cls, name: str) -> Value:
        """A new value of a name, in the current environment."""
        env = larder.env()
        costs = env["costs"]
        time.sleep(random.random() * 0.01)  # in which another thread may change a shared environment, and change it back
        return cls(name, env.env_date, costs, os.urandom(random.choice(SIZES)))

    def key(self, kind: str) -> str:
        """The key that the value belongs to, without a hash for objects whose keys have none."""
        env = larder.Environment(self.date, larder.env().client, {"costs": self.costs})
        if kind == "strategies":
            return env.strategy_service().key_of(self.name)
        return f"{self.name}_{env.asofdate}_{env.env_hash}"


@larder.strategy_service_cache(f"{PREFIX} plain")
def plain() -> Value:
    """A strategy, of a function without arguments."""
    return Value.of(f"{PREFIX} plain")


@larder.strategy_service_cache(f"{PREFIX} scaled")
def scaled(number: int, scale: float = 2.0) -> Value:
    """A strategy, of a function with arguments."""
    return Value.of(f"{PREFIX} scaled(number={number}, scale={scale})")


@larder.object_service_cache(f"{PREFIX} valued", settings=True)
def valued(number: int) -> Value:
    """An object, of a function with arguments."""
    return Value.of(f"{PREFIX} valued(number={number})")


@larder.object_service_cache(lambda number: f"{PREFIX} named {number}", settings=True)
def named(number: int) -> Value:
    """An object with a name of its own."""
    return Value.of(f"{PREFIX} named {number}")


FUNCTIONS: list[tuple[str, Any]] = [("strategies", plain), ("strategies", scaled), ("objects", valued), ("objects", named)]


def decorated() -> Returned:
    """Call a decorated function, now and then whatever is stored. No error of the cache may come out of it."""
    kind, function = random.choice(FUNCTIONS)
    args = () if function is plain else (random.choice(NUMBERS),)
    value = (function.refresh if random.random() < 0.1 else function)(*args)
    return kind, function.key(*args), value


def service_call() -> Returned:
    """Put, get or remove an object or a strategy, or forget what a decorated function has stored."""
    env, number = larder.env(), random.choice(NUMBERS)
    objects, strategies = env.object_service(), env.strategy_service()
    value = Value.of(f"{PREFIX} {number}")
    object_key, strategy_key = value.key("objects"), value.key("strategies")
    calls: list[Callable[[], Any]] = [
        lambda: objects.put(object_key, value),
        lambda: ("objects", object_key, objects.get(object_key)),
        lambda: objects.delete(object_key),
        lambda: ("strategies", strategies.cache_strategy(value)[0], value),
        lambda: ("strategies", strategy_key, strategies.get_strategy_by_name(value.name)),
        lambda: strategies.remove_strategy_by_name(value.name),
        lambda: random.choice([scaled, valued, named]).forget(number),
        lambda: plain.forget(),
    ]
    returned = random.choice(calls)()
    return returned if isinstance(returned, tuple) else ("objects", object_key, value)


class Worker:
    """The threads of one process, and what they count."""

    def __init__(self, deadline: float, pause: float) -> None:
        self.deadline, self.pause = deadline, pause
        self.counts: collections.Counter[str] = collections.Counter()

    def thread(self, own: bool) -> None:
        """Change the environment, make a call, look at what it returned, until the deadline.

        Threads without an environment of their own share that of the process, which the others of them change while
        a function runs. What that returns may be of any settings, but must not be stored under the key of others.
        """
        if own:
            larder.init(random.choice(DATES), costs=random.choice(COSTS))
        while time.monotonic() < self.deadline:
            if own and random.random() < 0.5:
                larder.init(random.choice(DATES), costs=random.choice(COSTS))
            else:
                larder.env()["costs"] = random.choice(COSTS)
            call = random.choice([decorated, service_call]) if own else decorated
            try:
                returned = call()
                if own:
                    self.compare(*returned)
                self.counts[call.__name__] += 1
            except Exception as error:
                if call is decorated or not isinstance(error, EXPECTED):
                    self.counts["FAULT an error escaped"] += 1
                    traceback.print_exc()
                self.counts[type(error).__name__] += 1
            time.sleep(random.random() * self.pause)

    def compare(self, kind: str, key: str, value: Value) -> None:
        """Count a value that is of another key as a fault."""
        if value.key(kind) != key:
            self.counts["FAULT a value of another key was returned"] += 1
            print(f"{key}: {value.name} of {value.date}, {value.costs}", file=sys.stderr)


def work(seconds: float, threads: int, pause: float, _: int) -> collections.Counter[str]:
    """Run one process, and return what its threads counted."""
    worker = Worker(time.monotonic() + seconds, pause)
    warnings.simplefilter("always")
    warnings.showwarning = lambda message, *_, **__: worker.counts.update([f"warning: …{str(message)[-60:]}"])
    larder.init(DATES[0], costs=COSTS[0])
    running = [threading.Thread(target=worker.thread, args=(number % 5 > 0,)) for number in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return worker.counts


def stored() -> collections.Counter[str]:
    """Compare everything that is stored with its key, and remove it."""
    counts: collections.Counter[str] = collections.Counter()
    env = larder.init(DATES[0])
    for service, kind in ((env.object_service(), "objects"), (env.strategy_service(), "strategies")):
        keys = list(service)
        for key, value in service.get_many([key for key in keys if key.startswith(PREFIX)]).items():
            counts["stored"] += 1
            if value.key(kind) != key:
                counts["FAULT a value under another's key"] += 1
                print(f"{key} has {value.name} of {value.date}, {value.costs}", file=sys.stderr)
        service.remove_by_prefix(PREFIX, ask=False)
    return counts


def main() -> int:
    """Run the processes, and print what they counted."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--processes", type=int, default=8)
    parser.add_argument("--threads", type=int, default=25)
    parser.add_argument("--pause", type=float, default=0.1, help="the most seconds between two calls of a thread")
    args = parser.parse_args()
    run = functools.partial(work, args.seconds, args.threads, args.pause)
    with ProcessPoolExecutor(args.processes, multiprocessing.get_context("spawn")) as pool:
        counts = sum(pool.map(run, range(args.processes)), collections.Counter[str]())
    counts += stored()
    for name, count in sorted(counts.items()):
        print(f"{count:8}  {name}")
    return int(any(name.startswith("FAULT") for name in counts))


if __name__ == "__main__":
    sys.exit(main())
