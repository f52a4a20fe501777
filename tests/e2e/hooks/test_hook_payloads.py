"""Payloads: in order, kept while nobody waits, appended once."""

from __future__ import annotations

import json
import threading
from time import monotonic

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec, HookStatus, Payload, RunStatus
from hookd.v1.hook_service_pb2 import (
    GetHookRequest,
    HookRef,
    ReceivePayloadsRequest,
    ResumeHookRequest,
)

from tests.support.api import Api, json_payload, refusal, seconds, unique
from tests.support.concurrency import at_once, eventually
from tests.support.daemon import Daemon


def receive(api: Api, run_id: str, hook_id: str, after: int = 0) -> grpc.Call:
    """The stream of a hook's payloads."""
    ref = HookRef(run_id=run_id, hook_id=hook_id)
    return api.hooks.ReceivePayloads(
        ReceivePayloadsRequest(project=api.project, ref=ref, after_payload_seq=after), timeout=60
    )


def test_hook_receives_three_payloads_in_order(api: Api) -> None:
    token = "order:42/approval"
    metadata = Payload(content_type="text/plain", data=b"who: alice")
    run_id = api.start("collector").run.run_id
    api.claim(run_id, token, "approval", metadata=metadata)

    def drive() -> None:
        kept = []
        for item in receive(api, run_id, "approval"):
            payload = json.loads(item.payload.payload.data)
            kept.append(payload)
            if payload.get("done"):
                break
        about = api.hook(token).metadata.data.decode()
        api.complete(run_id, json.dumps({"metadata": about, "payloads": kept}))

    driver = threading.Thread(target=drive, daemon=True)
    driver.start()
    answers = [
        api.resume(token, json.dumps(payload))
        for payload in ({"n": 1}, {"n": 2}, {"n": 3, "done": True})
    ]
    ended = api.ended(run_id)
    driver.join(30)

    assert [(a.run_id, a.hook_id, a.payload_seq, a.duplicate) for a in answers] == [
        (run_id, "approval", n, False) for n in (1, 2, 3)
    ]
    assert ended.status == RunStatus.RUN_STATUS_COMPLETED
    assert json.loads(ended.output.data) == {
        "metadata": "who: alice",
        "payloads": [{"n": 1}, {"n": 2}, {"n": 3, "done": True}],
    }
    kinds = ["run_created", "run_started", "hook_created", *["hook_received"] * 3, "run_completed"]
    assert api.events(run_id) == kinds
    assert [event.seq for event in api.log(run_id)] == list(range(1, 8))


def test_hook_buffered_before_await(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "box", "inbox")
    sent = [str(n) for n in range(200)]  # more than the daemon reads at a time
    for text in sent:
        api.resume("box", text)
    assert api.payloads(run_id, "inbox", 200) == sent

    # Disposing takes nothing back of what was accepted before.
    api.dispose(run_id, "inbox")
    items = list(receive(api, run_id, "inbox"))
    assert [i.payload.payload.data.decode() for i in items[:-1]] == sent
    assert [i.payload.payload_seq for i in items[:-1]] == list(range(1, 201))
    assert items[-1].closed.status == HookStatus.HOOK_STATUS_DISPOSED
    assert items[-1].closed.run_status == RunStatus.RUN_STATUS_RUNNING

    # Neither does the end of the run; a reader that comes back goes on where it was.
    api.complete(run_id)
    again = list(receive(api, run_id, "inbox", after=198))
    assert [i.payload.payload.data.decode() for i in again[:-1]] == sent[198:]
    assert again[-1].closed.run_status == RunStatus.RUN_STATUS_COMPLETED


