"""What people build with tokens: each flow as a service would write it."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from hookd.v1.common_pb2 import RUN_STATUS_CANCELLED, HookSpec
from hookd.v1.hook_service_pb2 import HookRef, ReceivePayloadsRequest
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_TAKE_OVER,
    START_OUTCOME_DELIVERED,
    START_OUTCOME_STARTED,
)
from hookd.v1.stream_service_pb2 import ReadStreamRequest, WriteChunksRequest

from tests.support.api import Api, Refusal, json_payload, refusal, unique
from tests.support.concurrency import at_once
from tests.support.snapshot import all_runs, check_whole, snapshot

CALLERS = 32


def owner_of(told: Refusal) -> str:
    """The run that a conflict names."""
    assert told.conflict is not None
    return told.conflict.run_id


def test_flow_reject_duplicate(api: Api) -> None:
    """Of many deliveries of one order, one is worked on; the others learn by whom."""

    def deliver(i: int) -> str:
        run_id = f"r{i}"
        api.start(run_id)
        try:
            return api.claim(run_id, "order-42").hook.run_id
        except grpc.RpcError as error:
            told = Refusal(error)
            api.complete(run_id, '"duplicate"')
            return f"duplicate of {owner_of(told)}"

    answers = at_once(16, deliver)
    (winner,) = [answer for answer in answers if not answer.startswith("duplicate")]
    assert answers.count(f"duplicate of {winner}") == 15
    api.complete(winner, '"done"')
    outputs = [run.output for run in map(api.run, (f"r{i}" for i in range(16)))]
    assert outputs.count(json_payload('"done"')) == 1
    # When it is over the order may come again.
    api.start("again")
    assert api.claim("again", "order-42").hook.run_id == "again"


def test_flow_adopt_owner_result(api: Api) -> None:
    """The losers wait for the winner, and answer with its result."""
    api.start("winner")
    api.claim("winner", "report")
    lost = threading.Semaphore(0)

    def adopt(i: int) -> bytes:
        api.start(f"r{i}")
        owner = owner_of(refusal(api.claim, f"r{i}", "report"))
        lost.release()
        result = api.ended(owner).output
        assert api.complete(f"r{i}", result.data.decode()).output == result
        return result.data

    with ThreadPoolExecutor(8) as pool:
        adopted = [pool.submit(adopt, i) for i in range(8)]
        for _ in range(8):
            assert lost.acquire(timeout=30)
        api.complete("winner", '"the one"')
        assert {a.result(30) for a in adopted} == {b'"the one"'}


def test_flow_forward_payload_to_owner(api: Api) -> None:
    """A loser hands what it brought to the winner; each piece arrives once."""
    api.start("winner")
    api.claim("winner", "payment-1", "h")

    def forward(i: int) -> None:
        run_id = f"r{i}"
        api.start(run_id)
        told = refusal(api.claim, run_id, "payment-1")
        for _ in range(2):  # once more, as after a lost answer
            answer = api.resume("payment-1", str(i), f"from-{run_id}")
            assert answer.run_id == owner_of(told) == "winner"
        assert answer.duplicate
        api.complete(run_id, '"forwarded"')

    at_once(12, forward)
    payloads = api.payloads("winner", "h", 12)
    assert sorted(payloads, key=int) == [str(i) for i in range(12)]
    assert api.hook("payment-1").payload_count == 12


def test_flow_stream_owner_output(api: Api) -> None:
    """The losers show what the winner writes, from its beginning to its end."""
    api.start("winner")
    api.claim("winner", "chat")

    def write(text: str) -> None:
        request = WriteChunksRequest(
            project=api.project, run_id="winner", chunks=[json_payload(text)]
        )
        api.streams.WriteChunks(request)

    write("0")

    def show(i: int) -> list[bytes]:
        api.start(f"r{i}")
        owner = owner_of(refusal(api.claim, f"r{i}", "chat"))
        request = ReadStreamRequest(project=api.project, run_id=owner)
        items = list(api.streams.ReadStream(request, timeout=30))
        assert items[-1].closed.final
        return [item.chunk.payload.data for item in items[:-1]]

    with ThreadPoolExecutor(6) as pool:
        shown = [pool.submit(show, i) for i in range(6)]
        for i in range(1, 30):
            write(str(i))
        api.complete("winner")
        assert [s.result(30) for s in shown] == [[str(i).encode() for i in range(30)]] * 6


def test_flow_supersede_owner(api: Api) -> None:
    """Cancel the owner, then claim: the claim after the answer always wins."""
    api.start("r0")
    api.claim("r0", "deploy")
    for i in range(1, 10):
        run_id = f"r{i}"
        api.start(run_id)
        owner = owner_of(refusal(api.claim, run_id, "deploy"))
        assert owner == f"r{i - 1}"
        api.cancel(owner, "superseded")
        # A new attempt is a new hook id.
        assert api.claim(run_id, "deploy").hook.run_id == run_id
    assert [api.run(f"r{i}").status for i in range(9)] == [RUN_STATUS_CANCELLED] * 9


def test_flow_supersede_owner_in_one_step(api: Api) -> None:
    """Many take over at once: all but the last are cancelled, one after the other."""
    how = {"claims": [HookSpec(token="deploy")], "on_conflict": CONFLICT_POLICY_TAKE_OVER}
    api.start("first", **how)
    answers = at_once(16, lambda i: api.start(f"r{i}", **how))
    superseded = [run_id for answer in answers for run_id in answer.superseded_run_ids]
    assert len(superseded) == len(set(superseded)) == 16
    (last,) = {"first", *(f"r{i}" for i in range(16))} - set(superseded)
    assert api.hook("deploy").run_id == last
    revisions = sorted((a.hooks[0].revision, a.run.run_id) for a in answers)
    assert revisions[-1] == (api.hook("deploy").revision, last)
    for run_id in superseded:
        assert api.run(run_id).status == RUN_STATUS_CANCELLED
    check_whole(api, snapshot(api))


def resume_or_start(api: Api, token: str, i: int) -> str:
    """One caller of the flow; returns what it was told."""
    text, payload_id = str(i), f"payload-{i}"
    try:
        api.resume(token, text, payload_id)
    except grpc.RpcError as error:
        if Refusal(error).reason != "HOOK_NOT_FOUND":
            raise
        answer = api.start(
            f"run-of-{i}",
            claims=[HookSpec(token=token)],
            on_conflict=CONFLICT_POLICY_DELIVER,
            payload=json_payload(text),
            payload_id=payload_id,
        )
        assert not answer.payload_duplicate
        return {START_OUTCOME_STARTED: "started", START_OUTCOME_DELIVERED: "delivered"}[
            answer.outcome
        ]
    return "resumed"


def test_flow_resume_or_start(api: Api) -> None:
    """32 callers at once: exactly one run, every payload exactly once."""
    for round_ in range(5):
        project = Api(api.channel, f"{api.project}-{round_}")
        told = at_once(CALLERS, lambda i, to=project: resume_or_start(to, "cart", i))
        assert told.count("started") == 1
        (run,) = all_runs(project)
        payloads = project.payloads(run.run_id, "claim-1", CALLERS)
        assert sorted(payloads, key=int) == [str(i) for i in range(CALLERS)]
        assert project.hook("cart").payload_count == CALLERS
        check_whole(project, snapshot(project))


def test_flow_resume_or_start_while_runs_end(api: Api) -> None:
    """Runs end after a few payloads: still every payload arrives exactly once."""
    got: list[str] = []
    guard = threading.Lock()

    def consume(run_id: str) -> None:
        """Drives a run: takes three payloads, ends it, and then what came meanwhile."""
        ref = HookRef(run_id=run_id, hook_id="claim-1")
        request = ReceivePayloadsRequest(project=api.project, ref=ref)
        for count, item in enumerate(api.hooks.ReceivePayloads(request, timeout=60), start=1):
            if item.HasField("closed"):
                return
            with guard:
                got.append(item.payload.payload.data.decode())
            if count == 3:
                api.complete(run_id)

    with ThreadPoolExecutor(CALLERS) as consumers:

        def call(i: int) -> str:
            told = resume_or_start(api, "cart", i)
            if told == "started":
                consumers.submit(consume, f"run-of-{i}")
            return told

        told = at_once(CALLERS, call)
        # The last run may have got fewer than three.
        for run in all_runs(api):
            if not run.HasField("ended_at"):
                try:
                    api.complete(run.run_id)
                except grpc.RpcError as error:
                    if Refusal(error).reason != "RUN_NOT_ACTIVE":
                        raise
    assert told.count("started") == len(list(all_runs(api))) >= 1
    assert sorted(got, key=int) == [str(i) for i in range(CALLERS)]


def test_flow_mutex(api: Api) -> None:
    """A token as a lock, never resumed: nobody else is inside, and fences only grow."""
    inside = 0
    entered: list[int] = []

    def lock(run_id: str) -> int:
        while True:
            try:
                return api.claim(run_id, "lock").hook.revision
            except grpc.RpcError as error:
                api.ended(owner_of(Refusal(error)))

    def work(_: int) -> None:
        nonlocal inside
        for _ in range(8):
            run_id = unique("holder")
            api.start(run_id)
            fence = lock(run_id)
            inside += 1
            assert inside == 1
            entered.append(fence)
            assert api.hook("lock").run_id == run_id
            assert inside == 1
            inside -= 1
            api.complete(run_id)

    at_once(6, work)
    assert len(entered) == 48
    assert entered == sorted(set(entered))
    assert refusal(api.hook, "lock").reason == "HOOK_NOT_FOUND"


def test_flow_mutex_given_back_by_dispose(api: Api) -> None:
    """One run may lock again and again; it needs not end for that."""
    held: list[str] = []

    def work(i: int) -> None:
        run_id = f"worker-{i}"
        api.start(run_id)
        done = 0
        while done < 5:
            hook_id = unique("attempt")
            try:
                api.claim(run_id, "lock", hook_id)
            except grpc.RpcError as error:
                if owner_of(Refusal(error)) == run_id:
                    raise
                continue
            held.append(run_id)
            assert len(held) == 1
            held.clear()
            api.dispose(run_id, hook_id)
            done += 1

    at_once(4, work)
    assert snapshot(api).tokens == {}
