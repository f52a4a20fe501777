"""The story that people open the console for: a token is taken, and by whom."""

from __future__ import annotations

from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    ClaimStreamRequest,
    CreateHookRequest,
    CreateHooksRequest,
    HookClaim,
)
from playwright.sync_api import Page, expect

from tests.e2e.console.conftest import At
from tests.support.api import Api, refusal

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
OTHER = "aaaaaaaabbbbbbbbccccccccdddddddd"


def _claim_in_trace(api: Api, run_id: str, token: str, trace: str) -> None:
    request = CreateHookRequest(
        project=api.project, run_id=run_id, hook=HookSpec(hook_id=f"hook-of-{run_id}", token=token)
    )
    traceparent = f"00-{trace}-00f067aa0ba902b7-01"
    api.hooks.CreateHook(request, metadata=(("traceparent", traceparent),))


def test_from_a_conflict_to_both_runs_and_to_the_end(api: Api, page: Page, at: At) -> None:
    """A claim loses while the list is open; the owner is found, resumed, and ends."""
    api.start("checkout-1", workflow="checkout")
    api.start("checkout-2", workflow="checkout")
    _claim_in_trace(api, "checkout-1", "order-42", TRACE)
    page.goto(at("/console/conflicts"))
    expect(page.get_by_text("No conflicts since the daemon started")).to_be_visible()

    refusal(_claim_in_trace, api, "checkout-2", "order-42", OTHER)
    row = page.get_by_role("row", name="order-42")
    for shown in ("checkout-1", "checkout-2", "running", OTHER[:12], TRACE[:12]):
        expect(row.get_by_text(shown).first).to_be_visible()

    row.get_by_role("link", name="checkout-2").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("checkout-2")
    conflict = page.locator(".hook_conflict")
    expect(conflict).to_contain_text("order-42")
    conflict.get_by_role("link", name="checkout-1").click()

    expect(page.get_by_role("heading", level=1)).to_have_text("checkout-1")
    page.get_by_label("Hooks").get_by_role("link", name="order-42").click()
    page.get_by_role("link", name="Resume…").click()
    page.get_by_label("Payload").fill('{"status": "paid"}')
    page.get_by_role("button", name="Deliver the payload").click()
    expect(page.get_by_role("status")).to_have_text("The payload was delivered.")
    assert api.payloads("checkout-1", "hook-of-checkout-1", 1) == ['{"status": "paid"}']

    page.goto(at("/console/conflicts"))
    api.complete("checkout-1")
    expect(row.get_by_text("completed", exact=True)).to_be_visible()
    expect(row.get_by_text("running then")).to_be_visible()


def test_a_start_that_lost_was_never_started(api: Api, page: Page, at: At) -> None:
    """Its id leads nowhere."""
    api.start("owner", claims=[HookSpec(token="one")])
    refusal(api.start, "never", claims=[HookSpec(token="one")])
    page.goto(at("/console/conflicts"))
    row = page.get_by_role("row", name="one")
    expect(row.get_by_text("never started")).to_be_visible()
    expect(row.get_by_role("link", name="never")).to_have_count(0)


def test_the_conflicts_of_batches_are_there_with_those_that_lost(
    api: Api, page: Page, at: At
) -> None:
    """Of both kinds of batches, whose answers are bytes when they are noted."""
    api.start("owner", claims=[HookSpec(token=f"taken-{i}") for i in range(3)])
    api.start("loser")
    hooks = [
        HookClaim(run_id="loser", hook=HookSpec(hook_id=f"a{i}", token=token))
        for i, token in enumerate(["free", "taken-0", "taken-1"])
    ]
    api.hooks.CreateHooks(CreateHooksRequest(project=api.project, hooks=hooks))
    streamed = HookClaim(run_id="loser", hook=HookSpec(hook_id="b", token="taken-2"))
    list(api.hooks.ClaimStream(iter([ClaimStreamRequest(project=api.project, hooks=[streamed])])))
    page.goto(at("/console/conflicts"))
    for token in ("taken-0", "taken-1", "taken-2"):
        row = page.get_by_role("row", name=token)
        expect(row.get_by_role("link", name="loser")).to_be_visible()
        expect(row.get_by_role("link", name="owner")).to_be_visible()
    expect(page.get_by_text("3 conflicts")).to_be_visible()


def test_the_list_is_filtered_by_a_text_in_the_token(api: Api, page: Page, at: At) -> None:
    """Also those that come while it is open; another project has its own list."""
    api.start("owner", claims=[HookSpec(token=token) for token in ("red apple", "green pear")])
    api.start("loser")
    refusal(api.claim, "loser", "red apple")
    page.goto(at("/console/conflicts"))
    page.get_by_label("Token or run").fill("pear")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No conflict fits")).to_be_visible()
    refusal(api.claim, "loser", "green pear")
    expect(page.get_by_role("row", name="green pear")).to_be_visible()
    expect(page.get_by_role("row", name="red apple")).to_have_count(0)
    page.goto(f"/console/conflicts?project={api.project}-other")
    expect(page.get_by_text("No conflicts since the daemon started")).to_be_visible()
