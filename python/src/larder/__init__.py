"""Larder: what your organisation has already built, in milliseconds.

>>> import larder
>>> env = larder.init(env_date="2022-01-30")
>>> env.strategy_service().cache_strategy(strategies)
>>> env.object_service().put("DAX 20220104", universe)

The tutorial is docs/tutorial.md, the reference docs/python.md.
"""

from larder.attempts import progress
from larder.building import Build, Builds, builds
from larder.client import Client
from larder.decorated import Cached, CachedCoroutine
from larder.decorators import object_service_cache, strategy_service_cache
from larder.environment import Environment, de_init, env, init, is_initialised, use
from larder.errors import (
    ArgumentError,
    AuthError,
    BadRequest,
    BuildFailed,
    ConfigError,
    Conflict,
    DecodeError,
    EncodeError,
    IntegrityError,
    LarderError,
    LarderWarning,
    NotAFrame,
    NotBuilt,
    NotFound,
    NotInitialised,
    OutcomeUnknown,
    ServerError,
    SettingError,
    TooLarge,
    Unavailable,
    VersionMismatch,
)
from larder.listing import Entry, Info, Keys
from larder.many import PartialError
from larder.objects import ObjectService
from larder.removal import Removed
from larder.savings import usage
from larder.strategies import StrategyService
from larder.used import Usage

__version__ = "0.1.0"

__all__ = [
    "ArgumentError",
    "AuthError",
    "BadRequest",
    "Build",
    "BuildFailed",
    "Builds",
    "Cached",
    "CachedCoroutine",
    "Client",
    "ConfigError",
    "Conflict",
    "DecodeError",
    "EncodeError",
    "Entry",
    "Environment",
    "Info",
    "IntegrityError",
    "Keys",
    "LarderError",
    "LarderWarning",
    "NotAFrame",
    "NotBuilt",
    "NotFound",
    "NotInitialised",
    "ObjectService",
    "OutcomeUnknown",
    "PartialError",
    "Removed",
    "ServerError",
    "SettingError",
    "StrategyService",
    "TooLarge",
    "Unavailable",
    "Usage",
    "VersionMismatch",
    "builds",
    "de_init",
    "env",
    "init",
    "is_initialised",
    "object_service_cache",
    "progress",
    "strategy_service_cache",
    "usage",
    "use",
]


def __dir__() -> list[str]:
    """What completion offers: not the modules inside."""
    return [*__all__, "__version__"]
