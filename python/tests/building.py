"""What tests of builds share."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import larder

LIMIT = 60.0  # seconds


CLIENTS: list[larder.Client] = []


def new_client(url: str, **more: Any) -> larder.Client:
    CLIENTS.append(larder.Client(url, **more))
    return CLIENTS[-1]


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    yield
    while CLIENTS:
        CLIENTS.pop().close()


def wait_until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.02)
