"""Runs that workers execute: what they wait for, their steps, their children, the queues."""

from __future__ import annotations

from hookd.v1 import worker_service_pb2 as pb
from hookd.v1.common_pb2 import HookSpec
from playwright.sync_api import Page, expect

from tests.e2e.console.conftest import At
from tests.e2e.work.worker import connected, schedule, start
from tests.support.api import Api, seconds


def test_a_run_that_nobody_serves_says_so(api: Api, page: Page, at: At) -> None:
    """On its page and among the queues, until a worker comes."""
    run_id = start(api, workflow="send_mail")
    page.goto(at("/console/run", run=run_id))
    expect(page.get_by_text("a worker that serves send_mail")).to_be_visible()
    page.goto(at("/console/queues"))
    row = page.get_by_role("row", name="send_mail")
    expect(row.get_by_text("none: nobody serves it")).to_be_visible()
    with connected(api, {"send_mail": "v1"}, steps=[], name="mailer") as worker:
        expect(row.get_by_text("mailer")).to_be_visible()
        turn = worker.turn()
        page.goto(at("/console/run", run=run_id))
        worker.complete_turn(turn, schedule("step-1", "charge_card"))
        expect(page.get_by_text("a worker that serves the step charge_card")).to_be_visible()


def test_steps_are_shown_with_what_became_of_each_attempt(api: Api, page: Page, at: At) -> None:
    """While they are executed."""
    run_id = start(api)
    with connected(api) as worker:
        wait = seconds(0.1)
        command = schedule("step-1", "charge", max_retries=1, initial_interval=wait)
        worker.complete_turn(worker.turn(), command)
        page.goto(at("/console/run", run=run_id))
        steps = page.get_by_label("Steps", exact=True)
        worker.fail_step(worker.step(), "the card was refused")
        expect(steps.get_by_text("attempt 1: Error the card was refused")).to_be_visible()
        worker.complete_step(worker.step(), '"charged"')
        expect(steps.get_by_text("completed")).to_be_visible()
        expect(steps.get_by_text("2 attempts")).to_be_visible()
        expect(page.locator(".step_completed")).to_contain_text("attempt 2")


def test_payloads_wait_until_the_code_has_seen_them(api: Api, page: Page, at: At) -> None:
    """On the page of the hook, and in the list."""
    run_id = start(api, claims=[HookSpec(hook_id="hook", token="paid")])
    api.resume("paid", "1")
    api.resume("paid", "2")
    page.goto(at("/console/hooks"))
    row = page.get_by_role("row", name="paid")
    expect(row.get_by_role("cell").last).to_have_text("2")
    page.goto(at("/console/hook", run=run_id, hook="hook"))
    waiting = page.locator(".facts div").filter(has_text="Waiting for the code").locator("dd")
    expect(waiting).to_have_text("2")
    with connected(api) as worker:
        worker.complete_turn(worker.turn())
        expect(waiting).to_have_text("0")
        api.resume("paid", "3")
        expect(waiting).to_have_text("1")
        expect(page.locator("[data-key='3']").get_by_text("waiting")).to_be_visible()
        expect(page.locator("[data-key='2']").get_by_text("waiting")).to_have_count(0)


def test_parents_lead_to_children_and_back(api: Api, page: Page, at: At) -> None:
    """Both ways."""
    parent = start(api)
    child = f"{parent}-child"
    command = pb.Command(start_child=pb.StartChildCommand(run_id=child, workflow="packing"))
    with connected(api) as worker:
        worker.complete_turn(worker.turn(), command)
    page.goto(at("/console/run", run=parent))
    page.get_by_label("Children").get_by_role("link", name=child).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(child)
    page.locator(".facts").get_by_role("link", name=parent).click()
    expect(page.get_by_role("heading", level=1)).to_have_text(parent)
