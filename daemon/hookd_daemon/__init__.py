"""The daemon of hookd."""

from importlib.metadata import version

__version__ = version("hookd-daemon")
