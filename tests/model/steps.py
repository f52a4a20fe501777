"""What may be done, and how often: the steps of random examples.

What is drawn from is small on purpose: few runs, tokens and ids meet each other
in every way there is.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from tests.model.things import Spec

#: Time goes on by a multiple of this from call to call. All durations are of
#: other remainders, so that no two things come due at once.
PACE_MS = 128
RETENTION_MS = PACE_MS * 1_000

RUNS = [f"run-{i}" for i in range(8)]
HOOKS = ["h1", "h2", "h3", "claim-1"]
TOKENS = ["t1", "t2", "t3", "é / \0"]
PAYLOAD_IDS = ["p1", "p2", "p3", "p4"]
TEXTS = ["1", '"other"']
LEASES = [0, 0, 80 * PACE_MS + 1, 500 * PACE_MS + 1]
TTLS = [0, 0, 0, 30 * PACE_MS + 5, 300 * PACE_MS + 5]
HOLDS = [0, 0, 0, 50 * PACE_MS + 25, 1_500 * PACE_MS + 25]
POLICIES = ["fail", "use_existing", "deliver", "take_over"]

#: What has to occur, for a run of these tests to have shown anything.
CALLS = (
    *("start_run", "get_run", "await_run", "watch_run", "keep_alive", "complete_turn"),
    *("complete_run", "fail_run", "cancel_run", "create_hook", "create_hooks", "claim_stream"),
    *("get_hook", "get_hook_by_id", "resume_hook", "dispose_hook", "receive_payloads"),
)
#: Those of them that end a run.
ENDING = ("complete_run", "fail_run", "cancel_run")
#: Those that may change something.
CHANGING = (*ENDING, *CALLS[9:12], "start_run", "resume_hook", "dispose_hook")
OUTCOMES = ("started", "already_started", "used_existing", "delivered")
REPEATS = ("already_exists", "duplicate", "already_disposed", "already_completed")
ENDS = ("lapsed", "expired", "freed", "removed", "crash", "close")

#: What stands in parentheses is found when the step is made; see ``Machine._named``.
runs = st.sampled_from([*RUNS, *["(active)"] * 8])
new_runs = st.sampled_from([*RUNS, *["(fresh)"] * 16])
hook_ids = st.sampled_from(HOOKS)
payload_ids = st.sampled_from(PAYLOAD_IDS)
texts = st.sampled_from(TEXTS)
leases = st.sampled_from(LEASES)
tokens = st.sampled_from(
    [*TOKENS * 3, *["(taken)"] * 6, "(generated)", "(generated)", "", "(too long)"]
)
any_token = st.one_of(st.sampled_from([*TOKENS, "(taken)"]), tokens, st.none())
metadata = st.sampled_from([None, None, '{"by": 1}', "2"])
ttls = st.sampled_from(TTLS)
holds = st.sampled_from(HOLDS)
specs = st.builds(Spec, hook_ids, any_token, metadata, ttls, holds)
plain_specs = st.builds(Spec, hook_ids, tokens)
start_ids = st.sampled_from(["", "", *HOOKS])
start_specs = st.builds(Spec, start_ids, any_token, metadata, ttls, holds)
#: Counts back from the last call.
which = st.one_of(st.integers(0, 5), st.integers(0, 50))
late = st.sampled_from(["again", "claim", "claim", "resume", "read", "ask", "end"])

Step = tuple[str, dict[str, Any]]


def _start(*policies: str, **more: SearchStrategy[Any]) -> dict[str, SearchStrategy[Any]]:
    claims = st.lists(start_specs, min_size=1, max_size=2)
    on_conflict = st.sampled_from(policies)
    return {
        "run_id": new_runs,
        "claims": claims,
        "on_conflict": on_conflict,
        "lease_ttl": leases,
        **more,
    }


#: How often each step is drawn, what it is, and its arguments.
STEPS: list[tuple[int, str, dict[str, SearchStrategy[Any]]]] = [
    (
        3,
        "start_run",
        {
            "run_id": new_runs,
            "external": st.sampled_from([True, True, True, False]),
            "lease_ttl": leases,
            "input": st.sampled_from(["1", "1", "1", "2"]),
        },
    ),
    (6, "start_run", _start("fail", "use_existing", "take_over")),
    (3, "start_run", _start("deliver", payload_id=payload_ids, payload=texts)),
    (8, "create_hook", {"run_id": runs, "spec": specs}),
    (6, "create_hook", {"run_id": runs, "spec": plain_specs}),
    (2, "create_hooks", {"hooks": st.lists(st.tuples(runs, plain_specs), max_size=4)}),
    (2, "claim_stream", {"hooks": st.lists(st.tuples(runs, plain_specs), max_size=4)}),
    (8, "resume_hook", {"token": tokens, "payload_id": payload_ids, "payload": texts}),
    (4, "dispose_hook", {"run_id": runs, "hook_id": hook_ids}),
    (2, "complete_run", {"run_id": runs, "output": texts}),
    (2, "fail_run", {"run_id": runs, "message": texts}),
    (2, "cancel_run", {"run_id": runs, "reason": texts}),
    *((1, call, {"run_id": runs}) for call in CALLS[1:6]),
    (2, "get_hook", {"token": tokens}),
    (1, "get_hook_by_id", {"run_id": runs, "hook_id": hook_ids}),
    (2, "receive_payloads", {"run_id": runs, "hook_id": hook_ids}),
    (5, "wait", {"beats": st.sampled_from([1, 10, 40, 100, 400, 1_200])}),
    (8, "again", {"which": which}),
    (8, "when_something_ends", {"how": late, "which": which, "payload_id": payload_ids}),
    (2, "start_again", {"which": which, "payload_id": payload_ids, "payload": texts}),
    (3, "restart", {"how": st.sampled_from(["crash", "crash", "close"]), "which": which}),
    (1, "crowd", {"run_id": runs}),
]
#: A step with its arguments. What is repeated in the list is drawn more often.
ANY_STEP: SearchStrategy[Step] = st.sampled_from(
    [i for i, (times, _, _) in enumerate(STEPS) for _ in range(times)]
).flatmap(lambda i: st.tuples(st.just(STEPS[i][1]), st.fixed_dictionaries(STEPS[i][2])))

_T1 = {"claims": [Spec("", "t1")], "run_id": "run-5"}
#: What chance might leave out: played once before all that is random. The runs
#: run-0 to run-3 are there, and only run-3 has a lease.
TOUR: list[Step] = [
    ("create_hook", {"run_id": "run-0", "spec": Spec("h1", "t1", hold_after=HOLDS[3])}),
    ("again", {"which": 0}),
    ("resume_hook", {"token": "t1", "payload_id": "p1", "payload": "1"}),
    ("again", {"which": 0}),
    ("start_run", {**_T1, "on_conflict": "deliver", "payload_id": "p2", "payload": "1"}),
    ("start_run", {**_T1, "on_conflict": "use_existing"}),
    ("complete_run", {"run_id": "run-0", "output": "1"}),
    ("again", {"which": 0}),
    ("create_hook", {"run_id": "run-1", "spec": Spec("h1", "t2")}),
    ("dispose_hook", {"run_id": "run-1", "hook_id": "h1"}),
    ("again", {"which": 0}),
    ("create_hook", {"run_id": "run-1", "spec": Spec("h2", "t3", ttl=TTLS[3])}),
    ("wait", {"beats": 100}),
    ("restart", {"how": "crash", "which": 0}),
    ("create_hook", {"run_id": "run-1", "spec": Spec("h3", "t2")}),
    ("restart", {"how": "close", "which": 0}),
    ("fail_run", {"run_id": "run-2", "message": "1"}),
    ("crowd", {"run_id": "run-1"}),
    ("wait", {"beats": 1_200}),
]
