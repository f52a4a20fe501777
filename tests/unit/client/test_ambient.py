"""The functions that use a client made from the environment."""

import asyncio

import hookd
import pytest
from hookd import ambient
from hookd.v1 import common_pb2, hook_service_pb2, run_service_pb2


async def test_they_use_one_client_of_the_environment(daemon, monkeypatch):
    monkeypatch.setenv("HOOKD_ADDRESS", daemon.address)
    monkeypatch.setenv("HOOKD_PROJECT", "blue")

    async def start(request, context):
        return run_service_pb2.StartRunResponse(run=common_pb2.Run(run_id=request.run_id))

    async def resume(request, context):
        return hook_service_pb2.ResumeHookResponse(run_id="r", hook_id="h", payload_seq=1)

    async def get_hook(request, context):
        return hook_service_pb2.GetHookResponse(
            hook=common_pb2.Hook(run_id="r", hook_id="h", token=request.token)
        )

    daemon.on(StartRun=start, ResumeHook=resume, GetHook=get_hook)
    run = await hookd.start("w", 1, 2)
    assert run == hookd.get_run(run.run_id)
    assert (await hookd.resume_hook("t", 1)).hook_id == "h"
    assert (await hookd.get_hook_by_token("t")).run == hookd.get_run("r")
    assert {request.project for _, request in daemon.seen} == {"blue"}
    client = hookd.ambient_client()
    assert client is hookd.ambient_client()
    await client.close()
    assert hookd.ambient_client() is not client
    await hookd.ambient_client().close()


def test_without_a_loop_it_says_where_to_call():
    with pytest.raises(RuntimeError, match="in an `async def`, or in python -m asyncio"):
        hookd.get_run("r")


def test_each_loop_has_its_own_and_ended_loops_are_forgotten():
    async def client() -> hookd.Client:
        return hookd.ambient_client()

    one, two = asyncio.run(client()), asyncio.run(client())
    assert one is not two
    assert len(ambient._clients) == 1
