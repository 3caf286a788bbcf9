"""The same names where ``sigtech`` alone was replaced in an import: ``import larder.compat.sigtech.framework as sig``."""

from larder.compat.sigtech import Environment, config, de_init, env, init, is_initialised

__all__ = ["Environment", "config", "de_init", "env", "init", "is_initialised"]
