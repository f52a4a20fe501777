"""An unknown workflow or step: the run waits and ``hookctl`` says for what, or it fails."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import hookd
import pytest
from hookd import Client, RunFailedError, RunStatus

from tests.e2e.workflows.conftest import StartWorker
from tests.e2e.workflows.watching import result, seen, types_of
from tests.support.daemon import Daemon, running

HOOKCTL = str(Path(sys.executable).with_name("hookctl"))


async def hookctl(client: Client, *words: str) -> str:
    """What a command prints."""
    command = [f"--address={client.address}", f"--project={client.project}", *words]
    process = await asyncio.create_subprocess_exec(
        HOOKCTL, *command, stdout=asyncio.subprocess.PIPE
    )
    printed, _ = await process.communicate()
    assert process.returncode == 0
    return printed.decode()


async def test_unknown_workflow_waits(
    shared_daemon: Daemon, start_worker: StartWorker, project: str
) -> None:
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start("fulfil")
        other = start_worker(shared_daemon, project, "renamed", SUFFIX="-anew")
        shown, queues = await asyncio.gather(
            hookctl(client, "runs", "get", run.run_id), hookctl(client, "queues")
        )
        assert 'a worker that serves the workflow "fulfil" (none is connected)' in shown
        (line,) = [line for line in queues.splitlines() if " fulfil " in line]
        assert line.startswith("workflow")
        assert "nobody serves it" in line
        assert await run.status() is RunStatus.PENDING

        worker = start_worker(shared_daemon, project, "renamed")
        assert await result(run) == "packed"
        assert await run.waits() == []
        other.kill()
        worker.kill()


async def test_unknown_step_waits(
    shared_daemon: Daemon, start_worker: StartWorker, project: str
) -> None:
    worker = start_worker(shared_daemon, project, "only_workflows:served")
    async with hookd.connect(shared_daemon.address, project=project) as client:
        run = await client.start("fulfil")
        await seen(run, "step_scheduled")
        shown, facts, queues = await asyncio.gather(
            hookctl(client, "runs", "get", run.run_id),
            hookctl(client, "--json", "runs", "get", run.run_id),
            hookctl(client, "--json", "queues"),
        )
        assert 'a worker that serves the step "pack" (none is connected)' in shown
        (wait,) = json.loads(facts)["waits"]
        assert (wait["kind"], wait["name"], wait["unserved"]) == ("step", "pack", True)
        by_name = {(queue["kind"], queue["name"]): queue for queue in json.loads(queues)}
        assert by_name["step", "pack"]["workers"] == []
        assert by_name["step", "pack"]["length"] == 1
        assert by_name["workflow", "fulfil"]["workers"] == [worker.name]
        assert await run.status() is RunStatus.RUNNING

        helper = start_worker(shared_daemon, project, "renamed:pack")
        assert await result(run) == "packed"
        helper.kill()
        worker.kill()


async def test_unknown_names_fail_if_so_configured(
    tmp_path: Path, start_worker: StartWorker
) -> None:
    """Not before the time is over, and never a run whose names are served."""
    with running(tmp_path, "--fail-unserved-after=1s") as daemon:
        worker = start_worker(daemon, "default", "only_workflows:served")
        helper = start_worker(daemon, "default", "renamed:pack")
        async with hookd.connect(daemon.address) as client:
            assert await result(await client.start("fulfil")) == "packed"
            helper.kill()
            unknown_step = await client.start("fulfil")
            unknown_workflow = await client.start("nobody-knows-it")
            for run, reason, name in (
                (unknown_step, "STEP_NOT_SERVED", "pack"),
                (unknown_workflow, "WORKFLOW_NOT_SERVED", "nobody-knows-it"),
            ):
                with pytest.raises(RunFailedError) as failed:
                    await result(run)
                assert failed.value.type == reason
                assert name in failed.value.message
                info = await run.info()
                assert info.created_at is not None
                assert info.ended_at is not None
                assert (info.ended_at - info.created_at).total_seconds() >= 1
            assert (await types_of(unknown_workflow))[-1] == "run_failed"
        worker.kill()
