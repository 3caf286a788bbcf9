"""What ``sig.config`` has that programs around a strategy service use: names of settings, and the session."""

from larder.environment import is_initialised

DEFAULT_RS_START_DATE = "default_rs_start_date"

__all__ = ["DEFAULT_RS_START_DATE", "is_initialised"]
