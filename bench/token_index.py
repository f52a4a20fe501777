"""What the index of tokens does per second, and what a token costs in it.

It is called in this process, in batches: neither gRPC nor the disk is in these
figures, and tokens are in no order that favours the processor's caches. Alone:
``python -m bench.token_index`` prints them as JSON.
"""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from threading import Barrier, Thread
from typing import Any

from hookd_daemon._native import TokenIndex

from bench.plan import BATCH, Plan
from bench.processes import resident_bytes
from bench.tools import ROOT

PER_RUN = 10
BASE_RUN = 1_000_000_000
THREADS = (1, 2)
#: Batches that a thread claims and releases over and over: more than the caches hold.
ROUND = 64

#: (tokens, runs, revisions) of a batch.
Batch = tuple[list[bytes], list[int], list[int]]


def token(i: int) -> bytes:
    """A token of 36 bytes, the length of a UUID."""
    return b"%08x-0000-4000-8000-%012x" % (i * 2_654_435_761 % 2**32, i)


def batches(first: int, count: int, runs: int) -> list[Batch]:
    """New tokens by the batch, spread over some runs."""
    result = []
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        tokens = [token(i) for i in numbers]
        result.append((tokens, [BASE_RUN + i % runs for i in numbers], list(numbers)))
    return result


def pairs_per_second(index: TokenIndex, threads: int, first: int, seconds: float) -> float:
    """Claims that are released again, per second, over all threads.

    Args:
        index: where.
        threads: how many claim and release at the same time, each its own tokens.
        first: the number of the first token that is free.
        seconds: for how long.
    """
    barrier = Barrier(threads)
    rates = [0.0] * threads
    size = ROUND * BATCH
    work = [batches(first + number * size, size, size // PER_RUN) for number in range(threads)]

    def run(number: int) -> None:
        barrier.wait()
        start = time.perf_counter()
        pairs = 0
        while time.perf_counter() - start < seconds:
            for tokens, runs, revisions in work[number]:
                index.claim_batch("bench", tokens, runs, revisions[0])
                index.release_batch("bench", tokens, revisions)
                pairs += len(tokens)
        rates[number] = pairs / (time.perf_counter() - start)

    workers = [Thread(target=run, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)


def call_us(index: TokenIndex, first: int, rounds: int) -> dict[str, float]:
    """Microseconds of single calls, and of one batch of claims."""
    ((tokens, runs, revisions),) = batches(first, BATCH, BATCH // PER_RUN)
    spent = dict.fromkeys(("claim", "owner", "release", f"claim_batch of {BATCH}"), 0.0)
    for _ in range(rounds):
        marks = [time.perf_counter()]
        for one, run, revision in zip(tokens, runs, revisions, strict=True):
            index.claim("bench", one, run, revision)
        marks.append(time.perf_counter())
        for one in tokens:
            index.owner("bench", one)
        marks.append(time.perf_counter())
        for one, revision in zip(tokens, revisions, strict=True):
            index.release("bench", one, revision)
        marks.append(time.perf_counter())
        index.claim_batch("bench", tokens, runs, revisions[0])
        marks.append(time.perf_counter())
        index.release_batch("bench", tokens, revisions)
        for name, begin, end in zip(spent, marks, marks[1:], strict=False):
            spent[name] += end - begin
    each = (BATCH, BATCH, BATCH, 1)
    return {
        name: seconds / rounds / calls * 1e6
        for (name, seconds), calls in zip(spent.items(), each, strict=True)
    }


def fill(index: TokenIndex, tokens: int) -> float:
    """Claims so many tokens; gives the milliseconds of the slowest batch."""
    slowest = 0.0
    for first in range(0, tokens, BATCH):
        ((names, runs, revisions),) = batches(first, min(BATCH, tokens - first), tokens // PER_RUN)
        start = time.perf_counter()
        index.claim_batch("bench", names, runs, revisions[0])
        slowest = max(slowest, time.perf_counter() - start)
    return slowest * 1e3


def measure_here(tokens: int, seconds: float) -> dict[str, Any]:
    """Measures in this process, which should have done nothing else before."""
    index = TokenIndex()
    batches(0, tokens // 10, tokens)  # So that the interpreter's own pools have grown.
    gc.collect()
    before = resident_bytes(os.getpid())
    slowest = fill(index, tokens)
    gc.collect()
    resident = (resident_bytes(os.getpid()) - before) / tokens
    report: dict[str, Any] = {
        "tokens": tokens,
        "resident_bytes_per_token": resident,
        "memory_bytes_per_token": index.memory_bytes() / tokens,
        "slowest_batch_ms": slowest,
        "beside": [],
    }
    for beside, measured in ((tokens, index), (0, TokenIndex())):
        report["beside"].append(
            {
                "tokens": beside,
                "pairs_per_second": {
                    str(threads): pairs_per_second(measured, threads, 2 * tokens, seconds)
                    for threads in THREADS
                },
                "call_us": call_us(measured, 9 * tokens, max(1, int(50 * seconds))),
            }
        )
    return report


def measure(plan: Plan) -> dict[str, Any]:
    """Measures in a process of its own, whose memory is nothing but the index."""
    command = [sys.executable, "-m", "bench.token_index"]
    command += [str(plan.index_tokens), str(plan.index_seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"the index could not be measured:\n{done.stderr}")
    report: dict[str, Any] = json.loads(done.stdout)
    return report


if __name__ == "__main__":
    number, span = sys.argv[1:] or ("1000000", "2")
    print(json.dumps(measure_here(int(number), float(span)), indent=2))
