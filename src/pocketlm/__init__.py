"""PocketLM: a reproducible workflow for small on-device language models."""

__version__ = "0.1.0"
