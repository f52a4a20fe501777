"""Whoever comes second hands over what it brought, and gets the owner's result."""

from dataclasses import dataclass

from hookd import HookNotFoundError, create_hook, get_run, resume_hook, start, step, workflow

FEWEST_DISHES = 3  # The restaurant does not cook for less.


@dataclass
class Lunch:
    """A lunch that was ordered."""

    day: str
    dishes: list[str]


@dataclass
class OrderedElsewhere:
    """Another run orders the lunch of this day."""

    owner: str


@workflow
async def order_lunch(day: str, dish: str) -> Lunch | OrderedElsewhere:
    """Orders the lunch of a day, once for all who want something."""
    wishes = create_hook(token=f"lunch-{day}", type=str)
    owner = await wishes.get_conflict()
    if owner is not None:
        return OrderedElsewhere(owner.run_id)
    dishes = [dish]
    while len(dishes) < FEWEST_DISHES:
        dishes.append(await wishes)
    wishes.dispose()  # From here on nobody is accepted any more,
    dishes += [late async for late in wishes]  # and whoever was, is served.
    await phone_the_restaurant(dishes)
    return Lunch(day, dishes)


@step
async def phone_the_restaurant(dishes: list[str]) -> None:
    """Orders the dishes."""


async def lunch_with(day: str, dish: str) -> Lunch:
    """Gets somebody lunch, whoever orders it. No workflow: a web server may call this."""
    while True:
        run = await start(order_lunch, day, dish)
        result = await run.return_value()
        if isinstance(result, Lunch):
            return result
        try:
            # With an id of its own the wish arrives once, however often it is sent.
            await resume_hook(f"lunch-{day}", dish, payload_id=run.run_id)
        except HookNotFoundError:
            continue  # The owner has ended meanwhile: begin anew.
        return Lunch(**await get_run(result.owner).return_value())
