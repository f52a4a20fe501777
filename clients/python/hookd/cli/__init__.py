"""The command ``hookctl``."""

from hookd.cli.app import main

__all__ = ["main"]
