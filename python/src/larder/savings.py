"""What the organisation has and saved, asked of the environment that there is."""

from __future__ import annotations

from larder.client import Client
from larder.environment import env, is_initialised
from larder.used import Usage


def usage(client: Client | None = None) -> Usage:
    """What your organisation has in the cache, may have there, and has saved by reading; a table in a notebook.

    It is asked of the current environment's client, of the one that is given, or of one with the settings that
    ``larder.Client()`` finds.
    """
    __tracebackhide__ = True
    if client is not None:
        return client.usage()
    if is_initialised():
        return env().client.usage()
    with Client() as found:
        return found.usage()
