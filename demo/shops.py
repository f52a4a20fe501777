"""The client processes of the demo. They use hookd as any service would.

``shops.py ROLE NAME ORDER`` plays one role and tells what happens on its
standard output, in lines of JSON. ``go()`` waits until the demo lets it go on.
"""

from __future__ import annotations

import asyncio
import json
import sys
from typing import Any

from hookd import (
    Client,
    HookConflictError,
    RunCancelledError,
    connect,
)


def say(text: str) -> None:
    """Says something to whoever watches the demo."""
    print(json.dumps({"say": text}), flush=True)


def tell(fact: str, value: Any = None) -> None:
    """Tells the demo something that it checks."""
    print(json.dumps({"fact": fact, "value": value}), flush=True)


async def go() -> None:
    """Waits until the demo lets this process go on."""
    if not await asyncio.to_thread(sys.stdin.readline):
        sys.exit("the demo is over")


async def racer(client: Client, name: str, order: int) -> None:
    """Takes the payment of an order, or helps whoever takes it already."""
    payment = {"amount": 99, "card": f"from {name}"}
    async with client.open_run("checkout", {"order": order}, run_id=f"checkout-{name}") as run:
        tell("ready")
        await go()
        try:
            hook = await run.create_hook(token=f"payment-{order}")
        except HookConflictError as conflict:
            say(f"HookConflictError: {conflict}")
            tell("lost", {"owner": conflict.conflicting_run_id, "status": conflict.run_status})
            await client.resume_hook(conflict.token, payment)
            say(f"I hand my payment to {conflict.conflicting_run_id} and wait for its result")
            tell("forwarded", payment)
            result = await client.get_run(conflict.conflicting_run_id).return_value()
        else:
            say(f"I own {hook.token} (revision {hook.revision}) and wait for a payment")
            tell("won", run.run_id)
            result = {"order": order, "paid": await hook}
            say(f"a payment came {result['paid']['card']}: the order is paid")
            await run.complete(result)
        say(f"result: {result}")
        tell("result", result)


async def stuck(client: Client, name: str, order: int) -> None:
    """Owns a token, and does nothing any more. Its lease is kept alive all the same."""
    try:
        async with client.open_run("checkout", {"order": order}, run_id=f"checkout-{name}") as run:
            hook = await run.create_hook(token=f"payment-{order}")
            say(f"I own {hook.token} (revision {hook.revision}) … and hang")
            tell("claimed", hook.revision)
            await asyncio.sleep(3600)
    except RunCancelledError as error:
        say(f"RunCancelledError: {error}")
        tell("cancelled", error.cancel_reason)


async def replacement(client: Client, name: str, order: int) -> None:
    """Replaces an owner that does nothing any more."""
    async with client.open_run("checkout", {"order": order}, run_id=f"checkout-{name}") as run:
        try:
            hook = await run.create_hook(token=f"payment-{order}")
        except HookConflictError as conflict:
            say(f"HookConflictError: {conflict}")
            owner = client.get_run(conflict.conflicting_run_id)
            say(f"{owner.run_id} is {await owner.status()} and does nothing: I cancel it")
            await owner.cancel(f"superseded by {name}")
            # A new attempt is a new hook: the lost claim stays lost, for retries.
            hook = await run.create_hook(token=f"payment-{order}")
            tell("replaced", conflict.conflicting_run_id)
        say(f"I own {hook.token} (revision {hook.revision})")
        tell("claimed", hook.revision)


async def busy(client: Client, name: str, order: int) -> None:
    """Claims a token, is busy for a while, then takes payments until the order is paid."""
    async with client.open_run("checkout", {"order": order}, run_id=f"checkout-{name}") as run:
        hook = await run.create_hook(token=f"payment-{order}")
        say(f"I own {hook.token} (revision {hook.revision}); first I pack the parcel")
        tell("claimed", hook.revision)
        await go()
        say("the parcel is packed; now for the payments")
        paid: list[Any] = []
        async for payment in hook:
            say(f"a payment came: {payment}")
            paid.append(payment)
            if payment.get("last"):
                break
        await run.complete({"order": order, "paid": paid})
        tell("paid", paid)


async def waiter(client: Client, name: str, order: int) -> None:
    """Pays the first half to the owner of the order, and waits for its result."""
    owner = (await client.get_hook_by_token(f"payment-{order}")).run
    payment = {"amount": 50, "from": name}
    delivered = await client.resume_hook(f"payment-{order}", payment)
    say(f"payment {delivered.payload_seq} accepted for {owner.run_id}: {payment}")
    say("I wait for its result, and go on waiting whatever happens")
    tell("waiting", payment)
    result = await owner.return_value()
    say(f"result: {result}")
    tell("result", result)


ROLES = {
    "racer": racer,
    "stuck": stuck,
    "replacement": replacement,
    "busy": busy,
    "waiter": waiter,
}


async def main(role: str, name: str, order: str) -> None:
    """Plays a role."""
    async with connect() as client:  # HOOKD_ADDRESS says where the daemon is
        await ROLES[role](client, name, int(order))


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
