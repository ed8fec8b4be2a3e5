"""The version of this distribution, and of the three that are released with it."""

__all__ = ["__version__"]

__version__ = "0.1.0"