def test_hook_buffered_before_await_survives_a_crash(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    api.claim(run_id, "box", "inbox")
    for n in range(5):
        api.resume("box", str(n))
    mortal.restart()
    api = Api(mortal.channel(), project)
    assert api.payloads(run_id, "inbox", 5) == ["0", "1", "2", "3", "4"]
    assert api.resume("box", "5").payload_seq == 6


def test_hook_buffered_payloads_of_two_hooks_stay_apart(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "left", "a")
    api.claim(run_id, "right", "ab")  # an id that begins with the other's
    for n in range(10):
        api.resume("left" if n % 2 else "right", str(n))
    assert api.payloads(run_id, "a", 5) == ["1", "3", "5", "7", "9"]
    assert api.payloads(run_id, "ab", 5) == ["0", "2", "4", "6", "8"]


def check_not_found(api: Api, token: str, run_id: str | None) -> None:
    """A resume is refused, names the token, and leaves nothing in the run."""
    before = None if run_id is None else api.run(run_id)
    told = refusal(api.resume, token, "lost", "lost-payload")
    assert told.code == grpc.StatusCode.NOT_FOUND
    assert told.reason == "HOOK_NOT_FOUND"
    assert told.metadata["token"] == token
    assert token in told.message
    if run_id is not None:
        assert api.run(run_id) == before


def test_hook_resume_unknown(api: Api) -> None:
    check_not_found(api, "nobody", None)
    # The refused payload id is as good as new once there is a hook.
    run_id = api.start().run.run_id
    api.claim(run_id, "nobody", "hook")
    answer = api.resume("nobody", "other bytes", "lost-payload")
    assert (answer.payload_seq, answer.duplicate) == (1, False)


def test_hook_resume_disposed(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "given-up", "hook")
    api.resume("given-up")
    api.dispose(run_id, "hook")
    check_not_found(api, "given-up", run_id)
    assert api.hook_by_id(run_id, "hook").payload_count == 1


def test_hook_resume_expired(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "short", "hook", ttl=seconds(0.001))
    eventually(lambda: "hook_disposed" in api.events(run_id))
    check_not_found(api, "short", run_id)


@pytest.mark.parametrize("end", ["complete", "fail", "cancel"])
def test_hook_resume_ended(api: Api, end: str) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "gone", "hook")
    api.claim(run_id, "held", "holder", hold_after=seconds(3600))
    getattr(api, end)(run_id)
    check_not_found(api, "gone", run_id)
    check_not_found(api, "held", run_id)
    last = api.log(run_id)[-1]
    assert last.WhichOneof("data") in ("run_completed", "run_failed", "run_cancelled")


def test_hook_resume_payload_id_same_bytes(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "pay", "hook")
    first = api.resume("pay", "42", "p-1")
    log = api.log(run_id)
    again = api.resume("pay", "42", "p-1")
    assert (first.duplicate, again.duplicate) == (False, True)
    assert (again.run_id, again.hook_id, again.payload_seq) == (run_id, "hook", 1)
    assert api.log(run_id) == log
    assert api.hook("pay").payload_count == 1


def test_hook_resume_payload_id_other_bytes(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "pay", "hook")
    api.resume("pay", "42", "p-1")
    log = api.log(run_id)
    told = refusal(api.resume, "pay", "43", "p-1")
    assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "ID_REUSED")
    assert told.metadata["payload_id"] == "p-1"
    assert api.log(run_id) == log
    # An id belongs to a token: it says nothing about another one.
    api.claim(run_id, "pay-2", "hook-2")
    assert not api.resume("pay-2", "43", "p-1").duplicate


def test_hook_resume_payload_id_race(api: Api) -> None:
    """Two clients race with one id, round after round: one event each round."""
    run_id = api.start().run.run_id
    api.claim(run_id, "pay", "hook")
    for n in range(1, 21):
        answers = at_once(4, lambda _, n=n: api.resume("pay", str(n), f"p-{n}"))
        assert sorted(a.duplicate for a in answers) == [False, True, True, True]
        assert {a.payload_seq for a in answers} == {n}
    assert api.payloads(run_id, "hook", 20) == [str(n) for n in range(1, 21)]
    assert api.events(run_id).count("hook_received") == 20


