"""Many runs and several workers: everything is done, and nothing is done twice."""

from __future__ import annotations

import queue
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

from tests.e2e.work.worker import Worker, complete, queues, schedule, start
from tests.support.api import Api
from tests.support.concurrency import eventually

RUNS = 600
WORKERS = 4


def test_many_runs_and_several_workers(api: Api) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: start(api), range(RUNS)))
    workers = [Worker(api, max_turns=16, max_steps=8).connect() for _ in range(WORKERS)]
    executed: Counter[str] = Counter()
    finished: queue.Queue[str] = queue.Queue()
    stop = threading.Event()

    def take_turns(worker: Worker) -> None:
        while not stop.is_set():
            if not worker.has_turns():
                stop.wait(0.005)
                continue
            turn = worker.turn()
            if turn.events[-1].HasField("step_completed"):
                worker.complete_turn(turn, complete())
                finished.put(turn.run_id)
            else:
                worker.complete_turn(turn, schedule())

    def execute_steps(worker: Worker) -> None:
        while not stop.is_set():
            if not worker.has_steps():
                stop.wait(0.005)
                continue
            step = worker.step()
            executed[step.run_id] += 1
            worker.complete_step(step)

    work = [take_turns, execute_steps]
    with ThreadPoolExecutor(len(work) * WORKERS) as pool:
        jobs = [pool.submit(do, worker) for worker in workers for do in work]
        try:
            ended = Counter(finished.get(timeout=60) for _ in range(RUNS))
        finally:
            stop.set()
        for job in jobs:
            job.result()
    assert ended == Counter(runs)
    assert executed == Counter(runs)
    found = eventually(lambda: queues(api))
    assert [(q.length, q.leased) for q in found.values()] == [(0, 0), (0, 0)]
    for worker in workers:
        worker.disconnect()
