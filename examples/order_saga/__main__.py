"""Shows orders that are shipped or undone: ``python -m examples.order_saga``."""

import os
import tempfile
from pathlib import Path

from hookd import start

from examples.order_saga import shop, workflows
from examples.order_saga.workflows import Order, place_order
from examples.stage import play

ORDERS = [Order("100"), Order("101", card="expired"), Order("102", country="the moon")]


async def show() -> None:
    """Places three orders; the second and the third cannot be fulfilled."""
    runs = [await start(place_order, order) for order in ORDERS]
    for order, run in zip(ORDERS, runs, strict=True):
        outcome = await run.return_value()
        print(f"order {order.number}: {outcome.status} {outcome.reason or outcome.receipts}")
    failed = sum(failed for _, _, failed in shop.calls())
    print(f"the shop's services were called {len(shop.calls())} times, {failed} of them in vain")
    print("the books of the shop:")
    for number, what, undone in shop.books():
        print(f"  order {number}: {what:8}{'taken back' if undone else 'done'}")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ORDER_SAGA_DB"] = str(Path(folder) / "shop.db")
        play(show, workflows)
