"""Over its limits the daemon says no at once, instead of letting a queue grow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest, CreateHookResponse
from hookd.v1.run_service_pb2 import AwaitRunRequest, WatchRunRequest

from tests.support.api import Api, Refusal, refusal, seconds
from tests.support.daemon import PATIENCE, running


def test_calls_over_the_limit_are_refused_at_once_and_the_others_are_right(
    tmp_path: Path,
) -> None:
    """Waves of concurrent claims of two runs, four of them for each token."""
    with running(tmp_path, "--max-calls-in-flight=2") as daemon:
        apis = [Api(daemon.channel()) for _ in range(8)]
        for run_id in ("left", "right"):
            apis[0].start(run_id)

        owners: dict[str, str] = {}
        refused, conflicts = 0, 0
        for wave in range(50):
            futures = []
            for i in range(64):
                token, run_id = f"{wave}-{i // 4}", ("left", "right")[i % 2]
                request = CreateHookRequest(
                    run_id=run_id, hook=HookSpec(hook_id=f"{token}-{i}", token=token)
                )
                call = apis[i % 8].hooks.CreateHook.future(request, timeout=PATIENCE)
                futures.append((token, run_id, call))
            for token, run_id, call in futures:
                error = call.exception()
                if error is None:
                    answer: CreateHookResponse = call.result()
                    assert (answer.hook.token, answer.hook.run_id) == (token, run_id)
                    assert token not in owners
                    owners[token] = run_id
                    continue
                told = Refusal(error)
                if told.code == grpc.StatusCode.RESOURCE_EXHAUSTED:
                    assert told.reason == "LIMIT_EXCEEDED"
                    assert told.metadata["limit"] == "calls_in_flight"
                    assert told.metadata["allowed"] == "2"
                    refused += 1
                else:
                    assert told.reason == "HOOK_CONFLICT", told.message
                    conflicts += 1
            if refused and owners and conflicts:
                break
        assert refused, "no call was refused: the limit was never reached"
        assert owners

        # What was refused took nothing, and what was accepted is there.
        for i in range(16):
            token = f"{wave}-{i}"
            if token in owners:
                assert apis[0].hook(token).run_id == owners[token]
            else:
                assert refusal(apis[0].hook, token).reason == "HOOK_NOT_FOUND"


def test_streams_over_the_limit_are_refused_and_one_that_ends_makes_room(tmp_path: Path) -> None:
    """Long waits count as streams; plain calls do not."""
    with running(tmp_path, "--max-streams=5") as daemon:
        api = Api(daemon.channel())
        api.start("watched")
        watch = WatchRunRequest(run_id="watched")
        streams = [api.runs.WatchRun(watch) for _ in range(5)]
        for stream in streams:
            assert next(stream).event.seq == 1

        told = refusal(lambda: next(api.runs.WatchRun(watch)))
        assert told.code == grpc.StatusCode.RESOURCE_EXHAUSTED
        assert told.reason == "LIMIT_EXCEEDED"
        assert told.metadata["limit"] == "streams"
        assert told.metadata["allowed"] == "5"
        waiting = AwaitRunRequest(run_id="watched", wait=seconds(60))
        told = refusal(api.runs.AwaitRun, waiting, timeout=PATIENCE)
        assert told.reason == "LIMIT_EXCEEDED"
        assert told.metadata["limit"] == "streams"
        asking = AwaitRunRequest(run_id="watched")
        assert api.runs.AwaitRun(asking, timeout=PATIENCE).run.run_id == "watched"
        assert api.claim("watched", "a-token").hook.run_id == "watched"

        streams.pop().cancel()
        again = None
        while again is None:  # until the daemon has noticed; the test's timeout bounds it
            again = _let_in(api.runs.WatchRun(watch))

        # The others were not disturbed.
        api.complete("watched")
        for stream in [*streams, again]:
            assert [item.event.WhichOneof("data") for item in stream][-1] == "run_completed"


def _let_in(stream: Any) -> Any | None:
    """The stream if it was let in; None if it was over the limit."""
    try:
        first = next(stream)
    except grpc.RpcError as error:
        told = Refusal(error)
    else:
        assert first.event.seq == 1
        return stream
    assert told.reason == "LIMIT_EXCEEDED"
    return None
