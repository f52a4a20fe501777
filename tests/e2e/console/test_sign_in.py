"""Who may see and do what, when keys are required."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from urllib.parse import quote

import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.run_service_pb2 import StartRunRequest
from hookd_daemon.auth.roles import Role
from playwright.sync_api import Page, expect

from tests.e2e.console.http import Answer, ask
from tests.e2e.doors.keys import bearing, create, id_of, revoke
from tests.support.api import Api, json_payload
from tests.support.daemon import Daemon, running


@pytest.fixture(scope="module")
def locked(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon that requires keys, with a run and a hook in two projects."""
    with running(tmp_path_factory.mktemp("locked"), "--require-keys") as daemon:
        key = create(daemon.data_dir, None, Role.ADMIN)
        runs = Api(daemon.channel()).runs
        for project in ("shop", "other"):
            request = StartRunRequest(
                project=project,
                run_id=f"{project}-run",
                workflow="checkout",
                external=True,
                input=json_payload("1"),
                claims=[HookSpec(hook_id="hook", token=f"{project}-token")],
            )
            runs.StartRun(request, metadata=bearing(key))
        yield daemon


@pytest.fixture
def origin(locked: Daemon) -> str:
    """Where its console is."""
    return f"http://{locked.http}"


def sign_in(page: Page, key: str) -> None:
    """Signs in on the page that asks for it."""
    page.get_by_label("API key").fill(key)
    page.get_by_role("button", name="Sign in").click()


def test_sign_in_leads_to_where_one_wanted_to_go(locked: Daemon, page: Page) -> None:
    """And out again; the way back is closed then."""
    key = create(locked.data_dir, "shop", Role.SERVICE)
    page.goto("/console/run?run=shop-run")
    expect(page).to_have_title("Sign in · hookd")
    sign_in(page, key)
    expect(page.get_by_role("heading", level=1)).to_have_text("shop-run")
    cookies = page.context.cookies()
    assert [(one["httpOnly"], one["sameSite"], one["path"]) for one in cookies] == [
        (True, "Strict", "/")
    ]
    assert key not in str(cookies)
    page.get_by_role("button", name="Sign out").click()
    expect(page.get_by_role("status")).to_have_text("You are signed out.")
    page.goto("/console/run?run=shop-run")
    expect(page).to_have_title("Sign in · hookd")
    assert key not in locked.log
    assert f'"key": "{id_of(key)}"' in locked.log


def test_a_session_ends_with_its_key(locked: Daemon, page: Page) -> None:
    """The page that is open goes as well."""
    key = create(locked.data_dir, "shop", Role.SERVICE)
    page.goto("/")
    sign_in(page, key)
    expect(page.get_by_text("live", exact=True)).to_be_visible()
    revoke(locked.data_dir, key)
    expect(page.get_by_text("Your session has ended")).to_be_visible()
    sign_in(page, key)
    expect(page.get_by_role("alert")).to_have_text("This key is not valid.")


def test_keys_that_are_none_are_refused_and_logged(locked: Daemon, page: Page) -> None:
    """All the same way, and without what was typed in."""
    expired = create(locked.data_dir, "shop", lasts=timedelta(0))
    for key in ("hkd_000000000000_guess", expired, "'; drop", "ö"):
        page.goto("/")
        sign_in(page, key)
        expect(page.get_by_role("alert")).to_have_text("This key is not valid.")
        assert key not in locked.log
    assert locked.log.count("console sign-in refused") >= 4


def test_a_service_sees_its_project_only(locked: Daemon, page: Page) -> None:
    """It cannot switch, and what is about the whole daemon is not for it."""
    page.goto("/")
    sign_in(page, create(locked.data_dir, "shop", Role.SERVICE))
    expect(page.get_by_role("heading", name="Project shop")).to_be_visible()
    expect(page.get_by_role("heading", name="The daemon")).to_have_count(0)
    expect(page.get_by_role("combobox", name="Project")).to_have_count(0)
    for path in ("/", "/console/conflicts", "/console/runs", "/console/hooks", "/console/queues"):
        answer = page.goto(f"{path}?project=other")
        assert answer is not None
        assert answer.status == 403
        expect(page.get_by_role("heading", name="Not with this key")).to_be_visible()
    answer = page.goto("/console/run?project=other&run=other-run")
    assert answer is not None
    assert answer.status == 403
    assert "checkout" not in page.content()


def test_an_admin_sees_all_projects(locked: Daemon, page: Page) -> None:
    """And switches between them."""
    page.goto("/")
    sign_in(page, create(locked.data_dir, None, Role.ADMIN))
    expect(page.get_by_role("heading", name="The daemon")).to_be_visible()
    page.get_by_role("combobox", name="Project").fill("other")
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="other-run")).to_be_visible()


def test_who_may_only_resume_has_a_page_for_that(locked: Daemon, page: Page) -> None:
    """Nothing else is offered, and all else is refused."""
    page.goto("/")
    sign_in(page, create(locked.data_dir, "shop", Role.RESUME_ONLY))
    expect(page.get_by_role("heading", name="Resume a hook")).to_be_visible()
    expect(page.get_by_role("navigation", name="Pages").get_by_role("link")).to_have_text("Resume")
    page.get_by_label("Token").fill("shop-token")
    page.get_by_label("Payload").fill("7")
    page.get_by_role("button", name="Deliver").click()
    expect(page.get_by_role("status")).to_have_text("The payload was delivered.")
    for path in (
        "/console/conflicts",
        "/console/runs",
        "/console/run?run=shop-run",
        "/console/hooks",
        "/console/hook?run=shop-run&hook=hook",
        "/console/queues",
        "/console/cancel?run=shop-run",
        "/console/dispose?run=shop-run&hook=hook",
        "/console/resume?run=shop-run&hook=hook",
    ):
        answer = page.goto(path)
        assert answer is not None
        assert answer.status == 403
        assert "checkout" not in page.content()


