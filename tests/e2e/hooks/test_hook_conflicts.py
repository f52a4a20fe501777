"""One token has one owner, and who comes second is told who that is."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import grpc
from hookd.v1.common_pb2 import HookSpec, HookStatus, RunStatus
from hookd.v1.errors_pb2 import ERROR_REASON_HOOK_CONFLICT, HookConflict
from hookd.v1.hook_service_pb2 import CreateHooksRequest, HookClaim, ListHooksRequest

from tests.support.api import Api, Refusal, json_payload, refusal, unique
from tests.support.concurrency import at_once
from tests.support.daemon import Daemon


def conflict(call: object, *args: object, **more: object) -> HookConflict:
    """The typed detail of a claim that must be lost."""
    told: Refusal = refusal(call, *args, **more)
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "HOOK_CONFLICT")
    assert told.conflict is not None
    return told.conflict


def test_hook_reports_conflict_with_owner(api: Api) -> None:
    owner = api.start(workflow="process_payment").run.run_id
    won = api.claim(owner, "payment-42", "wait-for-payment").hook
    loser = api.start(workflow="other").run.run_id

    told = refusal(api.claim, loser, "payment-42")
    assert (told.code, told.reason) == (grpc.StatusCode.ALREADY_EXISTS, "HOOK_CONFLICT")
    assert told.message.startswith(
        f'Hook token "payment-42" is already in use by another workflow (run {owner})'
    )
    assert told.conflict == HookConflict(
        project=api.project,
        token="payment-42",
        run_id=owner,
        hook_id="wait-for-payment",
        run_status=RunStatus.RUN_STATUS_RUNNING,
        workflow="process_payment",
        claimed_at=won.created_at,
        revision=won.revision,
    )
    assert told.metadata["run_id"] == owner

    # The owner has not noticed.
    assert api.resume("payment-42", '{"amount": 42}').run_id == owner
    assert api.complete(owner, "done").status == RunStatus.RUN_STATUS_COMPLETED
    assert "hook_conflict" not in api.events(owner)


def test_hook_reports_conflict_with_a_pending_owner(api: Api) -> None:
    api.start("waiting", external=False, claims=[HookSpec(token="taken")])
    lost = conflict(api.claim, api.start().run.run_id, "taken")
    assert (lost.run_id, lost.hook_id) == ("waiting", "claim-1")
    assert lost.run_status == RunStatus.RUN_STATUS_PENDING


def test_hook_conflict_in_a_start_names_the_owner(api: Api) -> None:
    owner = api.start("first", claims=[HookSpec(token="only-one")])
    lost = conflict(api.start, "second", claims=[HookSpec(token="only-one")])
    assert (lost.run_id, lost.hook_id) == ("first", "claim-1")
    assert lost.revision == owner.hooks[0].revision
    assert refusal(api.run, "second").reason == "RUN_NOT_FOUND"


def test_hook_conflict_is_an_event(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    owner = api.start().run.run_id
    api.claim(owner, "token", "mine")
    loser = api.start().run.run_id
    lost = conflict(api.claim, loser, "token", "attempt-1")

    last = api.log(loser)[-1]
    assert last.WhichOneof("data") == "hook_conflict"
    assert last.correlation_id == "attempt-1"
    assert last.hook_conflict.conflict == lost
    assert api.hook_by_id(loser, "attempt-1").status == HookStatus.HOOK_STATUS_CONFLICTED

    def check_replay() -> None:
        """A replay meets the same conflict, adds nothing and takes nothing."""
        log = api.log(loser)
        assert conflict(api.claim, loser, "token", "attempt-1") == lost
        assert api.log(loser) == log
        assert refusal(api.hook, "token").reason == "HOOK_NOT_FOUND"

    api.complete(owner)
    check_replay()
    mortal.restart()
    api = Api(mortal.channel(), project)
    check_replay()

    # A new attempt is a new hook id, and does not change what the old one met.
    api.claim(loser, "token", "attempt-2")
    assert conflict(api.claim, loser, "token", "attempt-1") == lost
    api.complete(loser)
    assert conflict(api.claim, loser, "token", "attempt-1") == lost


def test_hook_same_id_is_no_conflict(api: Api) -> None:
    run_id = api.start().run.run_id
    first = api.claim(run_id, "token", "hook", metadata=json_payload("{}"))
    log = api.log(run_id)
    again = api.claim(run_id, "token", "hook", metadata=json_payload("{}"))
    assert (first.already_exists, again.already_exists) == (False, True)
    assert again.hook == first.hook
    assert api.log(run_id) == log

    # Nor in a batch, where it stands twice.
    claim = HookClaim(run_id=run_id, hook=HookSpec(hook_id="other", token="other"))
    batch = CreateHooksRequest(project=api.project, hooks=[claim, claim])
    results = api.hooks.CreateHooks(batch).results
    assert [r.claimed.already_exists for r in results] == [False, True]
    assert results[0].claimed.revision == results[1].claimed.revision

    # Nor when the run has ended since: it is the answer to the first call again.
    api.complete(run_id)
    late = api.claim(run_id, "token", "hook", metadata=json_payload("{}"))
    assert late.already_exists
    assert late.hook.status == HookStatus.HOOK_STATUS_CLOSED
    assert api.events(run_id).count("hook_created") == 2


def test_hook_same_id_is_no_conflict_for_two_workers_at_once(api: Api) -> None:
    run_id = api.start().run.run_id
    for n in range(20):
        answers = at_once(4, lambda _, n=n: api.claim(run_id, f"token-{n}", f"hook-{n}"))
        assert sorted(a.already_exists for a in answers) == [False, True, True, True]
        assert len({a.hook.revision for a in answers}) == 1
    assert api.events(run_id).count("hook_created") == 20


def test_hook_same_id_gets_the_same_auto_token(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    run_id = api.start().run.run_id
    token = api.claim(run_id, None, "hook").hook.token
    assert api.claim(run_id, None, "hook").hook.token == token
    mortal.restart()
    api = Api(mortal.channel(), project)
    again = api.claim(run_id, None, "hook")
    assert (again.already_exists, again.hook.token) == (True, token)
    assert api.claim(run_id, token, "hook").already_exists
    assert refusal(api.claim, run_id, "another", "hook").reason == "ID_REUSED"


def test_hook_own_run_conflict(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "token", "one")
    lost = conflict(api.claim, run_id, "token", "two")
    assert (lost.run_id, lost.hook_id) == (run_id, "one")
    assert api.events(run_id)[-1] == "hook_conflict"

    # The same inside one batch: the first of the two wins.
    batch = [HookClaim(run_id=run_id, hook=HookSpec(hook_id=i, token="both")) for i in "ab"]
    won, second = api.hooks.CreateHooks(
        CreateHooksRequest(project=api.project, hooks=batch)
    ).results
    assert won.claimed.hook_id == "a"
    assert second.error.code == grpc.StatusCode.ALREADY_EXISTS.value[0]
    assert second.error.reason == ERROR_REASON_HOOK_CONFLICT
    assert (second.error.conflict.run_id, second.error.conflict.hook_id) == (run_id, "a")


def test_hook_same_hook_id_other_run(api: Api) -> None:
    owner, other = api.start().run.run_id, api.start().run.run_id
    api.claim(owner, "token", "wait")
    lost = conflict(api.claim, other, "token", "wait")
    assert (lost.run_id, lost.hook_id) == (owner, "wait")
    # A hook id means something inside its run only.
    assert not api.claim(other, "another", "wait-2").already_exists
    assert api.hook_by_id(owner, "wait").status == HookStatus.HOOK_STATUS_ACTIVE
    assert api.hook_by_id(other, "wait").status == HookStatus.HOOK_STATUS_CONFLICTED


def test_hook_get_conflict(api: Api) -> None:
    """What the clients build on: a claim asks without waiting, and consumes nothing."""
    owner, loser = api.start(workflow="first").run.run_id, api.start().run.run_id
    api.claim(owner, "token", "hook")
    api.resume("token", "kept")
    for _ in range(3):
        assert api.claim(owner, "token", "hook").already_exists  # no conflict for the winner
        lost = conflict(api.claim, loser, "token", "hook")
        assert api.run(lost.run_id).workflow == "first"
    assert api.hook("token").payload_count == 1
    assert api.payloads(owner, "hook", 1) == ["kept"]
    assert api.events(loser).count("hook_conflict") == 1


def test_hook_projects_are_apart(api: Api) -> None:
    other = Api(api.channel, unique("project"))
    for project in (api, other):
        project.start("run")
    mine = api.claim("run", "token", "hook").hook
    theirs = other.claim("run", "token", "hook").hook
    assert mine.revision != theirs.revision
    assert (mine.project, theirs.project) == (api.project, other.project)

    assert api.resume("token", "1", "p-1").payload_seq == 1
    assert other.hook("token").payload_count == 0
    assert not other.resume("token", "other bytes", "p-1").duplicate
    api.complete("run")
    assert refusal(api.hook, "token").reason == "HOOK_NOT_FOUND"
    assert other.hook("token").status == HookStatus.HOOK_STATUS_ACTIVE

    api.start("only-here", claims=[HookSpec(token="only-here")])
    assert refusal(other.hook, "only-here").reason == "HOOK_NOT_FOUND"
    assert refusal(other.resume, "only-here").reason == "HOOK_NOT_FOUND"
    assert refusal(other.run, "only-here").reason == "RUN_NOT_FOUND"
    assert refusal(other.claim, "only-here", "x").reason == "RUN_NOT_FOUND"
    assert refusal(other.cancel, "only-here").reason == "RUN_NOT_FOUND"
    assert refusal(other.dispose, "only-here", "claim-1").reason == "RUN_NOT_FOUND"
    listed = other.hooks.ListHooks(ListHooksRequest(project=other.project)).hooks
    assert [hook.token for hook in listed] == ["token"]


def test_hook_projects_with_like_names_are_apart(api: Api) -> None:
    names = [api.project, f"{api.project}-", f"{api.project}.", api.project.upper()]
    for name in names:
        Api(api.channel, name).start("run", claims=[HookSpec(token="-token")])
    for name in names:
        listed = api.hooks.ListHooks(ListHooksRequest(project=name)).hooks
        assert [(hook.project, hook.token) for hook in listed] == [(name, "-token")]


CLIENTS, ROUNDS = 64, 100


def test_hook_conflict_storm(daemon: Daemon) -> None:
    """64 clients claim one token at once, 100 rounds: one winner, whom all losers name."""
    clients = [Api(daemon.channel(), "storm") for _ in range(CLIENTS)]
    gate = threading.Barrier(CLIENTS)
    seen: list[list[tuple[str, str, int, bool]]] = [[] for _ in range(ROUNDS)]

    def work(number: int) -> None:
        api, run_id = clients[number], f"run-{number}"
        api.start(run_id)
        for n in range(ROUNDS):
            gate.wait(60)
            try:
                hook = api.claim(run_id, "the-one", f"hook-{n}").hook
                seen[n].append((hook.run_id, hook.hook_id, hook.revision, True))
            except grpc.RpcError as error:
                told = Refusal(error)
                assert told.conflict is not None, told.message
                owner = told.conflict
                seen[n].append((owner.run_id, owner.hook_id, owner.revision, False))
            gate.wait(60)
            if (run_id, True) in {(run, won) for run, _, _, won in seen[n]}:
                api.dispose(run_id, f"hook-{n}")

    with ThreadPoolExecutor(CLIENTS) as pool:
        for done in [pool.submit(work, number) for number in range(CLIENTS)]:
            done.result()

    revisions = []
    for answers in seen:
        assert len(answers) == CLIENTS
        assert sum(won for *_, won in answers) == 1
        assert len({answer[:3] for answer in answers}) == 1, "all name the winner"
        revisions.append(answers[0][2])
    assert revisions == sorted(set(revisions)), "the fencing number of a later claim is greater"
