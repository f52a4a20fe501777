"""Many clients of few tokens, and what each of them saw, and when."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import grpc.aio
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from hookd.v1 import hook_service_pb2 as hooks
from hookd.v1 import run_service_pb2 as runs
from hookd.v1.common_pb2 import HookSpec, Payload
from hookd.v1.errors_pb2 import ErrorReason, HookConflict
from hookd.v1.hook_service_pb2_grpc import HookServiceStub
from hookd.v1.run_service_pb2_grpc import RunServiceStub

from tests.model.history import Op
from tests.model.one_token import Answer
from tests.model.wire import POLICIES

PAYLOAD = Payload(content_type="application/json", data=b"1")
#: A call that is not answered for so long, in seconds, fails the test.
PATIENCE_S = 30.0


class Load:
    """What all clients of one history share.

    Args:
        project: where they work.
        tokens: what they want.
        seed: what they do.

    Attributes:
        seen: the calls on each token.
        count: how many calls have an answer.
    """

    def __init__(self, project: str, tokens: list[str], seed: int) -> None:
        self.project = project
        self.tokens = tokens
        self.seed = seed
        self.seen: dict[str, list[Op]] = defaultdict(list)
        self.count = 0
        self.enough = asyncio.Event()

    async def reach(self, count: int) -> None:
        """Waits until so many calls have an answer."""
        while self.count < count:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.005)


class Client:
    """One that works on one connection, one call after the other.

    Args:
        load: what it shares with others.
        name: its name, of which the names of its runs are made.
        channel: to the daemon.
    """

    def __init__(self, load: Load, name: str, channel: grpc.aio.Channel) -> None:
        self._load = load
        self._name = name
        self._channel = channel
        self._runs = RunServiceStub(channel)
        self._hooks = HookServiceStub(channel)
        self._dice = random.Random(f"{load.seed} {name}")
        self._numbers = itertools.count(1)
        self._calls: dict[str, Callable[..., Awaitable[Answer]]] = {
            "open": self._open,
            "claim": self._claim,
            "start": self._start,
            "dispose": self._dispose,
            "end": self._end,
            "get": self._get,
            "resume": self._resume,
        }

    async def work(self) -> None:
        """Works until it is enough."""
        while not self._load.enough.is_set():
            token = self._dice.choice(self._load.tokens)
            life = self._dice.choices([self._claimed, self._started, self._looking], [5, 3, 2])[0]
            await life(token)

    async def _claimed(self, token: str) -> None:
        """A run that claims, and gives up what it gets in one way or another."""
        run = self._new("run")
        await self._do(token, "open", run)
        told = await self._do(token, "claim", run, "h")
        if self._dice.random() < 0.1:
            await self._do(token, "claim", run, "h")
        if told[0] == "conflict":
            await self._looking(token)
        await self._finish(token, run, "h")

    async def _started(self, token: str) -> None:
        """A start that claims."""
        run = self._new("run")
        policy = self._dice.choice(list(POLICIES))
        payload = self._new("payload") if policy == "deliver" else ""
        told = await self._do(token, "start", run, policy, payload)
        if told[0] in ("created", "superseded", "already"):
            await self._finish(token, run, "claim-1")

    async def _finish(self, token: str, run: str, hook: str) -> None:
        while self._dice.random() < 0.3:
            await self._looking(token)
        if self._dice.random() < 0.5:
            await self._do(token, "dispose", run, hook)
            if self._dice.random() < 0.1:
                await self._do(token, "claim", run, hook)
        if self._dice.random() < 0.9:
            await self._do(token, "end", run, self._dice.choice(["completed", "cancelled"]))

    async def _looking(self, token: str) -> None:
        if self._dice.random() < 0.5:
            await self._do(token, "get")
        else:
            await self._do(token, "resume", self._new("payload"))

    def _new(self, kind: str) -> str:
        return f"{kind}-{self._name}-{next(self._numbers)}"

    async def _do(self, token: str, *call: str) -> Answer:
        """Makes a call until it has an answer, with the same ids, and notes what it saw."""
        while True:
            invoked, answer = time.monotonic(), None
            try:
                answer = await self._calls[call[0]](token, *call[1:])
            except grpc.RpcError as error:
                if error.code() != grpc.StatusCode.UNAVAILABLE:
                    answer = _refused(error)
            op = Op(self._name, call, invoked, time.monotonic(), answer)
            self._load.seen[token].append(op)
            if answer is not None:
                self._load.count += 1
                return answer
            await asyncio.wait_for(self._channel.channel_ready(), PATIENCE_S)

    async def _open(self, token: str, run: str) -> Answer:
        return _started(await self._start_run(run))

    async def _start(self, token: str, run: str, policy: str, payload: str) -> Answer:
        more: dict[str, Any] = {"claims": [HookSpec(token=token)], "on_conflict": POLICIES[policy]}
        if payload:
            more |= {"payload": PAYLOAD, "payload_id": payload}
        return _started(await self._start_run(run, **more))

    async def _start_run(self, run: str, **more: Any) -> runs.StartRunResponse:
        request = runs.StartRunRequest(
            project=self._load.project, run_id=run, workflow="w", external=True, **more
        )
        return await self._runs.StartRun(request, timeout=PATIENCE_S)

    async def _claim(self, token: str, run: str, hook: str) -> Answer:
        spec = HookSpec(hook_id=hook, token=token)
        project = self._load.project
        if self._dice.random() < 0.6:
            told = await self._hooks.CreateHook(
                hooks.CreateHookRequest(project=project, run_id=run, hook=spec),
                timeout=PATIENCE_S,
            )
            return "exists" if told.already_exists else "created", told.hook.revision
        batch = [hooks.HookClaim(run_id=run, hook=spec)]
        told = await self._hooks.CreateHooks(
            hooks.CreateHooksRequest(project=project, hooks=batch), timeout=PATIENCE_S
        )
        (result,) = told.results
        if result.HasField("claimed"):
            claimed = result.claimed
            return "exists" if claimed.already_exists else "created", claimed.revision
        error = result.error
        reason = ErrorReason.Name(error.reason).removeprefix("ERROR_REASON_")
        return _no(reason, dict(error.metadata), error.conflict)

    async def _dispose(self, token: str, run: str, hook: str) -> Answer:
        ref = hooks.HookRef(run_id=run, hook_id=hook)
        told = await self._hooks.DisposeHook(
            hooks.DisposeHookRequest(project=self._load.project, ref=ref), timeout=PATIENCE_S
        )
        return ("already" if told.already_disposed else "disposed",)

    async def _end(self, token: str, run: str, status: str) -> Answer:
        project = self._load.project
        if status == "completed":
            told = await self._runs.CompleteRun(
                runs.CompleteRunRequest(project=project, run_id=run), timeout=PATIENCE_S
            )
            return ("already",) if told.already_completed else ("ended", status)
        told = await self._runs.CancelRun(
            runs.CancelRunRequest(project=project, run_id=run), timeout=PATIENCE_S
        )
        return ("already",) if told.already_cancelled else ("ended", status)

    async def _get(self, token: str) -> Answer:
        told = await self._hooks.GetHook(
            hooks.GetHookRequest(project=self._load.project, token=token), timeout=PATIENCE_S
        )
        return "held", told.hook.run_id, told.hook.hook_id, told.hook.revision

    async def _resume(self, token: str, payload: str) -> Answer:
        told = await self._hooks.ResumeHook(
            hooks.ResumeHookRequest(
                project=self._load.project, token=token, payload_id=payload, payload=PAYLOAD
            ),
            timeout=PATIENCE_S,
        )
        return "accepted", told.run_id, told.hook_id, told.payload_seq, told.duplicate


def _started(told: runs.StartRunResponse) -> Answer:
    match told.outcome:
        case runs.START_OUTCOME_ALREADY_STARTED:
            return ("already",)
        case runs.START_OUTCOME_USED_EXISTING:
            return "existing", told.run.run_id, told.conflict.hook_id
        case runs.START_OUTCOME_DELIVERED:
            return "delivered", told.run.run_id, told.payload_seq, told.payload_duplicate
    if not told.hooks:
        return ("started",)
    if told.superseded_run_ids:
        return "superseded", *told.superseded_run_ids, told.hooks[0].revision
    return "created", told.hooks[0].revision


def _refused(error: grpc.RpcError) -> Answer:
    """What a refusal says, in the words of ``tests.model.one_token``."""
    trailing = dict(error.trailing_metadata() or ())
    info, conflict = ErrorInfo(), HookConflict()
    for detail in Status.FromString(trailing.get("grpc-status-details-bin", b"")).details:
        detail.Unpack(info)
        detail.Unpack(conflict)
    return _no(info.reason, dict(info.metadata), conflict)


def _no(reason: str, about: dict[str, str], conflict: HookConflict) -> Answer:
    match reason:
        case "HOOK_CONFLICT":
            return "conflict", conflict.run_id, conflict.hook_id, conflict.revision
        case "RUN_NOT_FOUND":
            return ("no run",)
        case "RUN_NOT_ACTIVE":
            return "not active", about["status"]
        case "HOOK_NOT_FOUND" if "hook_status" in about:
            return ("gone",)
        case "HOOK_NOT_FOUND":
            return ("no hook",) if "hook_id" in about else ("free",)
    raise AssertionError(f"unexpected: {reason} {about}")