def test_hook_resume_payload_id_after_end(mortal: Daemon, project: str) -> None:
    """The payload ended its run; its retry is a duplicate, and not the next owner's."""
    api = Api(mortal.channel(), project)
    first = api.start().run.run_id
    api.claim(first, "pay", "hook")
    api.resume("pay", "42", "p-1")
    api.complete(first)

    retry = api.resume("pay", "42", "p-1")
    assert (retry.duplicate, retry.run_id, retry.payload_seq) == (True, first, 1)

    second = api.start().run.run_id
    api.claim(second, "pay", "hook")
    mortal.restart()
    api = Api(mortal.channel(), project)
    late = api.resume("pay", "42", "p-1")
    assert (late.duplicate, late.run_id, late.hook_id) == (True, first, "hook")
    assert api.hook("pay").payload_count == 0
    assert "hook_received" not in api.events(second)
    # What is new goes to the new owner.
    fresh = api.resume("pay", "42", "p-2")
    assert (fresh.duplicate, fresh.run_id) == (False, second)


def test_hook_resume_payload_id_after_dispose(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "pay", "hook")
    api.resume("pay", "42", "p-1")
    api.dispose(run_id, "hook")
    assert api.resume("pay", "42", "p-1").duplicate
    assert refusal(api.resume, "pay", "43", "p-1").reason == "ID_REUSED"
    assert refusal(api.resume, "pay", "42", "p-2").reason == "HOOK_NOT_FOUND"


def test_hook_resume_waits(api: Api) -> None:
    """Sent before there is a hook: delivered with a wait, HOOK_NOT_FOUND without."""
    assert refusal(api.resume, "soon").reason == "HOOK_NOT_FOUND"
    waiting = [
        api.hooks.ResumeHook.future(request, timeout=60)
        for request in (_resume_request(api, "soon", f"p-{n}") for n in range(5))
    ]
    look = api.hooks.GetHook.future(
        GetHookRequest(project=api.project, token="soon", wait=seconds(50)), timeout=60
    )
    run_id = api.start().run.run_id
    api.claim(api.start().run.run_id, "another", "hook")  # wakes nobody
    assert not any(call.done() for call in (*waiting, look))
    api.claim(run_id, "soon", "hook")
    answers = [call.result() for call in waiting]
    assert {a.run_id for a in answers} == {run_id}
    assert sorted(a.payload_seq for a in answers) == [1, 2, 3, 4, 5]
    assert look.result().hook.run_id == run_id


def _resume_request(api: Api, token: str, payload_id: str, wait: float = 50) -> ResumeHookRequest:
    return ResumeHookRequest(
        project=api.project,
        token=token,
        payload_id=payload_id,
        payload=json_payload("1"),
        wait=seconds(wait),
    )


def test_hook_resume_waits_for_the_start_with_the_claim(api: Api) -> None:
    waiting = api.hooks.ResumeHook.future(_resume_request(api, "soon", "p"), timeout=60)
    api.start("starter", claims=[HookSpec(token="soon")], external=False)
    assert waiting.result().run_id == "starter"
    assert api.payloads("starter", "claim-1", 1) == ["1"]


def test_hook_resume_waits_no_longer_than_asked(api: Api) -> None:
    for call in (
        lambda: api.resume("never", wait=0.3),
        lambda: api.hooks.GetHook(
            GetHookRequest(project=api.project, token="never", wait=seconds(0.3)), timeout=60
        ),
    ):
        begin = monotonic()
        told = refusal(call)
        assert monotonic() - begin >= 0.3
        assert (told.code, told.reason) == (grpc.StatusCode.NOT_FOUND, "HOOK_NOT_FOUND")
        assert told.metadata["token"] == "never"


def test_hook_resume_waits_through_a_held_token(api: Api) -> None:
    """A held token takes no payload, but its next owner does."""
    first = api.start().run.run_id
    api.claim(first, "next", "hook", hold_after=seconds(3600))
    api.complete(first)
    waiting = api.hooks.ResumeHook.future(_resume_request(api, "next", "p"), timeout=60)
    second = api.start().run.run_id
    assert refusal(api.claim, second, "next").reason == "HOOK_CONFLICT"
    api.dispose(first, "hook")
    api.claim(second, "next", unique("hook"))
    assert waiting.result().run_id == second
