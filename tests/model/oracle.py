"""What the daemon must answer, straight from the tables of its guarantees.

One class on plain dictionaries, with nothing of the daemon's code. Each call of
the API is a method of the same name; it gives the facts of the answer, in the
words of the API, or raises ``Refused``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tests.model.facts import ANYTHING, Facts, Symbol
from tests.model.things import (
    MAX_TOKEN_BYTES,
    Due,
    Hook,
    Receipt,
    Refused,
    Run,
    Spec,
    Token,
    some,
)


class Oracle:
    """A project, as it must be.

    Args:
        now: the time, in milliseconds since 1970.
        retention: how long an ended run is kept, in milliseconds.
    """

    def __init__(self, now: int, retention: int) -> None:
        self.now = now
        self.retention = retention
        self.runs: dict[str, Run] = {}
        self.holders: dict[Token, Hook] = {}
        self.receipts: dict[tuple[Token, str], Receipt] = {}
        self.made = {"revision": 0, "token": 0}

    # What happens by itself.

    def due(self) -> list[Due]:
        """What is going to happen, the first thing first."""
        found: list[Due] = []
        for run in self.runs.values():
            if not run.active:
                found.append(Due(run.remove_at, "removed", run))
            elif run.lease_ttl:
                found.append(Due(run.lease_until, "lapsed", run))
        for hook in self.holders.values():
            if not hook.run.active:
                found.append(Due(hook.held_until, "freed", hook.run, hook))
            elif hook.spec.ttl:
                expires_at = hook.created_at + hook.spec.ttl
                found.append(Due(expires_at, "expired", hook.run, hook))
        return sorted(found, key=lambda due: due.time)

    def pass_to(self, time: int) -> None:
        """Lets time go on, and happen what comes due, each at its time."""
        while (due := self.due()) and due[0].time <= time:
            self.now = max(self.now, due[0].time)
            self._happen(due[0])
        self.now = time

    def _happen(self, due: Due) -> None:
        match due.kind:
            case "lapsed":
                failure = {"type": "LEASE_EXPIRED", "message": ANYTHING}
                self._end(due.run, "failed", {"failure": failure})
            case "removed":
                for hook in [hook for hook in self.holders.values() if hook.run is due.run]:
                    self._free(hook)
                del self.runs[due.run.run_id]
            case "freed" if due.hook:
                self._free(due.hook)
            case "expired" if due.hook:
                self._dispose(due.hook, "expired")

    def restart(self) -> None:
        """The daemon starts anew: leases have their full time again."""
        for run in self.runs.values():
            if run.active and run.lease_ttl:
                run.lease_until = max(run.lease_until, self.now + run.lease_ttl)

    def _free(self, hook: Hook) -> None:
        del self.holders[hook.token]

    # Runs.

    def start_run(
        self,
        run_id: str,
        claims: Sequence[Spec] = (),
        on_conflict: str = "fail",
        workflow: str = "checkout",
        input: str = "1",
        external: bool = True,
        lease_ttl: int = 0,
        payload_id: str = "",
        payload: str = "",
    ) -> Facts:
        """Starts a run with its claims, or does what is to be done about a conflict."""
        content = (tuple(claims), workflow, input, external, lease_ttl)
        claims = [
            Spec(spec.hook_id or f"claim-{i}", spec.token, spec.metadata, spec.ttl, spec.hold_after)
            for i, spec in enumerate(claims, 1)
        ]
        tokens = [spec.token for spec in claims if spec.token is not None]
        for spec in claims:
            self._check(spec)
        if (
            len(set(tokens)) < len(tokens)
            or len({spec.hook_id for spec in claims}) < len(claims)
            or (on_conflict == "deliver" and not claims)
            or (lease_ttl and not external)
        ):
            raise Refused("INVALID_ARGUMENT")
        known = self.runs.get(run_id)
        if known is not None:
            return self._started_before(known, content, on_conflict, payload_id, payload)
        if on_conflict == "deliver":
            for token in tokens:
                receipt = self._receipt(token, payload_id, payload)
                if receipt is not None:
                    hook = receipt.run.hooks[receipt.hook_id]
                    return self._met("delivered", hook, receipt, duplicate=True)
        superseded: list[str] = []
        for token in tokens:
            holder = self.holders.get(token)
            if holder is None:
                continue
            if on_conflict == "take_over":
                if holder.run.active:
                    superseded.append(holder.run.run_id)
                    told = {"cancel_reason": ANYTHING, "superseded_by_run_id": run_id}
                    self._end(holder.run, "cancelled", told)
                if token in self.holders:
                    self._free(holder)
            elif on_conflict == "use_existing":
                return self._met("used_existing", holder)
            elif on_conflict == "deliver" and holder.run.active:
                receipt = self._accept(holder, payload_id, payload)
                return self._met("delivered", holder, receipt)
            else:
                raise Refused("HOOK_CONFLICT", self._conflict(token))
        run = Run(run_id, content, workflow, input, external, lease_ttl, self.now)
        self.runs[run_id] = run
        run.superseded = superseded
        run.claims = [spec.hook_id for spec in claims]
        self._log(run, "run_created", **some(workflow=workflow, input=input))
        if external:
            self._begin(run)
        if lease_ttl:
            run.lease_until = self.now + lease_ttl
        for spec in claims:
            self._claim(run, spec)
        receipt = None
        if on_conflict == "deliver":
            receipt = self._accept(run.hooks[run.claims[0]], payload_id, payload)
        return self._started("started", run, receipt)

    def _started_before(
        self, run: Run, content: tuple[Any, ...], on_conflict: str, payload_id: str, payload: str
    ) -> Facts:
        if run.content != content:
            raise Refused("RUN_EXISTS", run_id=run.run_id)
        if on_conflict != "deliver":
            return self._started("already_started", run)
        first = run.hooks[run.claims[0]]
        receipt = self._receipt(first.token, payload_id, payload)
        duplicate = receipt is not None
        if receipt is None:
            # A payload that is new is for the hook that was started, and for no other.
            if not self._is_active(first):
                raise Refused("HOOK_NOT_FOUND", token=first.token)
            receipt = self._accept(first, payload_id, payload)
        return self._started("already_started", run, receipt, duplicate=duplicate)

    def _started(
        self, outcome: str, run: Run, receipt: Receipt | None = None, *, duplicate: bool = False
    ) -> Facts:
        hooks = [self._hook(run.hooks[hook_id], metadata=True) for hook_id in run.claims]
        return some(
            outcome=outcome,
            run=self._run(run),
            hooks=hooks,
            superseded_run_ids=run.superseded,
            payload_seq=0 if receipt is None else receipt.seq,
            payload_duplicate=duplicate,
        )

    def _met(
        self,
        outcome: str,
        owner: Hook,
        receipt: Receipt | None = None,
        *,
        duplicate: bool = False,
    ) -> Facts:
        return some(
            outcome=outcome,
            run=self._run(owner.run),
            conflict=self._conflict_with(owner),
            payload_seq=0 if receipt is None else receipt.seq,
            payload_duplicate=duplicate,
        )

    def get_run(self, run_id: str) -> Facts:
        """Reads a run."""
        return {"run": self._run(self._load(run_id))}

    def await_run(self, run_id: str) -> Facts:
        """Looks whether a run has ended, without waiting."""
        return self.get_run(run_id)

    def keep_alive(self, run_id: str) -> Facts:
        """Renews a lease."""
        run = self._load(run_id)
        self._need_active(run)
        if not run.lease_ttl:
            raise Refused("INVALID_ARGUMENT")
        run.lease_until = self.now + run.lease_ttl
        return {"lease_expires_at": run.lease_until}

    def complete_run(self, run_id: str, output: str) -> Facts:
        """Ends a run with an output."""
        return self._end_once(run_id, "completed", {"output": output})

    def fail_run(self, run_id: str, message: str) -> Facts:
        """Ends a run with an error."""
        return self._end_once(run_id, "failed", {"failure": {"type": "Error", "message": message}})

    def _end_once(self, run_id: str, status: str, end: Facts) -> Facts:
        run = self._load(run_id)
        again = run.status == status and run.end == end
        if not again:
            self._need_active(run)
            self._end(run, status, end)
        return some(run=self._run(run), **{f"already_{status}": again})

    def cancel_run(self, run_id: str, reason: str) -> Facts:
        """Cancels a run; once more is fine."""
        run = self._load(run_id)
        again = run.status == "cancelled"
        if not again:
            self._need_active(run)
            self._end(run, "cancelled", {"cancel_reason": reason})
        return some(run=self._run(run), already_cancelled=again)

    def complete_turn(self, run_id: str) -> Facts:
        """Reports a turn that was never handed out."""
        self._load(run_id)
        raise Refused("STALE_TURN", run_id=run_id)

    def watch_run(self, run_id: str) -> Facts:
        """Reads the log that is there, and its end if the run has ended."""
        run = self._load(run_id)
        return {"events": run.log, "ended": not run.active}

    # Hooks.

    def create_hook(self, run_id: str, spec: Spec) -> Facts:
        """Claims a token for a run."""
        hook, existed = self._create(run_id, spec)
        return some(hook=self._hook(hook, metadata=True), already_exists=existed)

    def create_hooks(self, hooks: Sequence[tuple[str, Spec]]) -> Facts:
        """Claims many tokens, one after the other."""
        results = []
        for run_id, spec in hooks:
            try:
                hook, existed = self._create(run_id, spec)
            except Refused as refused:
                results.append({"error": refused.facts})
                continue
            claimed = some(
                hook_id=spec.hook_id,
                token=hook.token,
                revision=hook.revision,
                already_exists=existed,
            )
            results.append({"claimed": claimed})
        return some(results=results)

    def claim_stream(self, hooks: Sequence[tuple[str, Spec]]) -> Facts:
        """The same on a stream of one batch."""
        return {"batch_id": 7, **self.create_hooks(hooks)}

    def _create(self, run_id: str, spec: Spec) -> tuple[Hook, bool]:
        self._check(spec)
        run = self._load(run_id)
        known = run.hooks.get(spec.hook_id)
        if known is not None:
            return self._created_before(known, spec), True
        self._need_active(run)
        self._begin(run)
        hook = self._claim(run, spec)
        if hook.conflict is not None:
            raise Refused("HOOK_CONFLICT", hook.conflict)
        return hook, False

    def _created_before(self, hook: Hook, spec: Spec) -> Hook:
        """The first answer again."""
        old = hook.spec
        same_token = old.token is None if spec.token is None else spec.token == hook.token
        new = (spec.metadata, spec.ttl, spec.hold_after)
        facts = {"run_id": hook.run.run_id, "hook_id": spec.hook_id}
        if not same_token or new != (old.metadata, old.ttl, old.hold_after):
            raise Refused("ID_REUSED", **facts)
        if hook.conflict is not None:
            raise Refused("HOOK_CONFLICT", hook.conflict)
        if hook.gone:
            raise Refused("HOOK_NOT_FOUND", **facts)
        return hook

    def _claim(self, run: Run, spec: Spec) -> Hook:
        token = self._new("token") if spec.token is None else spec.token
        revision = self._new("revision")
        if token in self.holders:
            conflict = self._conflict(token)
            run.hooks[spec.hook_id] = Hook(run, spec, token, self.now, None, conflict)
            self._log(run, "hook_conflict", spec.hook_id, conflict=conflict)
            return run.hooks[spec.hook_id]
        hook = self.holders[token] = Hook(run, spec, token, self.now, revision)
        run.hooks[spec.hook_id] = hook
        content = some(
            token=token,
            metadata=spec.metadata,
            ttl=spec.ttl,
            hold_after=spec.hold_after,
            revision=revision,
        )
        self._log(run, "hook_created", spec.hook_id, **content)
        return hook

    def get_hook(self, token: Token) -> Facts:
        """Reads the hook that holds a token."""
        self._check(Spec("", token))
        holder = self.holders.get(token)
        if holder is None:
            raise Refused("HOOK_NOT_FOUND", token=token)
        return {"hook": self._hook(holder, metadata=True)}

    def get_hook_by_id(self, run_id: str, hook_id: str) -> Facts:
        """Reads a hook of a run, whatever became of it."""
        return {"hook": self._hook(self._load_hook(run_id, hook_id), metadata=True)}

    def resume_hook(self, token: Token, payload_id: str, payload: str) -> Facts:
        """Delivers a payload to a token."""
        self._check(Spec("", token))
        receipt = self._receipt(token, payload_id, payload)
        duplicate = receipt is not None
        if receipt is None:
            holder = self.holders.get(token)
            if holder is None or not holder.run.active:
                raise Refused("HOOK_NOT_FOUND", token=token)
            receipt = self._accept(holder, payload_id, payload)
        return some(
            run_id=receipt.run.run_id,
            hook_id=receipt.hook_id,
            payload_seq=receipt.seq,
            duplicate=duplicate,
        )

    def dispose_hook(self, run_id: str, hook_id: str) -> Facts:
        """Gives up a hook and its token, also one that is held."""
        hook = self._load_hook(run_id, hook_id)
        holds = self.holders.get(hook.token) is hook
        if holds:
            self._dispose(hook, "disposed")
        return some(hook=self._hook(hook), already_disposed=not holds)

    def receive_payloads(self, run_id: str, hook_id: str) -> Facts:
        """Reads the payloads that are there, and whether more can come."""
        hook = self._load_hook(run_id, hook_id)
        closed = {"status": self._status(hook), "run_status": hook.run.status}
        found: Facts = {"payloads": hook.payloads}
        return found if self._is_active(hook) else {**found, "closed": closed}

    # What these consist of.

    def _new(self, kind: str) -> Symbol:
        self.made[kind] += 1
        return Symbol(kind, self.made[kind])

    def _check(self, spec: Spec) -> None:
        token = spec.token
        if isinstance(token, str) and not 1 <= len(token.encode()) <= MAX_TOKEN_BYTES:
            raise Refused("INVALID_ARGUMENT")

    def _load(self, run_id: str) -> Run:
        if run_id not in self.runs:
            raise Refused("RUN_NOT_FOUND", run_id=run_id)
        return self.runs[run_id]

    def _load_hook(self, run_id: str, hook_id: str) -> Hook:
        hook = self._load(run_id).hooks.get(hook_id)
        if hook is None:
            raise Refused("HOOK_NOT_FOUND", run_id=run_id, hook_id=hook_id)
        return hook

    def _need_active(self, run: Run) -> None:
        if not run.active:
            raise Refused("RUN_NOT_ACTIVE", run_id=run.run_id, status=run.status)

    def _log(self, run: Run, kind: str, hook_id: str = "", /, **data: Any) -> None:
        seq = len(run.log) + 1
        event = some(seq=seq, time=self.now, correlation_id=hook_id, kind=kind)
        run.log.append({**event, "data": data})

    def _begin(self, run: Run) -> None:
        if run.status == "pending":
            run.status, run.started_at = "running", self.now
            self._log(run, "run_started")

    def _end(self, run: Run, status: str, end: Facts) -> None:
        """The event that ends a run and the release of its tokens are one step."""
        told = {"reason" if name == "cancel_reason" else name: end[name] for name in end}
        self._log(run, f"run_{status}", **told)
        run.end = {name: value for name, value in end.items() if name != "superseded_by_run_id"}
        run.status, run.ended_at = status, self.now
        run.remove_at = self.now + self.retention
        for hook in [hook for hook in self.holders.values() if hook.run is run]:
            if hook.spec.hold_after:
                hook.held_until = self.now + hook.spec.hold_after
                run.remove_at = max(run.remove_at, hook.held_until)
            else:
                self._free(hook)

    def _dispose(self, hook: Hook, how: str) -> None:
        hook.gone = how
        self._free(hook)
        if hook.run.active:
            cause = "requested" if how == "disposed" else how
            self._log(hook.run, "hook_disposed", hook.spec.hook_id, cause=cause)

    def _receipt(self, token: Token, payload_id: str, text: str) -> Receipt | None:
        receipt = self.receipts.get((token, payload_id))
        if receipt is None or self.runs.get(receipt.run.run_id) is not receipt.run:
            return None
        if receipt.text != text:
            raise Refused("ID_REUSED", payload_id=payload_id, run_id=receipt.run.run_id)
        return receipt

    def _accept(self, hook: Hook, payload_id: str, text: str) -> Receipt:
        received = {
            "payload_seq": len(hook.payloads) + 1,
            "payload_id": payload_id,
            "payload": text,
        }
        hook.payloads.append({**received, "received_at": self.now})
        self._log(hook.run, "hook_received", hook.spec.hook_id, **received)
        receipt = Receipt(hook.run, hook.spec.hook_id, len(hook.payloads), text)
        self.receipts[hook.token, payload_id] = receipt
        return receipt

    def _is_active(self, hook: Hook) -> bool:
        return self._status(hook) == "active"

    def _status(self, hook: Hook) -> str:
        if hook.conflict is not None:
            return "conflicted"
        if hook.gone:
            return hook.gone
        if hook.run.active:
            return "active"
        return "held" if self.holders.get(hook.token) is hook else "closed"

    def _conflict(self, token: Token) -> Facts:
        return self._conflict_with(self.holders[token])

    def _conflict_with(self, holder: Hook) -> Facts:
        return {
            "token": holder.token,
            "run_id": holder.run.run_id,
            "hook_id": holder.spec.hook_id,
            "run_status": holder.run.status,
            "workflow": holder.run.workflow,
            "claimed_at": holder.created_at,
            "revision": holder.revision,
        }

    def _run(self, run: Run, *, brief: bool = False) -> Facts:
        """A run as the API shows it; in a list without its payloads and its lease's end."""
        end = {name: value for name, value in run.end.items() if not brief or name != "output"}
        return some(
            run_id=run.run_id,
            workflow=run.workflow,
            status=run.status,
            input="" if brief else run.input,
            created_at=run.created_at,
            started_at=run.started_at,
            ended_at=run.ended_at,
            last_seq=len(run.log),
            external=run.external,
            lease_ttl=run.lease_ttl,
            lease_expires_at=run.lease_until if run.active and not brief else 0,
            **end,
        )

    def _hook(self, hook: Hook, *, metadata: bool = False) -> Facts:
        spec = hook.spec
        return some(
            run_id=hook.run.run_id,
            hook_id=spec.hook_id,
            token=hook.token,
            status=self._status(hook),
            metadata=spec.metadata if metadata and hook.conflict is None else None,
            created_at=hook.created_at,
            expires_at=hook.created_at + spec.ttl if spec.ttl else 0,
            hold_after=spec.hold_after,
            revision=hook.revision,
            payload_count=len(hook.payloads),
            run_status=hook.run.status,
            workflow=hook.run.workflow,
        )

    def snapshot(self) -> Facts:
        """Everything there is, as ``tests.support.snapshot`` reads it."""
        return {
            "runs": {run.run_id: self._run(run, brief=True) for run in self.runs.values()},
            "logs": {run.run_id: run.log for run in self.runs.values()},
            "hooks": {
                f"{run.run_id} {hook_id}": self._hook(hook)
                for run in self.runs.values()
                for hook_id, hook in run.hooks.items()
            },
            "holders": {
                f"{hook.run.run_id} {hook.spec.hook_id}": self._hook(hook)
                for hook in self.holders.values()
            },
        }
