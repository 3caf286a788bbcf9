"""Rebuilding behind a value that is too old and returned all the same: nobody waits for it, not even the end of the program."""

from __future__ import annotations

import logging
import os
import queue
import threading
from collections.abc import Callable

_THREADS = 4
_WAITING = 100  # rebuilds that wait for a thread; what is more is left to later calls

_log = logging.getLogger("larder")


class _Workers:
    """Daemon threads, which end with the interpreter. The child of a fork has its own."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without threads: in a forked process there are none, and nobody may hold the parent's lock."""
        self._tasks: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._threads = self._idle = 0  # guarded by the lock

    def start(self, task: Callable[[], None]) -> bool:
        with self._lock:
            if self._tasks.qsize() >= _WAITING:
                return False
            if self._threads < _THREADS and self._tasks.qsize() >= self._idle:
                try:
                    threading.Thread(target=self._work, name="larder rebuild", daemon=True).start()
                except RuntimeError:  # the interpreter ends
                    return False
                self._threads += 1
                self._idle += 1
            self._tasks.put(task)
        return True

    def _work(self) -> None:
        while True:
            task = self._tasks.get()
            with self._lock:
                self._idle -= 1
            task()
            del task  # with the arguments of the call
            with self._lock:
                self._idle += 1


_workers = _Workers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.begin)


def start(task: Callable[[], None]) -> bool:
    """Run a task that raises nothing in a thread. Reports whether it will run: too many may be waiting, or the interpreter ends."""
    return _workers.start(task)


def note(key: str, error: BaseException) -> None:
    """Log why a value was not rebuilt, which nobody who called can be told."""
    _log.warning("%r was not rebuilt, and stays what it is: %s: %s", key, type(error).__name__, error)
