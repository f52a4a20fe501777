"""The guard tells the daemon's own pages and programs from pages of others."""

from __future__ import annotations

import pytest
from hookd_daemon.errors import PermissionDeniedError
from hookd_daemon.http.guard import Guard


def _refused(guard: Guard, method: str = "POST", **headers: str) -> str | None:
    """The header for which a request is refused; None if it is not."""
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        guard.check(method, sent)
    except PermissionDeniedError as error:
        return error.metadata["header"]
    return None


def _guard(
    listen: str = "127.0.0.1",
    *,
    keys: bool = False,
    scheme: str = "http",
    public: str | None = None,
) -> Guard:
    return Guard(lambda: keys, listen, scheme, public)


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1:4666",
        "127.0.0.1",
        "localhost:1",
        "LocalHost",
        "localhost.",
        "[::1]:3",
        "a.localhost",
    ],
)
def test_loopback_names_are_known(host: str) -> None:
    assert _refused(_guard(), host=host) is None


@pytest.mark.parametrize(
    "host",
    [
        "evil.test",
        "127.0.0.1.evil.test",
        "localhost.evil.test",
        "10.0.0.1",
        "u@evil.test",
        "[x",
        "",
    ],
)
def test_other_hosts_are_refused_without_keys(host: str) -> None:
    assert _refused(_guard(), host=host) == "host"
    assert _refused(_guard(), "GET", host=host) == "host"
    assert _refused(_guard(keys=True), host=host) is None


def test_the_listen_address_and_the_public_host_are_known() -> None:
    assert _refused(_guard("hookd.internal"), host="hookd.internal:4666") is None
    assert _refused(_guard("10.0.0.1"), host="10.0.0.1:4666") is None
    assert _refused(_guard("10.0.0.1"), host="10.0.0.2:4666") == "host"
    assert _refused(_guard("0.0.0.0"), host="10.0.0.2:4666") is None
    assert _refused(_guard("0.0.0.0"), host="evil.test") == "host"
    public = _guard(public="https://hooks.example.com/base")
    assert _refused(public, host="hooks.example.com") is None
    assert _refused(public, host="example.com") == "host"


@pytest.mark.parametrize("keys", [False, True])
@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.test",
        "null",
        "https://127.0.0.1:4666",
        "http://127.0.0.1:3000",
        "http://127.0.0.1",
        "",
    ],
)
def test_other_origins_are_refused(origin: str, keys: bool) -> None:
    guard = _guard(keys=keys)
    assert _refused(guard, host="127.0.0.1:4666", origin=origin) == "origin"
    assert _refused(guard, "GET", host="127.0.0.1:4666", origin=origin) == "origin"


def test_the_own_origin_is_let_in() -> None:
    assert _refused(_guard(), host="localhost:4666", origin="http://localhost:4666") is None
    tls = _guard(scheme="https")
    assert _refused(tls, host="localhost:4666", origin="https://localhost:4666") is None
    assert _refused(tls, host="localhost:4666", origin="http://localhost:4666") == "origin"
    public = _guard(public="https://hooks.example.com:443/base")
    assert _refused(public, host="127.0.0.1:4666", origin="https://hooks.example.com") is None
    assert _refused(public, host="127.0.0.1:4666", origin="http://hooks.example.com") == "origin"


@pytest.mark.parametrize("site", ["cross-site", "same-site", "anything"])
def test_what_a_browser_says_is_from_elsewhere_is_refused(site: str) -> None:
    here = {"host": "localhost:4666"}
    assert _refused(_guard(), "GET", sec_fetch_site=site, **here) == "sec-fetch-site"
    moved = {"sec_fetch_site": site, "sec_fetch_mode": "navigate"}
    assert _refused(_guard(), "GET", **moved, **here) is None
    assert _refused(_guard(), "POST", **moved, **here) == "sec-fetch-site"


@pytest.mark.parametrize("site", ["same-origin", "none"])
def test_the_operator_and_own_pages_are_let_in(site: str) -> None:
    assert _refused(_guard(), host="localhost:4666", sec_fetch_site=site) is None
