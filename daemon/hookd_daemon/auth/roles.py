"""What a key may be used for: roles, and the least role of every call."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class Role(StrEnum):
    """What a key may be used for; each may do what the ones before it may."""

    #: Deliver payloads to tokens: for those outside who were given a token.
    RESUME_ONLY = "resume-only"
    #: Everything about runs, hooks, streams and work: for services and workers.
    SERVICE = "service"
    #: The daemon itself: statistics, backups, compaction, metrics.
    ADMIN = "admin"

    def covers(self, least: Role) -> bool:
        """Whether this role may do what needs at least the other."""
        return _RANK[self] >= _RANK[least]


_RANK = {role: rank for rank, role in enumerate(Role)}

REFLECTION = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"

#: The least role of every call, by its path. What is not listed is not served.
#: The standard health service is open to everybody, and not in here.
LEAST: Mapping[str, Role] = {
    "/hookd.v1.RunService/StartRun": Role.SERVICE,
    "/hookd.v1.RunService/GetRun": Role.SERVICE,
    "/hookd.v1.RunService/ListRuns": Role.SERVICE,
    "/hookd.v1.RunService/CancelRun": Role.SERVICE,
    "/hookd.v1.RunService/CompleteRun": Role.SERVICE,
    "/hookd.v1.RunService/FailRun": Role.SERVICE,
    "/hookd.v1.RunService/AwaitRun": Role.SERVICE,
    "/hookd.v1.RunService/KeepAlive": Role.SERVICE,
    "/hookd.v1.RunService/ListEvents": Role.SERVICE,
    "/hookd.v1.RunService/WatchRun": Role.SERVICE,
    "/hookd.v1.HookService/CreateHook": Role.SERVICE,
    "/hookd.v1.HookService/CreateHooks": Role.SERVICE,
    "/hookd.v1.HookService/GetHook": Role.SERVICE,
    "/hookd.v1.HookService/ListHooks": Role.SERVICE,
    "/hookd.v1.HookService/ResumeHook": Role.RESUME_ONLY,
    "/hookd.v1.HookService/RespondWebhook": Role.SERVICE,
    "/hookd.v1.HookService/DisposeHook": Role.SERVICE,
    "/hookd.v1.HookService/ReceivePayloads": Role.SERVICE,
    "/hookd.v1.HookService/ClaimStream": Role.SERVICE,
    "/hookd.v1.StreamService/WriteChunks": Role.SERVICE,
    "/hookd.v1.StreamService/ReadStream": Role.SERVICE,
    "/hookd.v1.StreamService/CloseStream": Role.SERVICE,
    "/hookd.v1.StreamService/ListStreams": Role.SERVICE,
    "/hookd.v1.WorkerService/Poll": Role.SERVICE,
    "/hookd.v1.WorkerService/CompleteTurn": Role.SERVICE,
    "/hookd.v1.WorkerService/CompleteStep": Role.SERVICE,
    "/hookd.v1.WorkerService/Heartbeat": Role.SERVICE,
    "/hookd.v1.WorkerService/ListQueues": Role.SERVICE,
    "/hookd.v1.AdminService/GetStats": Role.ADMIN,
    "/hookd.v1.AdminService/Backup": Role.ADMIN,
    "/hookd.v1.AdminService/Compact": Role.ADMIN,
    REFLECTION: Role.RESUME_ONLY,
}
