"""Connections to nodes that are kept alive.

Safe for threads, since a deque's append and pop are atomic, and for forks: a child never uses a connection
of its parent.
"""

from __future__ import annotations

import os
import socket
import ssl
import time
from collections import deque
from random import SystemRandom

from larder.config import Node
from larder.errors import ConfigError
from larder.http1 import Address, Connection, connect

_IDLE = 45.0  # seconds; nodes and load balancers close what is idle for longer
_KEEP = 32  # idle connections to one node
AVOID = 5.0  # seconds for which what could not be reached is passed over


class Pool:
    """Connections, by node."""

    def __init__(self, connect_timeout: float, timeout: float, ca_file: str = "") -> None:
        self._ca_file = ca_file
        self._connect_timeout = connect_timeout
        self._timeout = timeout
        self._tls: ssl.SSLContext | None = None
        self._begin()

    def _begin(self) -> None:
        self._pid = os.getpid()
        self._idle: dict[Node, deque[Connection]] = {}
        self._down: dict[Address, float] = {}  # until when an address is passed over
        self._seed = SystemRandom().random()

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
        return Connection(node, self._connect(node))

    def _connect(self, node: Node) -> socket.socket:
        """Connect to the first address of a node's name that takes it; one that did not is asked last for a while."""
        if node.scheme == "https" and self._tls is None:
            self._tls = _trusting(self._ca_file)
        tls = self._tls if node.scheme == "https" else None
        failure: OSError = OSError(f"{node.host} has no address")
        for address in self._addresses(node):
            try:
                sock = connect(node, address, tls, self._connect_timeout, self._timeout)
            except OSError as error:
                if isinstance(error, ssl.SSLError) and (refusal := _no_tls(node, error)):
                    raise refusal from None
                self._down[address] = time.monotonic() + AVOID
                failure = error.with_traceback(None)
            else:
                self._down.pop(address, None)
                return sock
        raise failure

    def _addresses(self, node: Node) -> list[Address]:
        """The addresses of a node, in an order of this pool's own within each family."""
        try:
            found: list[Address] = list(dict.fromkeys(socket.getaddrinfo(node.host, node.port, type=socket.SOCK_STREAM)))
        except UnicodeError as error:
            raise OSError(f"{node.host} is not the name of a host: {error}") from None
        families = [address[0] for address in found]
        now = time.monotonic()

        def rank(address: Address) -> tuple[bool, int, int]:
            return self._down.get(address, 0.0) > now, families.index(address[0]), hash((self._seed, address))

        return sorted(found, key=rank)

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


def _trusting(ca_file: str) -> ssl.SSLContext:
    """What trusts the authorities in a file, or the system's. Raises ConfigError."""
    try:
        return ssl.create_default_context(cafile=ca_file or None)
    except (OSError, ssl.SSLError) as error:
        raise ConfigError(f"LARDER_CA_FILE {ca_file} holds no certificates in PEM: {error}") from None


def _no_tls(node: Node, error: ssl.SSLError) -> ConfigError | None:
    """What is refused at once, since trying again would not help."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return ConfigError(
            f"the certificate of {node} is not trusted ({error.verify_message}): set LARDER_CA_FILE to the file with your organisation's "
            "authority, or correct the host in LARDER_URL"
        )
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST"):
        return ConfigError(f"{node} does not speak TLS ({error.reason}): is https right in LARDER_URL?")
    return None
