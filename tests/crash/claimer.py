"""A client process: claims the same tokens as all others, in an order of its own.

Usage: claimer.py ADDRESS PROJECT RUN_ID TOKENS SEED

It starts its run, writes {"ready": …}, waits for a line, and then writes one
line of JSON for each answer: {"token", "won", "owner", "hook", "revision"}.
A call that finds no daemon is made again, with the same hook ids.
"""

import json
import random
import sys
from collections.abc import Callable
from typing import Any

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.errors_pb2 import HookConflict
from hookd.v1.hook_service_pb2 import CreateHookRequest, CreateHooksRequest, HookClaim
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2 import StartRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub

from tests.support.api import Refusal


def say(**facts: Any) -> None:
    """Writes what was observed."""
    print(json.dumps(facts), flush=True)


def call(method: Callable[..., Any], request: Any) -> Any:
    """Makes a call until there is an answer."""
    while True:
        try:
            return method(request, wait_for_ready=True, timeout=60)
        except grpc.RpcError as error:
            if error.code() != grpc.StatusCode.UNAVAILABLE:
                raise
            say(again=type(request).__name__)


def main(address: str, project: str, run_id: str, tokens: str, seed: str) -> None:
    """Claims all tokens once."""
    channel = grpc.insecure_channel(
        address,
        options=[
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
        ],
    )
    runs, hooks = RunServiceStub(channel), HookServiceStub(channel)
    call(
        runs.StartRun,
        StartRunRequest(project=project, run_id=run_id, workflow="claimer", external=True),
    )
    say(ready=run_id)
    sys.stdin.readline()
    dice = random.Random(seed)
    order = [f"token-{i}" for i in range(int(tokens))]
    dice.shuffle(order)
    while order:
        size = dice.choice([1, 1, 2, 5, 20, 60])
        batch, order = order[:size], order[size:]
        specs = [HookSpec(hook_id=f"{run_id}-of-{token}", token=token) for token in batch]
        if size == 1:
            claim_one(hooks, project, run_id, specs[0])
        else:
            claim_many(hooks, project, run_id, specs)


def claim_one(hooks: HookServiceStub, project: str, run_id: str, spec: HookSpec) -> None:
    """Claims with CreateHook."""
    try:
        answer = call(
            hooks.CreateHook, CreateHookRequest(project=project, run_id=run_id, hook=spec)
        )
    except grpc.RpcError as error:
        told = Refusal(error)
        if told.conflict is None:
            raise
        lost(spec.token, told.conflict)
        return
    hook = answer.hook
    won(spec.token, run_id, hook.hook_id, hook.revision)


def claim_many(hooks: HookServiceStub, project: str, run_id: str, specs: list[HookSpec]) -> None:
    """Claims with CreateHooks."""
    wanted = [HookClaim(run_id=run_id, hook=spec) for spec in specs]
    answer = call(hooks.CreateHooks, CreateHooksRequest(project=project, hooks=wanted))
    for spec, result in zip(specs, answer.results, strict=True):
        if result.HasField("claimed"):
            won(spec.token, run_id, result.claimed.hook_id, result.claimed.revision)
        else:
            assert result.error.HasField("conflict"), result
            lost(spec.token, result.error.conflict)


def won(token: str, run_id: str, hook_id: str, revision: int) -> None:
    """Notes a claim that won."""
    say(token=token, won=True, owner=run_id, hook=hook_id, revision=revision)


def lost(token: str, owner: HookConflict) -> None:
    """Notes a claim that lost, and to whom."""
    say(token=token, won=False, owner=owner.run_id, hook=owner.hook_id, revision=owner.revision)


main(*sys.argv[1:])
