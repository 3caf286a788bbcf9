"""The strategy service of ``sigtech.framework``."""
