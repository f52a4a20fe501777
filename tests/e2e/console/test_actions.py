"""What people can do: each action asks first, and counts only from a page of the console."""

from __future__ import annotations

import json

import pytest
from hookd.v1.common_pb2 import HOOK_STATUS_DISPOSED, RUN_STATUS_CANCELLED, RUN_STATUS_RUNNING
from playwright.sync_api import Page, expect

from tests.e2e.console.conftest import At
from tests.e2e.console.http import ask
from tests.support.api import Api
from tests.support.daemon import Daemon

TOKEN = "order 7/ä\n☃"


def _logged(daemon: Daemon, run_id: str) -> list[dict[str, object]]:
    lines = [json.loads(line) for line in daemon.log.splitlines() if "console action" in line]
    return [line for line in lines if line["run_id"] == run_id]


@pytest.fixture
def hooked(api: Api) -> str:
    """A run with a hook; its id."""
    run_id = f"run-of-{api.project}"
    api.start(run_id)
    api.claim(run_id, TOKEN, "hook")
    return run_id


@pytest.fixture(params=["with scripts", "without scripts"])
def any_page(request: pytest.FixtureRequest) -> Page:
    """A page in a browser with scripts, and in one without."""
    name = "page" if request.param == "with scripts" else "plain_page"
    found: Page = request.getfixturevalue(name)
    return found


def test_cancel_a_run(api: Api, any_page: Page, at: At, hooked: str, shared_daemon: Daemon) -> None:
    """The page before tells which tokens are free then; going back changes nothing."""
    page = any_page
    page.goto(at("/console/run", run=hooked))
    page.get_by_role("link", name="Cancel run…").click()
    expect(page.get_by_role("heading", name="Cancel this run?")).to_be_visible()
    expect(page.get_by_role("listitem").filter(has_text="order 7/ä")).to_be_visible()
    page.get_by_role("link", name="Keep it").click()
    assert api.run(hooked).status == RUN_STATUS_RUNNING
    page.get_by_role("link", name="Cancel run…").click()
    page.get_by_label("Reason").fill("ordered twice")
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("status")).to_contain_text("cancelled")
    run = api.run(hooked)
    assert (run.status, run.cancel_reason) == (RUN_STATUS_CANCELLED, "ordered twice")
    (line,) = _logged(shared_daemon, hooked)
    assert (line["action"], line["project"], line["key"]) == ("cancel run", api.project, None)


def test_dispose_a_hook(
    api: Api, any_page: Page, at: At, hooked: str, shared_daemon: Daemon
) -> None:
    """Its token is free, and in the log is its hash alone."""
    page = any_page
    page.goto(at("/console/hook", run=hooked, hook="hook"))
    page.get_by_role("link", name="Dispose…").click()
    expect(page.get_by_text(hooked)).to_be_visible()
    page.get_by_role("button", name="Dispose the hook").click()
    expect(page.get_by_role("status")).to_contain_text("disposed")
    assert api.hook_by_id(hooked, "hook").status == HOOK_STATUS_DISPOSED
    (line,) = _logged(shared_daemon, hooked)
    assert line["action"] == "dispose hook"
    assert line["token_hash"]
    assert "order 7" not in shared_daemon.log


def test_resume_with_json_and_with_text(
    api: Api, any_page: Page, at: At, hooked: str, shared_daemon: Daemon
) -> None:
    """What is no JSON is said to be none, and stays in the form."""
    page = any_page
    page.goto(at("/console/hook", run=hooked, hook="hook"))
    page.get_by_role("link", name="Resume…").click()
    page.get_by_label("Payload").fill("two\nlines")
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("alert")).to_contain_text("The payload is no JSON")
    page.get_by_label("Content type").select_option("text/plain; charset=utf-8")
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("status")).to_have_text("The payload was delivered.")
    page.get_by_role("link", name="Resume…").click()
    page.get_by_label("Payload").fill('{"status": "bezahlt ✓"}')
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("heading", name="Payload 2")).to_be_visible()
    assert api.payloads(hooked, "hook", 2) == ["two\nlines", '{"status": "bezahlt ✓"}']
    assert [line["action"] for line in _logged(shared_daemon, hooked)] == ["resume hook"] * 2


