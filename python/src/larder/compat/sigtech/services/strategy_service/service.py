"""The decorators under their import path of ``sigtech.framework``."""

from larder.decorators import object_service_cache, strategy_service_cache

__all__ = ["object_service_cache", "strategy_service_cache"]
