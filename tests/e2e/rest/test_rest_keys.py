"""API keys over HTTP: who may call what, in which project, and for how long."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hookd_daemon.auth.roles import LEAST, Role
from hookd_daemon.http.rest.routes import ROUTES

from tests.e2e.doors import keys
from tests.e2e.rest.client import JSON, Answer, Rest
from tests.support.concurrency import eventually
from tests.support.daemon import PATIENCE, Daemon, running


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


def _ask(guarded: Daemon, route, ids: dict[str, str], key: str) -> Answer:
    """Makes a call of a route in the project of the fixture ``secretive``."""
    rest = Rest(guarded.http, "secretive", key)
    path = route.template.format(**ids)
    if not route.has_body:
        return rest.get(path)
    names = {name: ids.get(name, "x") for name in route.needs}
    if "hooks" in names:
        hook = {"hook_id": ids["hook_id"], "token": ids["token"]}
        names["hooks"] = [{"run_id": ids["run_id"], "hook": hook}]
    return rest.post(path, **names)


THERE = {"run_id": "run-there", "hook_id": "hook-there", "token": "token-there", "payload_seq": "1"}
NOWHERE = {name: value.replace("there", "where") for name, value in THERE.items()}


@pytest.fixture(scope="module")
def secretive(guarded: Daemon) -> Daemon:
    """A project that has a run, and a hook that can be answered."""
    owner = _with(guarded, "secretive", Role.SERVICE)
    owner.start("run-there")
    webhook = {"manual": {"within": "30s"}}
    owner.post(
        "/v1/runs/run-there/hooks", hook_id="hook-there", token="token-there", webhook=webhook
    )
    assert owner.resume("token-there", 1).json["payload_seq"] == 1
    return guarded


def test_a_refusal_does_not_tell_what_is_there(secretive: Daemon) -> None:
    """The same headers and the same bytes, whether the run, the hook and the token exist or not."""
    strangers = {
        "none": "",
        "service": _with(secretive, "other", Role.SERVICE).key,
        "resume-only": _with(secretive, "other", Role.RESUME_ONLY).key,
        "admin": _with(secretive, "other", Role.ADMIN).key,
    }
    for route in ROUTES:
        for kind, key in strangers.items():
            there, nowhere = (_ask(secretive, route, ids, key) for ids in (THERE, NOWHERE))
            assert there.status == (403 if key else 401), (route, kind)
            assert there == nowhere, (route, kind)
            assert "-there" not in there.text, (route, kind)


def test_what_is_there_would_make_a_difference(secretive: Daemon) -> None:
    """Else the test above would show nothing."""
    key = _with(secretive, "secretive", Role.SERVICE).key
    for route in ROUTES:
        if route.verb == "GET" and route.parameters and not route.is_stream:
            answers = {_ask(secretive, route, ids, key).status for ids in (THERE, NOWHERE)}
            assert answers == {200, 404}, route


def test_a_revoked_key_ends_its_waits(tmp_path: Path) -> None:
    with running(tmp_path, "--require-keys") as daemon:
        rest = _with(daemon, "shop", Role.SERVICE)
        rest.start("r")
        waits: list[Callable[[], Answer]] = [
            lambda: rest.post("/v1/runs/r:await", wait="5m"),
            lambda: rest.get("/v1/hooks/later", wait="5m"),
            lambda: rest.resume("later", 1, wait="5m"),
        ]
        with ThreadPoolExecutor(len(waits)) as pool:
            answers = [pool.submit(wait) for wait in waits]
            metrics = _with(daemon, None, Role.ADMIN)
            eventually(lambda: "hookd_streams_open 3.0" in _metrics(metrics))
            keys.revoke(daemon.data_dir, rest.key)
            told = [answer.result(PATIENCE) for answer in answers]
        assert [(one.status, one.error["reason"]) for one in told] == [(401, "UNAUTHENTICATED")] * 3
        assert "not valid any more" in told[0].error["message"]


def _metrics(rest: Rest) -> str:
    return rest.send("GET", "/metrics", headers=rest.headers()).text
