"""What schemathesis cannot know of the API; loaded by it, see test_rest_schemathesis.

Values for our own formats, and the rules that hold between values: schemathesis
makes what the schema allows, and would take a refusal for a mistake.
"""

from __future__ import annotations

import os
import re
from typing import Any
from urllib.parse import quote

import requests
import schemathesis
from hypothesis import strategies as st

# Sizes are in bytes, and the schema counts characters: letters of one byte.
schemathesis.openapi.format(
    "hookd-text",
    st.text(st.characters(min_codepoint=1, max_codepoint=127), min_size=1, max_size=60),
)
schemathesis.openapi.format("hookd-page", st.just(""))
schemathesis.openapi.format(
    "hookd-duration",
    st.one_of(
        st.integers(1, 299).map(lambda n: f"{n}s"),
        st.integers(100, 9999).map(lambda n: f"{n}ms"),
        st.sampled_from(["0.5s", "1m30s", "2m"]),
    ),
)
schemathesis.openapi.format(
    "date-time", st.integers(1971, 9998).map(lambda year: f"{year}-01-31T12:00:00Z")
)

STREAMS = ("/events:watch", "/payloads")


@schemathesis.hook
def before_call(context: Any, case: Any, kwargs: Any) -> None:
    """Has no call wait for long: nobody does what it waits for."""
    if case.operation.path.endswith(STREAMS):
        _end_run(case)
    for place in (case.body, case.query):
        if isinstance(place, dict) and _is_duration(place.get("wait")):
            place["wait"] = "1ms"


def _end_run(case: Any) -> None:
    """Cancels the run that a stream is about: else it would go on for ever."""
    run_id, project = case.path_parameters.get("run_id"), case.query.get("project")
    requests.post(
        f"{case.operation.base_url.rstrip('/')}/v1/runs/{quote(str(run_id), safe='')}:cancel",
        params={"project": project} if isinstance(project, str) else {},
        headers={"authorization": f"Bearer {os.environ['HOOKD_TEST_KEY']}"},
        json={},
        timeout=60,
    )


def _is_duration(value: Any) -> bool:
    if isinstance(value, str):
        return re.fullmatch(r"([0-9.]+(ms|s|m)?)+", value) is not None
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 300


#: Why a request that the description allows may be refused: an id has other
#: content, a run has no lease, a hook is no webhook, two claims are for one token.
ABOUT_WHAT_THERE_IS = ("has no lease", "is no webhook", "payloads; it is", "two claims")


@schemathesis.check
def refused_only_for_what_there_is(ctx: Any, response: Any, case: Any) -> None:
    """Requests that the description allows are wrong for no other reason."""
    if response.status_code == 400 and case.meta.generation.mode.is_positive:
        error = response.json()["error"]
        told = error["message"]
        assert error["reason"] == "ID_REUSED" or any(why in told for why in ABOUT_WHAT_THERE_IS), (
            told
        )
