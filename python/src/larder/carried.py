"""The environment that a function of a notebook takes along to other processes."""

from __future__ import annotations

import functools
import pickle

from larder.client import Client
from larder.environment import Environment


def pack(environment: Environment) -> bytes:
    """An environment for another process: without secrets, which the client there takes from its variables.

    Empty for one that cannot travel.
    """
    try:
        client = pickle.dumps(environment.client)
    except Exception:  # it was given its secrets as arguments
        client = b""
    try:
        return pickle.dumps((type(environment), environment.env_date, dict(environment.hashed()), dict(environment), client))
    except Exception:  # a setting is of a class that pickle refuses
        return b""


def doubt(title: str, environment: Environment) -> str:
    """What somebody is told whose process has had several environments, of which another may be meant."""
    return (
        f"{title} goes to a worker with the environment of {environment.env_date}, and this process has had others: it is pickled in "
        "another thread than it was submitted in, maybe after larder.init was called again, and what a thread, a task or larder.use "
        "has for itself is not seen there. If several are in use at once, give each call its date, and call larder.init in the worker"
    )


@functools.lru_cache(maxsize=16)  # so that the tasks of a process share connections
def unpack(packed: bytes) -> Environment:
    """What was packed in another process."""
    kind, env_date, hashed, settings, client = pickle.loads(packed)
    environment: Environment = kind(env_date, pickle.loads(client) if client else Client(), hashed)
    environment.update(settings)
    return environment
