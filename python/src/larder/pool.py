"""Connections to nodes that are kept alive.

Safe for threads, since a deque's append and pop are atomic, and for forks: a child never uses a connection
of its parent.
"""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import time
from collections import deque

from larder.config import Node

_IDLE = 45.0  # seconds; nodes and load balancers close what is idle for longer
_KEEP = 32  # idle connections to one node


class Connection:
    """One connection, and whether it has carried a request before."""

    def __init__(self, node: Node, connect_timeout: float, timeout: float, tls: ssl.SSLContext | None) -> None:
        self.node = node
        self.used = False
        self.idle_since = 0.0
        self._timeout = timeout
        if tls is None:
            self.http = http.client.HTTPConnection(node.host, node.port, timeout=connect_timeout)
        else:
            self.http = http.client.HTTPSConnection(node.host, node.port, timeout=connect_timeout, context=tls)

    @property
    def sock(self) -> socket.socket:
        sock: socket.socket | None = self.http.sock
        if sock is None:
            raise ConnectionError("the connection is closed")
        return sock

    def connect(self) -> None:
        """Connect, and give each later wait the longer timeout."""
        self.http.connect()
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(self._timeout)

    def readable(self, seconds: float) -> bool:
        """Whether something arrives within so many seconds: data, or the end."""
        poll = select.poll()
        poll.register(self.sock, select.POLLIN)
        return bool(poll.poll(seconds * 1000))

    def close(self) -> None:
        self.http.close()

    def __del__(self) -> None:
        self.close()  # as a file does; a client that is dropped keeps no connections


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
            if time.monotonic() - connection.idle_since < _IDLE and not connection.readable(0):
                return connection
            connection.close()
        if node.scheme == "https" and self._tls is None:
            self._tls = ssl.create_default_context()
        connection = Connection(node, self._connect_timeout, self._timeout, self._tls if node.scheme == "https" else None)
        try:
            connection.connect()
        except BaseException:
            connection.close()
            raise
        return connection

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
