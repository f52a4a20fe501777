"""Health and reflection, as tools that know nothing of hookd use them."""

from __future__ import annotations

import grpc
import pytest
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse
from grpc_health.v1.health_pb2_grpc import HealthStub
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)
from hookd.v1 import (
    admin_service_pb2,
    hook_service_pb2,
    run_service_pb2,
    stream_service_pb2,
)

from tests.support.api import Api, refusal

SERVICES = {
    module.DESCRIPTOR.services_by_name[name].full_name: module.DESCRIPTOR.services_by_name[name]
    for module, name in (
        (admin_service_pb2, "AdminService"),
        (hook_service_pb2, "HookService"),
        (run_service_pb2, "RunService"),
        (stream_service_pb2, "StreamService"),
    )
}


@pytest.mark.parametrize("service", ["", *SERVICES])
def test_each_service_is_healthy(api: Api, service: str) -> None:
    """The empty name stands for the whole daemon."""
    health = HealthStub(api.channel)
    assert health.Check(HealthCheckRequest(service=service)).status == HealthCheckResponse.SERVING


def test_the_health_of_a_service_that_is_not_there(api: Api) -> None:
    """It is unknown, and not healthy."""
    told = refusal(HealthStub(api.channel).Check, HealthCheckRequest(service="hookd.v1.Nothing"))
    assert told.code == grpc.StatusCode.NOT_FOUND


def test_reflection_lists_the_services(api: Api) -> None:
    """Ours and the standard ones."""
    names = set(ProtoReflectionDescriptorDatabase(api.channel).get_services())
    standard = {"grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}
    assert names >= SERVICES.keys() | standard


@pytest.mark.parametrize("service", SERVICES)
def test_reflection_describes_every_call(api: Api, service: str) -> None:
    """What it gives is enough to make the calls without our protos."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(api.channel))
    described = pool.FindServiceByName(service)
    ours = SERVICES[service]
    assert [method.name for method in described.methods] == [m.name for m in ours.methods]
    for method, own in zip(described.methods, ours.methods, strict=True):
        assert [f.name for f in method.input_type.fields] == [f.name for f in own.input_type.fields]


def test_reflection_describes_the_details_of_errors(api: Api) -> None:
    """A tool can show the typed detail of a conflict, which no call returns by itself."""
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(api.channel))
    described = pool.FindMessageTypeByName("hookd.v1.HookConflict")
    assert "run_id" in described.fields_by_name
