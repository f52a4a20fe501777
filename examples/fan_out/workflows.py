"""A hundred steps at once, on as many workers as there are."""

import asyncio
import os
import time
from dataclasses import dataclass

from hookd import RetryPolicy, step, workflow


@dataclass
class Thumbnail:
    """A picture made small, and where that was done."""

    picture: str
    pixels: int
    process: int


@dataclass
class Album:
    """What came of all pictures."""

    pictures: int
    pixels: int
    processes: int


@workflow
async def shrink_album(pictures: list[str]) -> Album:
    """Makes all pictures of an album small."""
    thumbnails = await asyncio.gather(*(shrink(picture) for picture in pictures))
    return Album(
        pictures=len(thumbnails),
        pixels=sum(thumbnail.pixels for thumbnail in thumbnails),
        processes=len({thumbnail.process for thumbnail in thumbnails}),
    )


@step(retry=RetryPolicy(max_retries=5, initial_interval=0.1))
def shrink(picture: str) -> Thumbnail:
    """Makes a picture small. It is not asynchronous, so a thread does it."""
    time.sleep(0.05)
    return Thumbnail(picture, pixels=len(picture) * 100, process=os.getpid())
