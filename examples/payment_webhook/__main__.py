"""Shows a service that calls a URL: ``python -m examples.payment_webhook``."""

import asyncio

from hookd import get_hook_by_token, start

from examples.payment_webhook import workflows
from examples.payment_webhook.service import SECRET, deliver
from examples.payment_webhook.workflows import collect_payments
from examples.stage import play, set_secret


async def show() -> None:
    """Pays an order in two parts, one of them twice, and is sent two other things."""
    await set_secret(workflows.SERVICE, SECRET)
    run = await start(collect_payments, "order-42", 100)
    webhook = await get_hook_by_token("payments-order-42", wait=10)
    print(f"the payment service knows {webhook.url}")

    async def sent(what: str, delivery: str, event: object, **more: bytes) -> None:
        status, body = await asyncio.to_thread(deliver, webhook.url, delivery, event, **more)
        print(f"{what}: {status} {body}".rstrip())

    await sent("a payment of 60", "event-1", {"data": {"amount": 60}})
    await sent("the same again", "event-1", {"data": {"amount": 60}})
    await sent("a forged payment", "event-2", {"data": {"amount": 1000}}, key=b"guessed")
    await sent("something else", "event-3", {"data": "hello"})
    await sent("a payment of 40", "event-4", {"data": {"amount": 40}})

    receipt = await run.return_value()
    print(f"{receipt.order} is paid: {receipt.amounts}")
    await sent("a late payment", "event-5", {"data": {"amount": 1}})


if __name__ == "__main__":
    play(show, workflows)
