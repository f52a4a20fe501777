"""A payment service calls a URL: its signature is checked, and the run answers."""

from dataclasses import dataclass

from hookd import WebhookRequest, create_webhook, step, verify, workflow

SERVICE = "payment-service"
"""The name of the secret in the daemon: ``hookd secrets set payment-service``."""


@dataclass
class Receipt:
    """An order is paid."""

    order: str
    amounts: list[int]


@workflow
async def collect_payments(order: str, price: int) -> Receipt:
    """Takes payments for an order until it is paid."""
    amounts: list[int] = []
    webhook = create_webhook(
        f"payments-{order}", respond_with="manual", verify=verify.standard_webhooks(SERVICE)
    )
    async with webhook:
        await announce(order, webhook.url)
        async for request in webhook:
            amount = amount_in(request)
            if amount is None:
                request.respond(400, body="this is no payment")
                continue
            amounts.append(await book(order, amount))
            request.respond(200, body={"open": price - sum(amounts)})
            if sum(amounts) >= price:
                break
    return Receipt(order, amounts)


def amount_in(request: WebhookRequest) -> int | None:
    """Reads what somebody has sent, who may have sent anything."""
    try:
        amount = request.json()["data"]["amount"]
    except (ValueError, KeyError, TypeError):
        return None
    return amount if isinstance(amount, int) and amount > 0 else None


@step
async def announce(order: str, url: str) -> None:
    """Tells the payment service the URL, where one does not enter it by hand."""


@step
async def book(order: str, amount: int) -> int:
    """Writes a payment into the books."""
    return amount
