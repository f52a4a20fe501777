"""The table of roles knows every call."""

from __future__ import annotations

import pytest
from grpc_reflection.v1alpha import reflection_pb2
from hookd_daemon.api.parsing import parser
from hookd_daemon.auth.roles import LEAST, Role
from hookd_daemon.errors import PermissionDeniedError

from tests.e2e.doors.keys import METHODS, MODULES


def test_every_call_of_the_api_has_a_least_role_and_nothing_else_has() -> None:
    (standard,) = reflection_pb2.DESCRIPTOR.services_by_name.values()
    reflection = {f"/{standard.full_name}/{method.name}" for method in standard.methods}
    assert LEAST.keys() == METHODS.keys() | reflection


def test_the_modules_are_all_there_are() -> None:
    """A new service is not forgotten by the tests that go through all of them."""
    import importlib
    import pkgutil

    import hookd.v1

    names = [module.name for module in pkgutil.iter_modules(hookd.v1.__path__)]
    modules = [importlib.import_module(f"hookd.v1.{n}") for n in names if n.endswith("_pb2")]
    assert {m for m in modules if m.DESCRIPTOR.services_by_name} == set(MODULES)


def test_what_each_role_may() -> None:
    resume = {path for path, least in LEAST.items() if Role.RESUME_ONLY.covers(least)}
    service = {path for path, least in LEAST.items() if Role.SERVICE.covers(least)}
    assert {path.rpartition("/")[2] for path in resume} == {"ResumeHook", "ServerReflectionInfo"}
    assert {path for path in LEAST if "AdminService" in path} == LEAST.keys() - service
    assert all(Role.ADMIN.covers(least) for least in LEAST.values())
    assert not Role.RESUME_ONLY.covers(Role.SERVICE)


class _Call:
    project = "blue"


@pytest.mark.parametrize("path", METHODS)
def test_a_request_that_names_no_project_is_not_for_the_key_of_one(path: str) -> None:
    """Whatever an empty project stands for: it is not this one."""
    from google.protobuf.message_factory import GetMessageClass

    parse = parser(GetMessageClass(METHODS[path].input_type))
    with pytest.raises(PermissionDeniedError):
        parse(b"", _Call())  # type: ignore[arg-type]
