"""Whether this code runs in a worker of a pool.

If all workers of a pool wait for a build that itself needs one of them, none gets on. Nothing tells that from outside,
so a worker does not wait without end.
"""

from __future__ import annotations

import multiprocessing
import sys
import threading

_THREADS = ("ThreadPoolExecutor", "asyncio_", "Dask-")  # what the names of their threads begin with
_RAY_WORKER = 1  # the mode of a process that ray gives tasks to


def is_worker() -> bool:
    """Reports whether this is a thread or process that others give tasks to, as far as that shows."""
    if multiprocessing.parent_process() is not None:  # also of concurrent.futures, joblib's loky, and dask
        return True
    if multiprocessing.current_process().name != "MainProcess":
        return True
    thread, dummy = threading.current_thread(), sys.modules.get("multiprocessing.dummy")
    if thread.name.startswith(_THREADS) or (dummy is not None and isinstance(thread, dummy.DummyProcess)):
        return True
    ray = sys.modules.get("ray")
    worker = getattr(getattr(getattr(ray, "_private", None), "worker", None), "global_worker", None)
    return getattr(worker, "mode", None) == _RAY_WORKER
