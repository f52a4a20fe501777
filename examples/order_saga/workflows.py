"""An order in several steps, each undone if a later one fails."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from functools import partial

from hookd import FatalError, RetryPolicy, create_hook, step, workflow

from examples.order_saga import shop


@dataclass
class Order:
    """What somebody wants to buy."""

    number: str
    card: str = "visa"
    country: str = "IT"


@dataclass
class Outcome:
    """What became of an order."""

    status: str
    receipts: list[str] = field(default_factory=list)
    reason: str = ""


class RefusedError(FatalError):
    """The answer is no, and will be no the next time."""


# Services that fail are asked again soon: this is an example, and you are waiting.
_retry = RetryPolicy(max_retries=5, initial_interval=0.1)


@workflow
async def place_order(order: Order) -> Outcome:
    """Reserves, charges and ships; takes all of it back if something cannot be done."""
    owner = await create_hook(token=f"order-{order.number}").get_conflict()
    if owner is not None:
        return Outcome("duplicate", reason=f"{owner.run_id} is at this order")
    receipts: list[str] = []
    undo: list[Callable[[], Awaitable[None]]] = []
    try:
        # What takes a step back is noted before the step: when a step fails,
        # nobody knows how far it came.
        undo.append(partial(release, order))
        receipts.append(await reserve(order))
        undo.append(partial(refund, order))
        receipts.append(await charge(order))
        undo.append(partial(recall, order))
        receipts.append(await ship(order))
    except RefusedError as error:
        for take_back in reversed(undo):
            await take_back()
        return Outcome("undone", reason=str(error))
    return Outcome("shipped", receipts)


@step(retry=_retry)
def reserve(order: Order) -> str:
    """Puts the goods aside."""
    return shop.do("reserve", order.number)


@step(retry=_retry)
def charge(order: Order) -> str:
    """Takes the money."""
    if order.card == "expired":
        raise RefusedError("the card has expired")
    return shop.do("charge", order.number)


@step(retry=_retry)
def ship(order: Order) -> str:
    """Hands the parcel over."""
    if order.country == "the moon":
        raise RefusedError("nobody ships to the moon")
    return shop.do("ship", order.number)


# What takes back must not give up: each of these is tried for about a day.
_until_it_works = RetryPolicy(max_retries=40, initial_interval=0.1)


@step(retry=_until_it_works)
def release(order: Order) -> None:
    """Puts the goods back."""
    shop.undo("reserve", order.number)


@step(retry=_until_it_works)
def refund(order: Order) -> None:
    """Gives the money back."""
    shop.undo("charge", order.number)


@step(retry=_until_it_works)
def recall(order: Order) -> None:
    """Calls the parcel back."""
    shop.undo("ship", order.number)
