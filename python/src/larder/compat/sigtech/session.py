"""The session as the SigTech framework has it.

There, a setting that is made by hand after ``init`` is no part of what a strategy is found by: a second session
that does not make it again finds what the first stored. So the hash here covers the settings given to ``init``
alone. The others are stated in the metadata of what is stored, as all settings are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from larder.client import Client
from larder.environment import EnvDate, begin
from larder.environment import Environment as _Environment
from larder.errors import short_traceback


class Environment(_Environment):
    """An environment whose hash covers the settings that it was made with, not those made by hand."""

    def __init__(self, env_date: EnvDate, client: Client, settings: dict[str, Any]) -> None:
        super().__init__(env_date, client, settings)
        self._given = dict(settings)

    def hashed(self) -> Mapping[str, Any]:
        """The settings that the hash is of."""
        return self._given

    def changes(self) -> int:
        """None: settings made by hand are not among those."""
        return 0


@short_traceback
def init(env_date: EnvDate, *, client: Client | None = None, **settings: Any) -> Environment:
    """Begin a session; see ``larder.init``. Settings made by hand afterwards do not change the hash."""
    return begin(Environment, env_date, client, settings)
