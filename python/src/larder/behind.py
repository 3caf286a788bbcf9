"""Rebuilding behind a value that is too old and returned all the same: nobody waits for it, not even the end of the program."""

from __future__ import annotations

import logging
import os
import threading
from collections import deque
from collections.abc import Callable

_THREADS = 4
_WAITING = 100  # rebuilds that wait for a thread; what is more is left to later calls

_log = logging.getLogger("larder")


class _Workers:
    """Daemon threads, which end when nothing is to be done, or with the interpreter. The child of a fork has its own."""

    def __init__(self) -> None:
        self.begin()

    def begin(self) -> None:
        """Begin without threads: in a forked process there are none, and nobody may hold the parent's lock."""
        # Nobody waits here while he holds the lock: gevent may have made threads greenlets since, and it would stop them all.
        self._lock = threading.Lock()
        self._tasks: deque[Callable[[], None]] = deque()  # guarded by the lock, as is
        self._threads = 0

    def start(self, task: Callable[[], None]) -> bool:
        with self._lock:
            if len(self._tasks) >= _WAITING:
                return False
            self._tasks.append(task)
            if self._threads == _THREADS:
                return True
            self._threads += 1
        try:
            threading.Thread(target=self._work, name="larder rebuild", daemon=True).start()
        except RuntimeError:  # the interpreter ends
            with self._lock:
                self._threads -= 1
                if task in self._tasks:  # else another thread has it
                    self._tasks.remove(task)
                    return False
        return True

    def _work(self) -> None:
        while (task := self._next()) is not None:
            task()
            del task  # with the arguments of the call

    def _next(self) -> Callable[[], None] | None:
        """The next task; without one, the thread ends."""
        with self._lock:
            if self._tasks:
                return self._tasks.popleft()
            self._threads -= 1
            return None


_workers = _Workers()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_workers.begin)


def start(task: Callable[[], None]) -> bool:
    """Run a task that raises nothing in a thread. Reports whether it will run: too many may be waiting, or the interpreter ends."""
    return _workers.start(task)


def note(key: str, error: BaseException) -> None:
    """Log why a value was not rebuilt, which nobody who called can be told."""
    _log.warning("%r was not rebuilt, and stays what it is: %s: %s", key, type(error).__name__, error)
