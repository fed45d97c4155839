"""The version, apart from the package's `__init__`, so that every module may read it."""

__version__ = "0.1.0"
