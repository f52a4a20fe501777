"""What docs/operations.md lists is what the daemon has."""

from __future__ import annotations

import re
import urllib.request

from hookd_daemon.config import Settings

from tests.e2e.docs.pages import ROOT
from tests.support.api import Api
from tests.support.daemon import Daemon

PAGE = ROOT / "docs" / "operations.md"


def _section(title: str) -> str:
    _, _, rest = PAGE.read_text().partition(f"\n## {title}\n")
    assert rest, f"the page has no section {title}"
    return rest.partition("\n## ")[0]


def test_every_setting_is_listed_with_its_variable_and_default() -> None:
    section = _section("Starting")
    rows = {
        flag: line
        for line in section.splitlines()
        if line.startswith("| `--")
        for flag in re.findall(r"`--([a-z-]+)`", line.split("|")[1])
    }
    fields = {name.replace("_", "-"): info for name, info in Settings.model_fields.items()}
    del fields["projects"]
    assert rows.keys() == fields.keys() | {"config"}
    for flag, info in fields.items():
        assert f"`HOOKD_{flag.upper().replace('-', '_')}`" in rows[flag]
        if info.default_factory is None and info.default is not None:
            default = info.default
            text = f"{default:g}" if isinstance(default, float) else str(default).lower()
            assert text in rows[flag].split("|")[3].lower(), rows[flag]


def test_every_metric_is_listed(shared_daemon: Daemon, api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "a-token")
    with urllib.request.urlopen(f"http://{shared_daemon.http}/metrics") as response:
        text = response.read().decode()
    served = set(re.findall(r"^# TYPE (hookd_\w+) ", text, re.MULTILINE))
    listed = set(re.findall(r"`(hookd_\w+)`", _section("Metrics"))) - {"hookd_project"}
    assert listed == served
    causes = set(re.findall(r'^hookd_releases_total\{cause="(\w+)"\}', text, re.MULTILINE))
    for cause in causes:
        assert cause in _section("Metrics")


#: What Prometheus makes of a histogram.
PARTS = re.compile("_(bucket|count|sum)$")


def test_every_metric_that_the_page_names_is_there(shared_daemon: Daemon) -> None:
    with urllib.request.urlopen(f"http://{shared_daemon.http}/metrics") as response:
        text = response.read().decode()
    served = set(re.findall(r"^# TYPE (hookd_\w+) ", text, re.MULTILINE)) | {"hookd_project"}
    for name in re.findall(r"`(hookd_\w+)`", PAGE.read_text()):
        assert name in served or PARTS.sub("", name) in served, name
    assert len(re.findall(r"`hookd_\w+`", _section("What to alert on"))) > 10
