"""One run takes the payment of an order; a second one is told which run that is."""

from dataclasses import dataclass
from decimal import Decimal

from hookd import HookConflictError, create_hook, step, workflow


@dataclass
class Payment:
    """What the payment provider sends."""

    amount: Decimal
    card: str


@dataclass
class Paid:
    """The order is paid."""

    receipt: str


@dataclass
class Duplicate:
    """Another run waits for the payment of this order already."""

    owner: str


@workflow
async def process_payment(order: str) -> Paid | Duplicate:
    """Waits for the payment of an order, and books it."""
    hook = create_hook(token=f"payment-{order}", type=Payment)
    try:
        payment = await hook
    except HookConflictError as conflict:
        return Duplicate(owner=conflict.conflicting_run_id)
    return Paid(receipt=await book(order, payment))


@step
async def book(order: str, payment: Payment) -> str:
    """Books a payment; gives the number of the receipt."""
    return f"{order}/{payment.card}/{payment.amount}"
