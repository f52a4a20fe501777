"""What the suite asks a daemon besides the loads."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import grpc
from hookd.v1.admin_service_pb2 import CompactRequest, GetStatsRequest, GetStatsResponse
from hookd.v1.admin_service_pb2_grpc import AdminServiceStub

from bench.processes import Server


@contextlib.contextmanager
def _admin(server: Server) -> Iterator[AdminServiceStub]:
    with grpc.insecure_channel(
        server.address, options=[("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        yield AdminServiceStub(channel)


def stats(server: Server) -> GetStatsResponse:
    """How the daemon stands."""
    with _admin(server) as admin:
        return admin.GetStats(GetStatsRequest())


def compact(server: Server) -> int:
    """Compacts the store; gives its bytes on disk after that."""
    with _admin(server) as admin:
        return admin.Compact(CompactRequest()).bytes_after
