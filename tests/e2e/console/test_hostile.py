"""Whatever stands in tokens, ids and payloads is shown, and never does anything."""

from __future__ import annotations

import pytest
from hookd.v1.common_pb2 import Payload
from hookd.v1.hook_service_pb2 import ResumeHookRequest
from hookd.v1.stream_service_pb2 import WriteChunksRequest
from playwright.sync_api import Browser, Page, expect

from tests.e2e.console.conftest import At
from tests.e2e.console.http import ask
from tests.support.api import Api, refusal
from tests.support.daemon import Daemon

SCRIPT = "<script>window.owned=1</script>"
TOKENS = [
    SCRIPT,
    '"><img src=x onerror="window.owned=1">',
    "javascript:window.owned=1",
    "</title></textarea></pre><svg onload=window.owned=1>",
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "line\r\nbreaks\x00and\x1b[31m",
    "\u202egnp.exe\u2066\u200b",
    "../../%2e%2e/?a=b&c=d#e",
    " ",
    "ä" * 256,
]
#: An id has visible ASCII characters only, and these are among them.
RUN_ID = "\"><img/src=x/onerror=window.owned=1>&?#%2F'"


def _play(api: Api, token: str, hook_id: str) -> None:
    """A run whose everything is hostile, and another that loses the token to it."""
    api.claim(RUN_ID, token, hook_id)
    refusal(api.claim, "<loser>", token)
    for data, kind in (
        (SCRIPT.encode(), "text/html"),
        (f'{{"{SCRIPT}": "</pre>{SCRIPT}"}}'.encode(), "application/json"),
        (b"\x00\xff<script>", SCRIPT),
    ):
        request = ResumeHookRequest(
            project=api.project, token=token, payload=Payload(content_type=kind, data=data)
        )
        api.hooks.ResumeHook(request)


def test_every_page_shows_it_and_runs_nothing(
    api: Api, page: Page, at: At, shared_daemon: Daemon
) -> None:
    """The pages that the fixtures watch complain of nothing either: no script was even tried."""
    api.start(RUN_ID, workflow=SCRIPT, attributes={SCRIPT: SCRIPT})
    api.start("<loser>")
    for number, token in enumerate(TOKENS):
        _play(api, token, f"{number}{SCRIPT}")
    api.streams.WriteChunks(
        WriteChunksRequest(
            project=api.project,
            run_id=RUN_ID,
            namespace=SCRIPT,
            chunks=[Payload(content_type="text/html", data=SCRIPT.encode())],
        )
    )
    hooks = [at("/console/hook", run=RUN_ID, hook=f"{i}{SCRIPT}") for i in range(len(TOKENS))]
    for path in (
        at("/"),
        at("/console/conflicts"),
        at("/console/conflicts", q=TOKENS[1]),
        at("/console/runs"),
        at("/console/runs", q=RUN_ID[:9], workflow=SCRIPT, status=SCRIPT, within=SCRIPT),
        at("/console/run", run=RUN_ID),
        at("/console/run", run=RUN_ID, order="oldest"),
        at("/console/run", run="<loser>"),
        at("/console/hooks"),
        at("/console/hooks", q=TOKENS[1]),
        *hooks,
        at("/console/cancel", run=RUN_ID),
        at("/console/dispose", run=RUN_ID, hook=f"0{SCRIPT}"),
        at("/console/resume", run=RUN_ID, hook=f"0{SCRIPT}"),
        at("/console/run", run=f"no{SCRIPT}"),
        f"/?project={SCRIPT}",
        f"/?done={SCRIPT}",
        at("/console/queues"),
    ):
        page.goto(path)
        expect(page.get_by_role("main")).to_be_visible()
        assert page.evaluate("window.owned") is None, path
        assert page.locator("main script, main img, main svg[onload]").count() == 0, path
    page.goto(hooks[5])
    expect(page.get_by_role("heading", level=1)).to_have_text("line\\r\\nbreaks\\0and\\u{1b}[31m")
    page.goto(hooks[6])
    expect(page.get_by_role("heading", level=1)).to_have_text("\\u{202e}gnp.exe\\u{2066}\\u{200b}")


@pytest.mark.parametrize("number", range(len(TOKENS)))
def test_a_hook_is_reached_whatever_its_token(
    api: Api, plain_page: Page, at: At, number: int
) -> None:
    """From the list, to the payload that is delivered to it."""
    api.start(RUN_ID)
    api.claim(RUN_ID, TOKENS[number], "hook")
    plain_page.goto(at("/console/hooks"))
    plain_page.locator("table a.token").click()
    plain_page.get_by_role("link", name="Resume…").click()
    plain_page.get_by_label("Payload").fill("1")
    plain_page.get_by_role("button", name="Deliver").click()
    expect(plain_page.get_by_role("status")).to_have_text("The payload was delivered.")
    assert api.hook(TOKENS[number]).payload_count == 1


def test_live_fragments_are_escaped_as_well(api: Api, page: Page, at: At) -> None:
    """They are put into the page by a script."""
    api.start("run")
    page.goto(at("/console/run", run="run"))
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    api.claim("run", '<img src=x onerror="window.owned=1">', "hook")
    expect(page.locator(".timeline").get_by_text("onerror")).to_be_visible()
    assert page.evaluate("window.owned") is None
    assert page.locator("main img").count() == 0


def test_a_page_may_load_and_ask_nothing_but_its_own(shared_daemon: Daemon) -> None:
    """Every answer of the console says so."""
    paths = ["/", "/console", "/console/runs", "/console/run?run=none"]
    for path in (*paths, "/console/static/console.js"):
        headers = ask(shared_daemon.http, path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "*" not in policy
        assert "frame-ancestors 'none'" in policy
        assert headers["x-content-type-options"] == "nosniff"
        if "static" not in path:
            assert headers["cache-control"] == "no-store"


def test_inline_scripts_would_be_stopped(browser: Browser, origin: str) -> None:
    """The policy is in force, and not only sent: what got in by a mistake would not run."""
    with browser.new_context() as context:
        page = context.new_page()
        page.goto(origin)
        ran = page.evaluate(
            """() => {
                const script = document.createElement("script");
                script.textContent = "window.owned = 1";
                document.body.append(script);
                return window.owned ?? null;
            }"""
        )
        assert ran is None
