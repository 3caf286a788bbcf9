"""Many keys at once: in batches, and requests side by side on connections of their own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, TypeVar

from larder import batch
from larder.batch import Settled
from larder.client import Client
from larder.errors import BadRequest, LarderError, NotFound
from larder.listing import Info
from larder.raw import Put, check_key

T = TypeVar("T")

READS, WRITES = 8, 16  # requests at once; a write waits for the store, a small read takes mostly the processor
_ALONE = 64 << 10  # bytes; what is longer goes by a request of its own, and is held by no node until it is whole
_GETS = 500  # keys of a batch; a node has some of them at hand before they are sent
_PUTS, _BODY = 50, 960 << 10  # objects, and bytes, of a batch of puts; nginx takes 1 MiB unless told otherwise
_NAMED = 5  # failures that a message names


class PartialError(LarderError):
    """Some of many keys failed. ``failed`` has their errors by key, ``done`` what the others gave."""

    def __init__(self, what: str, done: dict[str, Any], failed: dict[str, LarderError], others: int = 0) -> None:
        named = "; ".join(f"{key!r}: {error}" for key, error in list(failed.items())[:_NAMED])
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        super().__init__(f"{what}: {len(failed)} of {len(done) + others + len(failed)} keys failed: {named}{more}")
        self.done = done
        self.failed = failed

    def __reduce__(self) -> Any:
        return _partial_error, (str(self), self.done, self.failed)


def _partial_error(text: str, done: dict[str, Any], failed: dict[str, LarderError]) -> PartialError:
    error = PartialError("", done, failed)
    error.args = (text,)
    return error


def each(what: str, function: Callable[[str], T], keys: Iterable[str], at_once: int) -> dict[str, T]:
    """Call a function for each key, several at once. Raises PartialError when all are done, if some failed."""
    wanted = list(dict.fromkeys(keys))
    done: dict[str, T] = {}
    failed: dict[str, LarderError] = {}

    def one(key: str) -> tuple[str, T | LarderError]:
        try:
            return key, function(key)
        except LarderError as error:
            return key, error

    for key, got in in_threads((partial(one, key) for key in wanted), at_once):
        if isinstance(got, LarderError):
            failed[key] = got
        else:
            done[key] = got
    if failed:
        raise PartialError(what, done, failed)
    return done


def in_threads(tasks: Iterable[Callable[[], T]], at_once: int) -> Iterator[T]:
    """What tasks return, in their order. Not more of them are made than run at once."""
    slots = threading.Semaphore(at_once)
    pool = ThreadPoolExecutor(at_once, "larder")
    running: list[Future[T]] = []

    def run(task: Callable[[], T]) -> T:
        try:
            return task()
        finally:
            slots.release()

    try:
        for task in tasks:
            slots.acquire()
            try:
                running.append(pool.submit(run, task))
            except (RuntimeError, ImportError):  # the interpreter is ending, and starts no threads
                running.append(Future())
                running[-1].set_result(run(task))
        for one in running:
            yield one.result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def get_many(client: Client, service: str, keys: Sequence[str], sizes: Mapping[str, int], max_age: float | None) -> dict[str, Any]:
    """The values of keys, in their order, without those that are not there or too old. ``sizes`` are known ones. Raises PartialError."""
    settled, short = Settled(), list[str]()
    for key in keys:
        try:
            check_key(key)
        except BadRequest as error:
            settled.failed[key] = error
        else:
            short += [key] if sizes.get(key, 0) <= _ALONE else []
    for at in range(0, len(short) if len(short) > 1 else 0, _GETS):
        if not batch.is_off(client):
            settled.add(batch.get(client, service, short[at : at + _GETS], max_age))

    def load(key: str) -> Settled:
        try:
            return Settled({key: client.fetch(service, key, judge=lambda info: check_age(info, max_age), max_age=max_age)[0]})
        except LarderError as error:
            return Settled(failed={key: error})

    for got in in_threads((partial(load, key) for key in keys if key not in settled), READS):
        settled.add(got)
    found = {key: settled.done[key] for key in keys if key in settled.done}
    failed = {key: error for key, error in settled.failed.items() if not isinstance(error, NotFound)}
    if failed:
        raise PartialError("get_many", found, failed)
    return found


def put_many(client: Client, service: str, values: Mapping[str, Any], fields: Mapping[str, str]) -> None:
    """Put values, with more header fields, the short ones in batches. Raises PartialError."""
    settled, left = Settled(), list[Put]()

    def one(put: Put) -> Settled:
        try:
            client.put(put)
        except LarderError as error:
            return Settled(failed={put.key: error})
        return Settled({put.key: None})

    def several(puts: list[Put]) -> Settled:
        got = batch.put(client, service, puts) if len(puts) > 1 else Settled()
        left.extend(put for put in puts if put.key not in got)
        return got

    def tasks() -> Iterator[Callable[[], Settled]]:
        short: list[Put] = []
        for key, value in values.items():
            try:
                put = client.seal(service, key, value, conditions=fields)
            except LarderError as error:
                settled.failed[key] = error
                continue
            if put.size > _ALONE or batch.is_off(client):
                yield partial(one, put)
                continue
            if len(short) == _PUTS or sum(p.size for p in short) + put.size > _BODY:
                yield partial(several, short)
                short = []
            short.append(put)
        yield partial(several, short)

    for got in in_threads(tasks(), WRITES):
        settled.add(got)
    for got in in_threads((partial(one, put) for put in left), WRITES):
        settled.add(got)
    if settled.failed:
        raise PartialError("put_many", settled.done, settled.failed)


def check_age(info: Info, limit: float | None) -> None:
    """Raise NotFound for an object that was written longer ago than so many seconds."""
    if limit is not None and info.age > limit:
        raise NotFound(f"get {info.key!r}: it was written {info.age:.0f} s ago, which is more than max_age={limit:g}", type="too-old")
