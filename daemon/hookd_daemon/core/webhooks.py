"""What the senders of requests to webhooks are answered by the run."""

from __future__ import annotations

from hookd.v1.events_pb2 import Event, WebhookResponded
from hookd.v1.webhook_pb2 import HttpResponse
from hookd.v1.worker_service_pb2 import RespondWebhookCommand

from hookd_daemon.core import keys, topics
from hookd_daemon.core.moment import Moment
from hookd_daemon.core.runs import RunState, load_run, read_event
from hookd_daemon.errors import HookNotFoundError, IdReusedError, InvalidArgumentError
from hookd_daemon.records.v1.records_pb2 import HookRecord, PayloadRecord
from hookd_daemon.store.tx import Tx


async def respond_webhook(
    tx: Tx,
    moment: Moment,
    project: str,
    run_id: str,
    hook_id: str,
    payload_seq: int,
    response: HttpResponse,
) -> bool:
    """Says what the sender of a request is answered.

    Returns:
        Whether the same had been said before.

    Raises:
        RunNotFoundError: there is no such run.
        HookNotFoundError: the run has no such hook.
        InvalidArgumentError: the hook's requests are not answered by its run,
            or it has no such payload.
        IdReusedError: something else was said before.
        RunNotActiveError: the run has ended.
    """
    run = await load_run(tx, moment, project, run_id)
    value = await tx.get(run.hook_key(hook_id))
    if value is None:
        raise HookNotFoundError.by_id(run_id, hook_id)
    key, payload = await _payload(run, hook_id, HookRecord.FromString(value), payload_seq)
    if payload.response_seq:
        said = (await read_event(tx, run, payload.response_seq)).webhook_responded
        if said.response != response:
            raise IdReusedError(
                f"payload {payload_seq} of hook {hook_id} was answered before, otherwise",
                run_id=run_id,
                hook_id=hook_id,
                payload_seq=str(payload_seq),
            )
        return True
    run.require_active()
    _respond(run, moment, hook_id, key, payload, payload_seq, response)
    run.save()
    return False


async def apply_response(run: RunState, moment: Moment, command: RespondWebhookCommand) -> None:
    """Does what a command of a turn says; the run's record is to be saved by the caller.

    The first answer counts, whoever gave it.

    Raises:
        InvalidArgumentError: the run has no such payload to answer.
    """
    value = await run.tx.get(run.hook_key(command.hook_id))
    if value is None:
        raise InvalidArgumentError("hook_id", f"the run has no hook {command.hook_id}")
    hook, seq = HookRecord.FromString(value), command.payload_seq
    try:
        key, payload = await _payload(run, command.hook_id, hook, seq)
    except InvalidArgumentError as error:
        field = "hook_id" if error.field == "ref" else error.field
        raise InvalidArgumentError(field, error.description) from None
    if payload.response_seq:
        said = WebhookResponded(payload_seq=seq, already_answered=True)
        run.append(Event(correlation_id=command.hook_id, webhook_responded=said), moment)
        return
    _respond(run, moment, command.hook_id, key, payload, seq, command.response)


async def _payload(
    run: RunState, hook_id: str, hook: HookRecord, seq: int
) -> tuple[bytes, PayloadRecord]:
    """A payload that the run answers, with its key."""
    if not hook.HasField("webhook") or not hook.webhook.HasField("manual"):
        raise InvalidArgumentError("ref", f"hook {hook_id} is no webhook that its run answers")
    key = keys.payloads(run.uid, hook_id) + keys.number(seq)
    value = await run.tx.get(key)
    if value is None:
        raise InvalidArgumentError(
            "payload_seq", f"hook {hook_id} has {hook.payload_count} payloads; it is {seq}"
        )
    return key, PayloadRecord.FromString(value)


def _respond(
    run: RunState,
    moment: Moment,
    hook_id: str,
    key: bytes,
    payload: PayloadRecord,
    seq: int,
    response: HttpResponse,
) -> None:
    said = WebhookResponded(payload_seq=seq, response=response)
    payload.response_seq = run.append(Event(correlation_id=hook_id, webhook_responded=said), moment)
    run.tx.put(key, payload.SerializeToString())
    run.tx.notify(topics.answer(run.uid, hook_id, seq))
