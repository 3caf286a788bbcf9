"""Many keys at once: requests side by side, on connections of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from larder.errors import LarderError
from larder.listing import human_size

K = TypeVar("K")
T = TypeVar("T")

READS, WRITES = 8, 16  # requests at once; a write waits for the store, a small read takes mostly the processor
_NAMED = 5  # failures that a message names


class PartialError(LarderError):
    """Some of many keys failed. ``failed`` has their errors by key, ``done`` what the others gave."""

    def __init__(self, what: str, done: dict[str, Any], failed: dict[str, LarderError]) -> None:
        named = "; ".join(f"{key!r}: {error}" for key, error in list(failed.items())[:_NAMED])
        more = f"; and {len(failed) - _NAMED} more" if len(failed) > _NAMED else ""
        super().__init__(f"{what}: {len(failed)} of {len(done) + len(failed)} keys failed: {named}{more}")
        self.done = done
        self.failed = failed

    def __reduce__(self) -> Any:
        return _partial_error, (str(self), self.done, self.failed)


def _partial_error(text: str, done: dict[str, Any], failed: dict[str, LarderError]) -> PartialError:
    error = PartialError("", done, failed)
    error.args = (text,)
    return error


@dataclass(frozen=True)
class Removed:
    """What was removed, or with ``dry_run`` would be: how many keys, and how many bytes they had."""

    count: int
    bytes: int
    keys: tuple[str, ...]
    dry_run: bool = False

    def __str__(self) -> str:
        return f"{self.count} key{'s' * (self.count != 1)}, {human_size(self.bytes)}" + (
            " would be removed" if self.dry_run else " removed"
        )


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

    for key, got in _in_threads(one, wanted, at_once):
        if isinstance(got, LarderError):
            failed[key] = got
        else:
            done[key] = got
    if failed:
        raise PartialError(what, done, failed)
    return done


def _in_threads(function: Callable[[K], T], items: list[K], at_once: int) -> Iterable[T]:
    if len(items) < 2:
        return map(function, items)
    with ThreadPoolExecutor(min(at_once, len(items)), "larder") as pool:
        try:
            running = [pool.submit(function, item) for item in items]
        except RuntimeError:  # the interpreter is ending, and starts no threads
            return list(map(function, items))
        return [one.result() for one in running]
