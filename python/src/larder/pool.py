"""Connections to nodes that are kept alive.

Safe for threads, since a deque's append and pop are atomic, and for forks: a child never uses a connection
of its parent.
"""

from __future__ import annotations

import os
import ssl
import time
from collections import deque

from larder.config import Node
from larder.http1 import Connection, connect

_IDLE = 45.0  # seconds; nodes and load balancers close what is idle for longer
_KEEP = 32  # idle connections to one node


class Pool:
    """Connections, by node."""

    def __init__(self, connect_timeout: float, timeout: float) -> None:
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: dict[Node, deque[Connection]] = {}

    def _of(self, node: Node) -> deque[Connection]:
        if self._pid != os.getpid():
            self._begin()  # what the parent had open stays the parent's
        return self._idle.setdefault(node, deque())

    def take(self, node: Node) -> Connection:
        """An idle connection, or a new one. Raises OSError."""
        idle = self._of(node)
        while True:
            try:
                connection = idle.pop()
            except IndexError:
                break
            if time.monotonic() - connection.idle_since < _IDLE and connection.silent():
                return connection
            connection.close()
        if node.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        tls = self._tls if node.scheme == "https" else None
        return Connection(node, connect(node, tls, self._connect_timeout, self._timeout))

    def give(self, connection: Connection) -> None:
        """Keep a connection whose answer was read to its end."""
        idle = self._of(connection.node)
        connection.used = True
        connection.idle_since = time.monotonic()
        idle.append(connection)
        if len(idle) > _KEEP:
            try:
                idle.popleft().close()
            except IndexError:
                return

    def close(self) -> None:
        """Close what is idle."""
        for idle in list(self._idle.values()):
            while idle:
                try:
                    idle.pop().close()
                except IndexError:
                    break
