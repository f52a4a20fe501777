"""Shows a conflict: ``python -m examples.process_payment``."""

from decimal import Decimal

from hookd import get_hook_by_token, resume_hook, start

from examples.process_payment import workflows
from examples.process_payment.workflows import Payment, process_payment
from examples.stage import play


async def show() -> None:
    """Starts two runs for one order, then pays."""
    first = await start(process_payment, "order-42")
    await get_hook_by_token("payment-order-42", wait=10)
    print(f"first run:  {first.run_id} waits for the payment of order-42")

    second = await start(process_payment, "order-42")
    duplicate = await second.return_value()
    print(f"second run: told that {duplicate.owner} does it already")

    await resume_hook("payment-order-42", Payment(Decimal("99.50"), card="visa"))
    paid = await first.return_value()
    print(f"first run:  paid, receipt {paid.receipt}")

    third = await start(process_payment, "order-42")
    await get_hook_by_token("payment-order-42", wait=10)
    print("third run:  the first has ended, so the token is free again")
    await third.cancel("just an example")


if __name__ == "__main__":
    play(show, workflows)
