"""Shows callers who share a run: ``python -m examples.delegate_to_owner``."""

import asyncio

from hookd import get_hook_by_token

from examples.delegate_to_owner import workflows
from examples.delegate_to_owner.workflows import lunch_with
from examples.stage import play


async def show() -> None:
    """Three people want lunch on the same day."""
    ann = asyncio.create_task(lunch_with("monday", "soup"))
    owner = (await get_hook_by_token("lunch-monday", wait=10)).run
    print(f"ann wants soup: {owner.run_id} orders the lunch of monday")
    print("bob and cat want rice and fish: that run gets their wishes")
    others = [asyncio.create_task(lunch_with("monday", dish)) for dish in ("rice", "fish")]
    lunches = await asyncio.gather(ann, *others)
    for name, lunch in zip(("ann", "bob", "cat"), lunches, strict=True):
        print(f"{name} got: {lunch}")


if __name__ == "__main__":
    play(show, workflows)
