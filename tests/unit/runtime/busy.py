"""A workflow in which a lot goes on at once, for the tests of determinism.

Run as a program, it plays the workflow to its end and prints what its log
says: the same in each process, whatever its hashes and addresses are.
"""

import asyncio
import hashlib
import random
import sys

from hookd.v1.webhook_pb2 import HttpResponse
from hookd.webhook_request import WebhookRequest
from hookd.workflows.definition import step
from hookd.workflows.deterministic import now, uuid4
from hookd.workflows.deterministic import random as run_random
from hookd.workflows.hooks import create_hook
from hookd.workflows.metadata import set_attributes
from hookd.workflows.timers import sleep
from hookd.workflows.webhooks import create_webhook
from hookd.workflows.writable import get_writable

from tests.unit.runtime.story import Story


@step
def charge(amount: int) -> int:
    return amount * 2


@step
def ship(name: str) -> str:
    return name.upper()


async def busy() -> list:
    """Uses sets of tasks in every way that asyncio has."""
    log: list = []
    writer = get_writable("progress")

    async def part(number: int) -> int:
        await sleep(run_random().random() * 5)
        got = await charge(number)
        await writer.write({"part": number})
        return got

    log.append(await asyncio.gather(*(part(n) for n in range(6))))

    tasks = {asyncio.create_task(part(n)) for n in range(12)}
    while tasks:
        done, tasks = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        # In the order of a set: what this does must not depend on addresses.
        log += [await ship(f"set-{task.result()}") for task in done]
        if len(tasks) < 5:
            for task in tasks:
                task.cancel()

    log += [await each for each in asyncio.as_completed([part(n) for n in range(8)])]
    log += [await each for each in asyncio.as_completed([ship(f"c{n}") for n in range(8)])]

    groups = {asyncio.gather(part(n), part(n + 1)) for n in range(4)}
    done, pending = await asyncio.wait(groups, return_when=asyncio.FIRST_COMPLETED)
    log += [await ship(str(await group)) for group in done | pending]

    hooks = [create_hook() if n % 2 else create_webhook(respond_with="manual") for n in range(5)]
    waiting = {asyncio.ensure_future(hook) for hook in hooks}
    done, pending = await asyncio.wait(waiting, timeout=3)
    log.append([len(done), len(pending)])
    requests = [task.result() for task in done if isinstance(task.result(), WebhookRequest)]
    said = [request.respond(200 + number) for number, request in enumerate(requests)]
    log.append([await each for each in reversed(said)])
    for task in pending:
        task.cancel()
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()

    async def fail() -> None:
        await sleep(1)
        raise ValueError

    try:
        async with asyncio.TaskGroup() as group:
            for n in range(6):
                group.create_task(part(n))
            group.create_task(fail())
    except* ValueError:
        log.append("failed")
    for hook in hooks:
        hook.dispose()
    futures = {asyncio.get_running_loop().create_future() for _ in range(9)}
    for number, future in enumerate(futures):
        future.add_done_callback(lambda _, number=number: log.append(number))
    for future in futures:
        future.set_result(None)
    await asyncio.sleep(0)
    set_attributes({"stage": "end"})
    log.append([str(uuid4()), now().isoformat(), run_random().randint(0, 10**9)])
    return log


def play_at_random(choices: random.Random, *, replays: bool) -> Story:
    """Plays it with things from outside coming in any order, also in the middle of a turn."""
    story = Story(busy, replays=replays)
    while story.ended is None:
        options = []
        if story.live.commands():
            options.append(story.turn)
        for id, command in list(story.steps.items()):
            value = 7 if command.name == "charge" else "shipped"
            options.append(lambda id=id, value=value: story.complete(id, value))
        options += [lambda id=id: story.fire(id) for id in list(story.timers)]
        options += [
            lambda token=token: story.payload(token, 1)
            for token in list(story.hooks)
            if choices.random() < 0.2
        ]
        options += [
            lambda token=token, seq=seq: story.answer(token, seq, HttpResponse(status=418))
            for token, id in story.hooks.items()
            for seq in range(1, story.received.get(id, 0) + 1)
            if choices.random() < 0.1 and (id, seq) not in story.answers
        ]
        choices.choice(options)()
    return story


if __name__ == "__main__":
    # Objects that move the addresses of all others.
    ballast = [object() for _ in range(int(sys.argv[1]))]
    story = play_at_random(random.Random(7), replays=False)
    log = [event.SerializeToString(deterministic=True) for event in story.events]
    print(len(log), hashlib.sha256(b"".join(log)).hexdigest())
