"""What pytest finds where hookd-daemon is installed: the fixture ``hookd``.

Nothing of the daemon is loaded before a test asks for it.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from hookd_daemon.testing import LocalDaemon


def _async_fixture() -> Any:
    try:
        import pytest_asyncio  # noqa: PLC0415 - it need not be there
    except ImportError:
        return pytest.fixture  # which anyio runs
    return pytest_asyncio.fixture


@pytest.fixture
def hookd_settings() -> dict[str, Any]:
    """The settings of the daemon of ``hookd``; override it to choose some."""
    return {}


async def _hookd(hookd_settings: dict[str, Any]) -> AsyncIterator[LocalDaemon]:
    """A daemon inside this process, for one test."""
    from hookd_daemon.testing import LocalDaemon  # noqa: PLC0415 - see above

    async with LocalDaemon(**hookd_settings) as daemon:
        yield daemon


hookd = _async_fixture()(_hookd)
