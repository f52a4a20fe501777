"""An async step that blocks its worker: it keeps its lease, and people are told."""

from __future__ import annotations

import hookd

from tests.e2e.worker import app


async def test_a_step_that_blocks_its_worker_is_executed_once(worker, impatient_daemon, project):
    process = worker(daemon=impatient_daemon)
    worker(daemon=impatient_daemon)
    async with hookd.connect(impatient_daemon.address, project=project) as client:
        run = await client.start(app.hogging, 4.5)
        assert await run.return_value(timeout=60) == 1
        kinds = [event.type async for event in run.events()]
    assert kinds.count("step_completed") == 1
    told = [line for line in worker_logs(process) if "has been blocked for" in line]
    assert len(told) >= 1
    assert "lease lapsed" not in impatient_daemon.log


def worker_logs(process) -> list[str]:
    """What both workers have said: either may have had the step."""
    return [
        line
        for file in process.log_file.parent.glob("worker*.log")
        for line in file.read_text().splitlines()
    ]