def test_the_same_form_twice_is_one_delivery(api: Api, page: Page, at: At, hooked: str) -> None:
    """Somebody goes back and sends it again."""
    page.goto(at("/console/resume", run=hooked, hook="hook"))
    page.get_by_label("Payload").fill("1")
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("status")).to_have_text("The payload was delivered.")
    page.go_back()
    page.get_by_label("Payload").fill("1")
    payload_id = page.locator("[name=payload_id]").input_value()
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("status")).to_be_visible()
    again = page.get_by_role("status").inner_text()
    count = api.hook_by_id(hooked, "hook").payload_count
    # A browser that asked for the form anew has another id in it.
    assert (count, "before" in again) in {(1, True), (2, False)}, payload_id


def test_a_token_that_nobody_has_is_told_in_the_form(page: Page, at: At) -> None:
    """And what was typed in is still there."""
    page.goto(at("/console/resume"))
    page.get_by_label("Token").fill("nobody")
    page.get_by_label("Payload").fill("[1]")
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("alert")).to_contain_text('no active hook has the token "nobody"')
    expect(page.get_by_label("Payload")).to_have_value("[1]")


def test_what_ended_meanwhile_is_told(api: Api, page: Page, at: At, hooked: str) -> None:
    """The page to confirm was open when the run ended."""
    page.goto(at("/console/cancel", run=hooked))
    api.complete(hooked)
    page.get_by_role("button", name="Cancel the run").click()
    expect(page.get_by_role("heading", name="Too late")).to_be_visible()
    expect(page.get_by_text("it is completed")).to_be_visible()


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/console/cancel?project={p}&run={r}", {"reason": "x"}),
        ("/console/dispose?project={p}&run={r}&hook=hook", {}),
        ("/console/resume?project={p}&run={r}&hook=hook", {"payload": "1"}),
    ],
)
def test_forms_of_others_are_refused(
    api: Api, hooked: str, shared_daemon: Daemon, path: str, form: dict[str, str]
) -> None:
    """Without the token of the form, with that of another browser, or from another site."""
    address, path = shared_daemon.http, path.format(p=api.project, r=hooked)
    mine, theirs = ask(address, "/console/resume"), ask(address, "/console/resume")
    assert mine.form_token != theirs.form_token
    right = {**form, "form_token": mine.form_token}
    for sent, cookie, headers in (
        (form, mine.cookie, {}),
        ({**form, "form_token": theirs.form_token}, mine.cookie, {}),
        (right, "", {}),
        (right, mine.cookie, {"origin": "http://evil.example"}),
        (right, mine.cookie, {"host": "evil.example"}),
        (right, mine.cookie, {"sec-fetch-site": "cross-site"}),
    ):
        assert ask(address, path, sent, cookie=cookie, headers=headers).status == 403
    assert api.run(hooked).status == RUN_STATUS_RUNNING
    assert api.hook(TOKEN).payload_count == 0
    # What was refused was refused for that alone.
    done = ask(address, path, right, cookie=mine.cookie)
    assert done.status == 303


def test_a_form_that_is_too_large_is_refused(shared_daemon: Daemon, at: At) -> None:
    """Before it is kept whole."""
    mine = ask(shared_daemon.http, "/console/resume")
    form = {"form_token": mine.form_token, "token": "x", "payload": "%" * (5 * 1024 * 1024)}
    assert ask(shared_daemon.http, at("/console/resume"), form, cookie=mine.cookie).status == 413


def test_nothing_is_done_by_looking(api: Api, hooked: str, shared_daemon: Daemon) -> None:
    """A link cannot act."""
    for path in ("cancel", "dispose", "resume"):
        query = f"project={api.project}&run={hooked}&hook=hook&payload=1&reason=x"
        assert ask(shared_daemon.http, f"/console/{path}?{query}").status == 200
    assert ask(shared_daemon.http, "/console/sign-out").status == 303
    assert api.run(hooked).status == RUN_STATUS_RUNNING
    assert api.hook(TOKEN).payload_count == 0
