"""The services of ``sigtech.framework``."""
