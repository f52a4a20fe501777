"""Threads for turns and steps: how many there are, and those that do not come back."""

import asyncio
import contextlib
import threading

import pytest
from hookd.worker.threads import SpoiledError, Threads


@pytest.fixture
def gate():
    """What threads of a test wait for; open at its end, so that none is left."""
    event = threading.Event()
    yield event
    event.set()


@contextlib.contextmanager
def threads(most: int):
    made = Threads(most, "test")
    try:
        yield made
    finally:
        made.close()


async def test_gives_what_came_of_it():
    with threads(2) as pool:
        assert await pool.run(lambda: 42).done == 42

        def fail() -> None:
            raise ValueError("no")

        with pytest.raises(ValueError, match="no"):
            await pool.run(fail).done


async def test_no_more_threads_than_allowed_and_none_without_need(gate):
    with threads(3) as pool:
        idents = set()
        for _ in range(20):
            idents.add(await pool.run(threading.get_ident).done)
        assert len(idents) == 1
        running = []
        together = threading.Barrier(3)

        def work() -> int:
            running.append(threading.get_ident())
            together.wait(20)
            return threading.get_ident()

        jobs = [pool.run(work) for _ in range(6)]
        found = await asyncio.gather(*(job.done for job in jobs))
        assert len(set(found)) == 3


async def test_a_thread_that_hangs_is_replaced(gate):
    with threads(1) as pool:
        job = pool.run(gate.wait)
        waits = pool.run(lambda: "next")
        pool.give_up(job, TimeoutError())
        with pytest.raises(TimeoutError):
            await job.done
        assert await pool.run(lambda: "here").done == "here"
        assert await waits.done == "next"
        # The thread that hung comes back, and ends: there is one again.
        gate.set()
        before = await pool.run(threading.get_ident).done
        assert {await pool.run(threading.get_ident).done for _ in range(5)} == {before}


async def test_a_job_that_has_not_begun_can_be_given_up(gate):
    with threads(1) as pool:
        first = pool.run(gate.wait)
        ran = []
        second = pool.run(lambda: ran.append(1))
        pool.give_up(second)
        assert second.done.cancelled()
        gate.set()
        await first.done
        assert await pool.run(lambda: "third").done == "third"
        assert ran == []


async def test_giving_up_too_late_changes_nothing():
    with threads(1) as pool:
        job = pool.run(lambda: 1)
        assert await job.done == 1
        pool.give_up(job, TimeoutError())
        assert await job.done == 1


async def test_a_spoiled_thread_ends():
    with threads(1) as pool:
        names = []

        def spoil() -> None:
            names.append(threading.get_ident())
            raise SpoiledError

        with pytest.raises(SpoiledError):
            await pool.run(spoil).done
        spoiled = next((t for t in threading.enumerate() if t.ident == names[0]), None)
        if spoiled is not None:
            await asyncio.to_thread(spoiled.join, 20)
            assert not spoiled.is_alive()
        assert await pool.run(lambda: "a new one").done == "a new one"


async def test_a_result_that_nobody_waits_for_is_dropped(gate):
    with threads(1) as pool:
        job = pool.run(gate.wait)
        job.done.cancel()
        gate.set()
        assert await pool.run(lambda: 1).done == 1


def test_a_thread_survives_its_loop(gate):
    """A synchronous step may go on when the worker has ended."""
    done = threading.Event()

    async def main() -> Threads:
        pool = Threads(1, "test")

        def work() -> None:
            gate.wait(20)
            done.set()

        pool.run(work)
        return pool

    pool = asyncio.run(main())
    gate.set()
    assert done.wait(20)
    pool.close()
