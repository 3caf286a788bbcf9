"""The names of ``sigtech.framework`` that its strategy and object services need: ``import larder.compat.sigtech as sig``."""

from larder.compat.sigtech import config
from larder.compat.sigtech.session import Environment, init
from larder.environment import de_init, env, is_initialised

__all__ = ["Environment", "config", "de_init", "env", "init", "is_initialised"]
