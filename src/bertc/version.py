"""The version of the package: here for code, in ``pyproject.toml`` read from here."""

__version__ = "0.1.0"