def _signed_in(locked: Daemon, project: str | None, role: Role) -> tuple[str, str]:
    """The cookie of a session, and the token of its forms."""
    front = ask(locked.http, "/console/sign-in")
    form = {"form_token": front.form_token, "key": create(locked.data_dir, project, role)}
    inside = ask(locked.http, "/console/sign-in", form, cookie=front.cookie)
    assert inside.status == 303
    assert inside.cookie
    assert inside.cookie != front.cookie, "a session must not begin with what came before it"
    page = ask(locked.http, "/console/resume", cookie=inside.cookie)
    return inside.cookie, page.form_token


@pytest.mark.parametrize(
    "path",
    ["/console/cancel?run=shop-run", "/console/dispose?run=shop-run&hook=hook"],
)
def test_the_server_refuses_what_a_role_does_not_allow(locked: Daemon, path: str) -> None:
    """Not only the button is not there."""
    cookie, token = _signed_in(locked, "shop", Role.RESUME_ONLY)
    assert ask(locked.http, path, {"form_token": token}, cookie=cookie).status == 403
    cookie, token = _signed_in(locked, "other", Role.SERVICE)
    assert ask(locked.http, path, {"form_token": token}, cookie=cookie).status == 404
    answer = ask(locked.http, f"{path}&project=shop", {"form_token": token}, cookie=cookie)
    assert answer.status == 403


@pytest.mark.parametrize("role", [Role.RESUME_ONLY, Role.SERVICE, Role.ADMIN])
def test_a_stranger_is_not_told_what_is_there(locked: Daemon, role: Role) -> None:
    """The same page, whether the run, the hook and the token of another project exist or not."""
    cookie, token = _signed_in(locked, "shop", role)
    hook = "run={0}-run&hook=hook"
    payload = {"form_token": token, "payload": "1", "payload_id": "p", "token": "{0}-token"}
    asked: list[tuple[str, dict[str, str] | None]] = [
        *((f"/console/{page}?{hook}", None) for page in ("run", "hook", "live/run", "live/hook")),
        ("/console/hooks?token={0}-token", None),
        *((f"/console/live/{page}", None) for page in ("overview", "conflicts", "queues")),
        ("/console/cancel?run={0}-run", {"form_token": token}),
        (f"/console/dispose?{hook}", {"form_token": token}),
        ("/console/resume?token={0}-token", payload),
        (f"/console/resume?{hook}", payload),
    ]
    for path, form in asked:
        told = []
        for run in ("other", "there"):
            sent = form and {name: value.format(run) for name, value in form.items()}
            target = path.format(run) + ("&" if "?" in path else "?") + "project=other"
            answer = ask(locked.http, target, sent, cookie=cookie)
            # What was asked for stands in links.
            told.append((answer.status, answer.headers, answer.text.replace(f"{run}-", "-")))
        assert told[0][0] == 403, path
        assert told[0] == told[1], path


def _to(answer: Answer) -> str:
    return answer.headers.get("location", "")


@pytest.mark.parametrize(
    "wanted",
    ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/x"],
)
def test_sign_in_leads_nowhere_else(locked: Daemon, wanted: str) -> None:
    """Whatever a link to it says."""
    front = ask(locked.http, f"/console/sign-in?next={quote(wanted, safe='')}")
    assert "evil" not in front.text
    key = create(locked.data_dir, "shop", Role.SERVICE)
    form = {"form_token": front.form_token, "key": key, "next": wanted}
    assert _to(ask(locked.http, "/console/sign-in", form, cookie=front.cookie)) == "/"


def test_the_name_of_the_console_leads_to_it(locked: Daemon) -> None:
    """People try it; who may see what is asked there."""
    for path in ("/console", "/console/"):
        assert _to(ask(locked.http, path)) == "/"


def test_without_a_session_nothing_is_there(locked: Daemon) -> None:
    """Pages lead to the sign-in, and events tell nothing."""
    for path in ("/", "/console/runs", "/console/run?run=shop-run", "/console/cancel?run=shop-run"):
        assert _to(ask(locked.http, path)).startswith("/console/sign-in")
        assert _to(ask(locked.http, path, cookie="hookd_console=" + "a" * 43)).startswith(
            "/console/sign-in"
        )
    events = ask(locked.http, "/console/live/run?run=shop-run")
    assert "checkout" not in events.text
    assert "event: gone" in events.text
    # Signing in is a form as well: nobody can be signed in by another site.
    key = create(locked.data_dir, "shop", Role.SERVICE)
    assert ask(locked.http, "/console/sign-in", {"key": key}).status == 403


def test_who_has_not_signed_in_sends_little(locked: Daemon) -> None:
    """A form that is larger is not read to its end."""
    front = ask(locked.http, "/console/sign-in")
    form = {"form_token": front.form_token, "key": "x" * 10_000}
    assert ask(locked.http, "/console/sign-in", form, cookie=front.cookie).status == 413
