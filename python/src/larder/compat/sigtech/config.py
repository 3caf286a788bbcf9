"""What ``sig.config`` has: whether there is a session, and a constant for the name of each setting."""

from larder.environment import is_initialised

DEFAULT_RS_START_DATE = "default_rs_start_date"

__all__ = ["DEFAULT_RS_START_DATE", "is_initialised"]


def __getattr__(name: str) -> str:
    """Any other constant, too, is the name of a setting."""
    if name.isupper() and not name.startswith("_"):
        return name.lower()
    raise AttributeError(f"{__name__} has no {name!r}: it has is_initialised, and constants such as DEFAULT_RS_START_DATE")
