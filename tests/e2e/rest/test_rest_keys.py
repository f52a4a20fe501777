"""API keys over HTTP: who may call what, in which project, and for how long."""

from __future__ import annotations

from pathlib import Path

import pytest
from hookd_daemon.auth.roles import LEAST, Role
from hookd_daemon.http.rest.routes import ROUTES

from tests.e2e.doors import keys
from tests.e2e.rest.client import JSON, Rest
from tests.support.concurrency import eventually
from tests.support.daemon import Daemon, running


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory):
    with running(tmp_path_factory.mktemp("guarded"), "--require-keys") as daemon:
        yield daemon


def _with(daemon: Daemon, project: str | None, role: Role) -> Rest:
    return Rest(daemon.http, project or "", keys.create(daemon.data_dir, project, role))


def _path(template: str) -> str:
    parts = {"run_id": "r", "hook_id": "h", "token": "t", "payload_seq": "1"}
    return template.format(**parts)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.verb} {route.template}")
def test_every_route_needs_a_key_with_the_role(route, guarded: Daemon) -> None:
    path = _path(route.template)
    for key in ("", "nonsense", "hkd_000000000000_x"):
        stranger = Rest(guarded.http, "p", key)
        answer = stranger.send(route.verb, path, b"{broken", JSON | stranger.headers())
        assert (answer.status, answer.error["reason"]) == (401, "UNAUTHENTICATED")
        assert answer.headers["www-authenticate"] == "Bearer"
    outside = _with(guarded, "p", Role.RESUME_ONLY)
    answer = outside.send(route.verb, outside.url(path), b"{broken", JSON | outside.headers())
    if LEAST[route.path] is Role.RESUME_ONLY:
        assert answer.refused_field == "body"
    else:
        assert (answer.status, answer.error["reason"]) == (403, "PERMISSION_DENIED")
    other = _with(guarded, "other", Role.SERVICE)
    names = dict.fromkeys(route.needs, "x") | ({"hooks": []} if "hooks" in route.needs else {})
    told = (
        Rest(guarded.http, "p", other.key).post(path, **names)
        if route.has_body
        else Rest(guarded.http, "p", other.key).get(path)
    )
    assert (told.status, told.error["reason"]) == (403, "PERMISSION_DENIED")


def test_only_a_token_is_needed_to_resume(guarded: Daemon) -> None:
    service = _with(guarded, "shop", Role.SERVICE)
    service.start("r", claims=[{"token": "t"}])
    outside = _with(guarded, "shop", Role.RESUME_ONLY)
    assert outside.resume("t", 1).json["run_id"] == "r"
    assert outside.post("/v1/hooks:resume", token="t", payload=2).json["payload_seq"] == 2
    assert outside.get("/v1/hooks/t").status == 403


def test_any_host_will_do_with_keys_and_no_foreign_page(guarded: Daemon) -> None:
    rest = _with(guarded, "shop", Role.SERVICE)
    headers = rest.headers() | {"host": "hookd.example.com"}
    assert rest.send("GET", rest.url("/v1/runs"), headers=headers).status == 200
    headers["origin"] = "https://evil.test"
    assert rest.send("GET", rest.url("/v1/runs"), headers=headers).status == 403


def test_a_revoked_key_ends_its_streams(tmp_path: Path) -> None:
    with running(tmp_path, "--require-keys") as daemon:
        rest = _with(daemon, "shop", Role.SERVICE)
        rest.start("r")
        with rest.stream("/v1/runs/r/events:watch") as (_, events):
            assert [next(events).id for _ in range(2)] == ["1", "2"]
            keys.revoke(daemon.data_dir, rest.key)
            (last,) = events
            assert (last.name, last.data["error"]["reason"]) == ("failed", "UNAUTHENTICATED")
        eventually(lambda: rest.get("/v1/runs").status == 401)


def test_keys_are_in_no_log(guarded: Daemon) -> None:
    rest = _with(guarded, "shop", Role.SERVICE)
    assert rest.get("/v1/runs").status == 200
    assert rest.key not in guarded.log
