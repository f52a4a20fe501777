"""A client process: a mix of all calls that change something, until the daemon dies.

Usage: mixer.py ADDRESS NAME SEED

It reads {"project": …} for each round and works in that project. It writes a
line of JSON for each thing that was acknowledged. When the daemon is gone it
writes {"lost": …} with the call whose answer it has not got, waits for a line,
and makes that call again, with the same ids: {"kept": …} tells how that ended.
"""

import json
import random
import sys
from typing import Any

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.run_service_pb2 import (
    CONFLICT_POLICY_DELIVER,
    CONFLICT_POLICY_TAKE_OVER,
    START_OUTCOME_DELIVERED,
)
from hookd.v1.stream_service_pb2 import WriteChunksRequest

from tests.support.api import Api, Refusal, json_payload

#: Few, so that the clients get into each other's way.
TOKENS = [f"shared-{i}" for i in range(12)]
#: What is done, and how often.
LOAD = {
    "start": 2,
    "start-claim": 2,
    "take-over": 1,
    "deliver": 2,
    "claim": 8,
    "resume": 10,
    "dispose": 3,
    "complete": 1,
    "fail": 1,
    "cancel": 1,
    "write": 4,
}
#: What may be refused, because of what the other clients do.
EXPECTED = {"HOOK_CONFLICT", "HOOK_NOT_FOUND", "RUN_NOT_ACTIVE"}

Op = dict[str, Any]


class Mixer:
    """One round of work in one project."""

    def __init__(self, api: Api, name: str, dice: random.Random) -> None:
        self.api = api
        self.name = name
        self.dice = dice
        self.count = 0
        self.runs: list[str] = []
        self.hooks: list[tuple[str, str]] = []
        self.lengths: dict[str, int] = {}

    def choose(self) -> Op:
        """What to do next, with all ids."""
        self.count += 1
        new, token = f"{self.name}-{self.count}", self.dice.choice([*TOKENS, None])
        if not self.runs:
            return {"op": "start", "run": new}
        run = self.dice.choice(self.runs)
        (kind,) = self.dice.choices(list(LOAD), list(LOAD.values()))
        if kind in ("start", "start-claim", "take-over", "deliver"):
            token = token or self.dice.choice(TOKENS)
            return {"op": kind, "run": new, "token": token, "payload": new}
        if kind == "claim":
            return {"op": kind, "run": run, "hook": new, "token": token}
        if kind == "dispose" and self.hooks:
            owner, hook = self.dice.choice(self.hooks)
            return {"op": kind, "run": owner, "hook": hook}
        if kind == "write":
            return {"op": kind, "run": run, "at": self.lengths.get(run, 0), "chunk": new}
        if kind in ("complete", "fail", "cancel"):
            return {"op": kind, "run": run, "why": new}
        return {"op": "resume", "token": token or TOKENS[0], "payload": new}

    def do(self, op: Op) -> Op:
        """Makes the call; returns what was acknowledged."""
        try:
            return {**op, **self.answer(op)}
        except grpc.RpcError as error:
            told = Refusal(error)
            if told.reason not in EXPECTED:
                raise
            if told.conflict is not None:
                return {**op, "refused": told.reason, "owner": told.conflict.run_id}
            return {**op, "refused": told.reason}

    def answer(self, op: Op) -> Op:
        """Makes the call; returns the facts of its answer."""
        api, run = self.api, op.get("run", "")
        facts: Op = {}
        match op["op"]:
            case "start" | "start-claim" | "take-over" | "deliver":
                return self.start(op)
            case "claim":
                hook = api.claim(run, op["token"], op["hook"]).hook
                self.hooks.append((run, hook.hook_id))
                return {"token": hook.token, "revision": hook.revision}
            case "resume":
                told = api.resume(op["token"], f'"{op["payload"]}"', op["payload"])
                return {"run": told.run_id, "hook": told.hook_id, "seq": told.payload_seq}
            case "dispose":
                api.dispose(run, op["hook"])
            case "write":
                told = api.streams.WriteChunks(
                    WriteChunksRequest(
                        project=api.project,
                        run_id=run,
                        position=op["at"],
                        chunks=[json_payload(op["chunk"])],
                    )
                )
                self.lengths[run] = told.length
            case "complete":
                api.complete(run, f'"{op["why"]}"')
            case "fail":
                api.fail(run, op["why"])
            case "cancel":
                # Another client's take-over may have cancelled it before.
                facts["why"] = api.cancel(run, op["why"]).cancel_reason
        if op["op"] in ("complete", "fail", "cancel"):
            self.runs.remove(run)
        return facts

    def start(self, op: Op) -> Op:
        """Starts a run in one of four ways."""
        more: Op = {}
        if op["op"] != "start":
            more["claims"] = [HookSpec(token=op["token"]), HookSpec(hook_id="auto")]
        if op["op"] == "take-over":
            more["on_conflict"] = CONFLICT_POLICY_TAKE_OVER
        if op["op"] == "deliver":
            more["on_conflict"] = CONFLICT_POLICY_DELIVER
            more["payload"] = json_payload(f'"{op["payload"]}"')
            more["payload_id"] = op["payload"]
        told = self.api.start(op["run"], **more)
        if told.outcome == START_OUTCOME_DELIVERED:
            return {
                "delivered": True,
                "run": told.run.run_id,
                "hook": told.conflict.hook_id,
                "seq": told.payload_seq,
            }
        self.runs.append(op["run"])
        hooks = [[hook.hook_id, hook.token, hook.revision] for hook in told.hooks]
        self.hooks += [(op["run"], hook.hook_id) for hook in told.hooks]
        return {"hooks": hooks, "superseded": list(told.superseded_run_ids)}


def say(**facts: Any) -> None:
    """Writes what was observed."""
    print(json.dumps(facts), flush=True)


def connect(address: str) -> grpc.Channel:
    """A channel that finds the daemon again soon."""
    return grpc.insecure_channel(
        address,
        options=[
            ("grpc.initial_reconnect_backoff_ms", 50),
            ("grpc.min_reconnect_backoff_ms", 50),
            ("grpc.max_reconnect_backoff_ms", 200),
        ],
    )


def main(address: str, name: str, seed: str) -> None:
    """Works until there are no more rounds."""
    dice = random.Random(seed)
    for line in sys.stdin:
        channel = connect(address)
        grpc.channel_ready_future(channel).result(60)
        mixer = Mixer(Api(channel, json.loads(line)["project"]), name, dice)
        while True:
            op = mixer.choose()
            try:
                say(done=mixer.do(op))
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    raise
                break
        say(lost=op)
        sys.stdin.readline()
        channel.close()
        channel = connect(address)
        grpc.channel_ready_future(channel).result(60)
        mixer.api = Api(channel, mixer.api.project)
        say(kept=mixer.do(op))
        channel.close()


main(*sys.argv[1:])
