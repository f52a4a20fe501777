"""For tests of programs that use hookd: a daemon inside the test's own process.

``LocalDaemon`` is a whole daemon, with a clock that can be moved on. pytest has
it as the fixture ``hookd``; see ``hookd_daemon.pytest_plugin``.
"""

from hookd_daemon.testing.local import LocalDaemon

__all__ = ["LocalDaemon"]
