"""The description lists what there is: no route more and none less."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any

import pytest
from hookd_daemon.http.rest.routes import METHODS, ROUTES

from tests.e2e.rest.client import Rest

#: HTTP has no streams in both directions; CreateHooks does the same.
NOT_CARRIED = {"ClaimStream"}


@pytest.fixture
def described(rest: Rest) -> dict[str, Any]:
    found: dict[str, Any] = rest.send("GET", "/v1/openapi.json").json
    return found


def test_every_call_but_one_has_a_route() -> None:
    assert {route.call for route in ROUTES} == METHODS.keys() - NOT_CARRIED


def test_the_description_lists_exactly_the_routes(described: dict[str, Any]) -> None:
    listed = {(verb.upper(), path) for path, at in described["paths"].items() for verb in at}
    assert listed == {(route.verb, route.template) for route in ROUTES}
    names = [op["operationId"] for at in described["paths"].values() for op in at.values()]
    assert len(set(names)) == len(names) == len(ROUTES)


def test_every_field_of_a_request_has_its_place(described: dict[str, Any]) -> None:
    """What gRPC takes can be said over HTTP, by one of the routes of the call."""
    for call in METHODS.keys() - NOT_CARRIED:
        routes = [route for route in ROUTES if route.call == call]
        said = {
            name
            for route in routes
            for name in (route.within, route.body, *route.parameters, *route.rest, "project")
        }
        wanted = {field.name for field in METHODS[call].input_type.fields}
        assert wanted <= said, call


def test_every_reference_leads_somewhere(described: dict[str, Any]) -> None:
    found: list[str] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            if "$ref" in value:
                found.append(value["$ref"])
            for item in value.values():
                walk(item)
        elif isinstance(value, list):
            for item in value:
                walk(item)

    walk(described)
    assert found
    for reference in found:
        place: Any = described
        for part in reference.removeprefix("#/").split("/"):
            place = place[part]


def test_the_limits_are_told(described: dict[str, Any]) -> None:
    start = described["paths"]["/v1/runs"]["post"]["requestBody"]["content"]["application/json"]
    fields = start["schema"]["properties"]
    assert fields["workflow"]["maxLength"] == 256
    assert fields["claims"]["maxItems"] == 64
    lease = fields["lease_ttl"]
    assert (lease["minimum"], lease["maximum"]) == (0.1, 86400)
    assert (
        described["components"]["schemas"]["HookSpecInput"]["properties"]["token"]["maxLength"]
        == 512
    )
    assert described["security"] == [{}, {"key": []}]


class _Page(HTMLParser):
    """What a page has of tags, and where it leads."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: set[str] = set()
        self.links: set[str] = set()
        self.ids: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        for name, value in attrs:
            assert not name.startswith("on")
            if name in {"href", "src"}:
                self.links.add(value or "")
            if name == "id":
                self.ids.add(value or "")


def test_the_page_shows_it_without_a_script(rest: Rest, described: dict[str, Any]) -> None:
    answer = rest.send("GET", "/v1/docs")
    assert answer.status == 200
    policy = answer.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; style-src 'sha256-")
    assert "unsafe" not in policy
    page = _Page()
    page.feed(answer.text)
    assert not page.tags & {"script", "link", "img", "iframe", "form"}
    assert page.links - {f"#{name}" for name in page.ids} == {"openapi.json"}
    for path in described["paths"]:
        assert path in re.sub("<[^>]+>", "", answer.text)
