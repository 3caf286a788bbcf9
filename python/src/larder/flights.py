"""One builder at a time for each key, within this process."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Flights:
    """Locks by key, which last as long as somebody holds or awaits them.

    A thread may take a key that it has, so a function may call itself. In the child of a fork no key is
    taken, whatever the parent's threads were doing.
    """

    def __init__(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._guard = threading.Lock()  # guards _locks
        self._locks: dict[str, tuple[threading.RLock, int]] = {}  # the lock of a key, and how many want it

    @contextmanager
    def one(self, key: str) -> Iterator[None]:
        """Wait for a key, and have it."""
        if self._pid != os.getpid():
            self._begin()
        guard, locks = self._guard, self._locks
        with guard:
            lock, wanted = locks.get(key) or (threading.RLock(), 0)
            locks[key] = (lock, wanted + 1)
        try:
            with lock:
                yield
        finally:
            with guard:
                lock, wanted = locks[key]
                if wanted == 1:
                    del locks[key]
                else:
                    locks[key] = (lock, wanted - 1)
