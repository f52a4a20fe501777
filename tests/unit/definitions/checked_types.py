"""What must type-check, and what must not: read by mypy alone, never run.

A line that must be refused says so with an `ignore`; one that is not needed
any more is an error, too.
"""

from collections.abc import Coroutine
from datetime import timedelta
from typing import Any, assert_type

from hookd import (
    Manual,
    Run,
    Webhook,
    WebhookRequest,
    WebhookResponse,
    WorkflowWebhook,
    create_webhook,
    start,
    verify,
)
from hookd.workflows.definition import RetryPolicy, Step, Workflow, step, workflow
from hookd.workflows.errors import RetryableError


@step
async def charge(order: str, amount: int = 1, *, currency: str = "EUR") -> float:
    return float(amount)


@step
def compute(number: int) -> list[int]:
    return [number]


@step(max_retries=5)
async def retried(number: int) -> int:
    return number


@step(name="other", retry=RetryPolicy(max_retries=0, initial_interval="1m"))
def retried_and_sync(number: int) -> str:
    return str(number)


@workflow
async def pay(order: str) -> dict[str, float]:
    assert_type(await charge(order), float)
    assert_type(await compute(3), list[int])
    assert_type(await retried(3), int)
    assert_type(await retried_and_sync(3), str)
    await assert_type(charge(order, 2, currency="USD"), Coroutine[Any, Any, float])
    await charge(5)  # type: ignore[arg-type]
    await charge()  # type: ignore[call-arg]
    await compute("x")  # type: ignore[arg-type]
    await retried_and_sync("x")  # type: ignore[arg-type]
    return {"amount": await charge(order)}


@workflow(name="pay-all", version="2")
async def pay_all(orders: list[str]) -> int:
    assert_type(await pay("a"), dict[str, float])
    return len(orders)


@workflow  # type: ignore[arg-type]
def not_async(order: str) -> int:
    return 1


def kinds() -> None:
    assert_type(charge.step_name, str)
    assert_type(charge.retry, RetryPolicy)
    one: Step[[int], list[int]] = compute
    two: Workflow[[str], dict[str, float]] = pay
    assert_type(two.workflow_name, str)
    assert_type(one.is_async, bool)
    RetryableError("later", retry_after=timedelta(minutes=1))
    RetryableError("later", retry_after="1m")
    RetryableError("later", retry_after=[])  # type: ignore[arg-type]


async def outside() -> None:
    assert_type(await start(pay, "42"), Run)
    assert_type(await start("pay", "42", run_id="x"), Run)


@workflow
async def hooked() -> None:
    webhook = create_webhook("t", respond_with="manual", verify=verify.github("secret"))
    assert_type(webhook, WorkflowWebhook)
    request = await webhook
    assert_type(request, WebhookRequest)
    request.respond(201, {"a": "b"}, {"any": "value"})
    assert_type(await request.respond(), bool)
    async for each in webhook:
        assert_type(each.headers["a"], str)
    async with create_webhook(respond_with=WebhookResponse(204)) as entered:
        assert_type(entered.url, str)
    create_webhook("t", respond_with=Manual(within="30s"))
    create_webhook("t", respond_with="auto")  # type: ignore[arg-type]
    create_webhook("t", verify="github")  # type: ignore[arg-type]
    verify.hmac_sha256("secret", encoding="rot13")  # type: ignore[arg-type]


async def hooked_outside(run: Run) -> None:
    webhook = await run.create_webhook("t", respond_with="manual")
    assert_type(webhook, Webhook)
    assert_type(await webhook, WebhookRequest)
    async for request in webhook:
        assert_type(await request.respond(), bool)
