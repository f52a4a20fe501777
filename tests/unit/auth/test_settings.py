"""When keys are required whatever the file of the keys says."""

from __future__ import annotations

import pytest
from hookd_daemon.config import Settings


@pytest.mark.parametrize(
    ("settings", "required"),
    [
        ({}, False),
        ({"listen": "[::1]:0", "http": ""}, False),
        ({"require_keys": True}, True),
        ({"listen": "0.0.0.0:0"}, True),
        ({"http": "10.0.0.1:0"}, True),
        ({"listen": "0.0.0.0:0", "insecure": True}, False),
        ({"listen": "0.0.0.0:0", "insecure": True, "require_keys": True}, True),
    ],
)
def test_where_other_machines_reach_it(settings: dict[str, object], required: bool) -> None:
    assert Settings.model_validate(settings).keys_required is required
