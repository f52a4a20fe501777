"""What the TokenIndex does per second, and what a token costs in memory.

Run it with `python bench/token_index.py`. It calls the index in process, in
batches of 256: neither gRPC nor the disk is in these figures, and tokens are
in no order that favours the processor's caches.
"""

import gc
import time
from collections.abc import Callable
from pathlib import Path
from threading import Barrier, Thread

from hookd_daemon._native import TokenIndex

BATCH = 256
SECONDS = 2.0
TOKENS = 1_000_000
RUNS = 100_000
BASE_RUN = 1_000_000_000


def token(i: int) -> bytes:
    """Return a token of 36 bytes, the length of a UUID."""
    return b"%08x-0000-4000-8000-%012x" % (i * 2_654_435_761 % 2**32, i)


def batches(first: int, count: int) -> list[tuple[list[bytes], list[int], list[int]]]:
    """Return (tokens, runs, revisions) by the batch, ten tokens for each run."""
    result = []
    for start in range(first, first + count, BATCH):
        numbers = range(start, min(start + BATCH, first + count))
        tokens = [token(i) for i in numbers]
        runs = [BASE_RUN + i % RUNS for i in numbers]
        result.append((tokens, runs, list(numbers)))
    return result


def resident_bytes() -> int:
    """Return the resident set size of this process."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS in /proc/self/status")


def claim_and_release(index: TokenIndex, first: int, until: Callable[[], bool]) -> int:
    """Claim batches and release them until told to stop; return the pairs done."""
    work = batches(first, 64 * BATCH)
    pairs = 0
    while not until():
        for tokens, runs, revisions in work:
            index.claim_batch("bench", tokens, runs, revisions[0])
            index.release_batch("bench", tokens, revisions)
            pairs += len(tokens)
    return pairs


def measure_pairs(index: TokenIndex, threads: int) -> float:
    """Return claim and release pairs per second over all threads."""
    barrier = Barrier(threads)
    rates = [0.0] * threads

    def work(number: int) -> None:
        barrier.wait()
        start = time.perf_counter()
        pairs = claim_and_release(
            index,
            2 * TOKENS + number * TOKENS,
            lambda: time.perf_counter() - start > SECONDS,
        )
        rates[number] = pairs / (time.perf_counter() - start)

    workers = [Thread(target=work, args=(number,)) for number in range(threads)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    return sum(rates)


def measure_calls(index: TokenIndex) -> dict[str, float]:
    """Return the microseconds of single calls and of one batch of 256 claims."""
    tokens, runs, revisions = batches(9 * TOKENS, BATCH)[0]
    names = ("claim", "owner", "release", "release_run of 10", "claim_batch of 256")
    spent = dict.fromkeys(names, 0.0)
    rounds = 200
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
        for first in range(0, BATCH - 10, 10):
            index.claim_batch("bench", tokens[first : first + 10], [first] * 10, first)
            start = time.perf_counter()
            index.release_run("bench", first)
            spent["release_run of 10"] += (time.perf_counter() - start) / (BATCH // 10)
        start = time.perf_counter()
        index.claim_batch("bench", tokens, runs, revisions[0])
        spent["claim_batch of 256"] += time.perf_counter() - start
        index.release_batch("bench", tokens, revisions)
        for name, begin, end in zip(names[:3], marks, marks[1:], strict=False):
            spent[name] += (end - begin) / BATCH
    return {name: seconds / rounds * 1e6 for name, seconds in spent.items()}


def fill(index: TokenIndex) -> float:
    """Claim a million tokens; return the slowest batch's milliseconds."""
    slowest = 0.0
    for first in range(0, TOKENS, BATCH):
        ((tokens, runs, revisions),) = batches(first, min(BATCH, TOKENS - first))
        start = time.perf_counter()
        index.claim_batch("bench", tokens, runs, revisions[0])
        slowest = max(slowest, time.perf_counter() - start)
    return slowest * 1e3


def main() -> None:
    """Measure and print."""
    index = TokenIndex()
    batches(0, TOKENS // 10)  # so that the interpreter's own pools have grown
    gc.collect()
    before = resident_bytes()
    slowest = fill(index)
    gc.collect()
    resident = (resident_bytes() - before) / TOKENS
    computed = index.memory_bytes() / TOKENS
    print(f"{TOKENS:,} tokens of 36 bytes on {RUNS:,} runs")
    print(f"  bytes per token, resident      {resident:8.1f}")
    print(f"  bytes per token, memory_bytes  {computed:8.1f}")
    print(f"  slowest batch while growing    {slowest:8.2f} ms")
    for title, measured in (("beside these tokens", index), ("empty otherwise", TokenIndex())):
        print(f"index with its claims {title}")
        for threads in (1, 2):
            rate = measure_pairs(measured, threads)
            print(f"  claim+release pairs/s, {threads} thread{'s' * (threads > 1):1} {rate:14,.0f}")
        for name, microseconds in measure_calls(measured).items():
            print(f"  {name:20} {microseconds:17.2f} µs")


if __name__ == "__main__":
    main()
