"""Shows a hundred steps at once: ``python -m examples.fan_out``."""

import time

from hookd import start

from examples.fan_out import workflows
from examples.fan_out.workflows import shrink_album
from examples.stage import play

PICTURES = 100


async def show() -> None:
    """Shrinks a hundred pictures."""
    print(f"{PICTURES} pictures, a step each, 50 ms of work in each step, 2 workers")
    begun = time.monotonic()
    run = await start(shrink_album, [f"rome-{number:03}.jpg" for number in range(PICTURES)])
    album = await run.return_value()
    print(f"done: {album.pictures} pictures by {album.processes} processes")
    print(f"in {time.monotonic() - begun:.1f} s; one after the other it takes 5 s")


if __name__ == "__main__":
    play(show, workflows, workers=2)
