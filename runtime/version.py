"""Drumbeat's version, available in every installation. ``pyproject.toml`` says the same; a test compares them."""

__all__ = ["VERSION"]

VERSION = "0.1.0"
