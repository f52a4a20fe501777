"""A service that opens a run under a lease, and keeps it alive until it is killed.

Usage: lease_holder.py ADDRESS PROJECT RUN_ID TOKEN TTL_MS

Each line it writes is the end of its lease, in nanoseconds since 1970.
"""

import sys
import threading

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.run_service_pb2 import KeepAliveRequest, StartRunRequest
from hookd.v1.run_service_pb2_grpc import RunServiceStub


def main(address: str, project: str, run_id: str, token: str, ttl_ms: str) -> None:
    """Runs until it is killed."""
    runs = RunServiceStub(grpc.insecure_channel(address))
    request = StartRunRequest(
        project=project,
        run_id=run_id,
        workflow="service",
        external=True,
        claims=[HookSpec(token=token)],
    )
    request.lease_ttl.FromMilliseconds(int(ttl_ms))
    answer = runs.StartRun(request)
    print(answer.run.lease_expires_at.ToNanoseconds(), flush=True)
    pause = threading.Event()
    while True:
        pause.wait(int(ttl_ms) / 5000)
        alive = runs.KeepAlive(KeepAliveRequest(project=project, run_id=run_id))
        print(alive.lease_expires_at.ToNanoseconds(), flush=True)


main(*sys.argv[1:])
