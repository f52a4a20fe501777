"""Page tokens that were changed or made up: refused, or a position in the list they are for."""

from __future__ import annotations

import base64

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import ListHooksRequest
from hookd.v1.run_service_pb2 import ListRunsRequest
from hookd_daemon.api.paging import page_token, position_of, text_position_of
from hookd_daemon.errors import InvalidArgumentError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.api import Api, Refusal, unique
from tests.support.effort import effort

#: How many bytes of a token are the digest of the list's filters.
DIGEST = 8
FILTERS = st.binary(max_size=10)


@pytest.mark.torture
@settings(max_examples=effort(150), deadline=None)
@given(FILTERS, FILTERS, st.binary(max_size=20))
def test_a_token_is_good_for_its_own_list(mine: bytes, other: bytes, position: bytes) -> None:
    token = page_token(mine, position)
    assert (token == "") == (position == b"")
    assert position_of(mine, token) == position
    if token and mine != other:
        with pytest.raises(InvalidArgumentError, match="other filters"):
            position_of(other, token)


@pytest.mark.torture
@settings(max_examples=effort(150), deadline=None)
@given(
    st.one_of(
        st.text(max_size=40),
        st.binary(max_size=40).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
    )
)
def test_what_is_no_token_is_refused(token: str) -> None:
    for read in (position_of, text_position_of):
        if not token:
            assert not read(b"f", token)
            continue
        with pytest.raises(InvalidArgumentError, match="page_token"):
            read(b"f", token)


@pytest.fixture
def lists(api: Api) -> tuple[Api, Api]:
    """Two projects with ten runs and tokens each; pages of the first are asked for."""
    other = Api(api.channel, unique("other"))
    for each in (api, other):
        for number in range(10):
            each.start(f"run-{number}", claims=[HookSpec(token=f"{each.project}-{number}")])
    return api, other


def forged(token: str, position: bytes) -> str:
    """A token for the same list with another position: nothing keeps a caller from making it."""
    return base64.urlsafe_b64encode(base64.b64decode(token, b"-_")[:DIGEST] + position).decode()


@pytest.mark.torture
@settings(
    max_examples=effort(30),
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.lists(st.one_of(st.binary(min_size=1, max_size=24), st.just(b"\xff" * 20)), max_size=6))
def test_a_forged_position_leads_nowhere_else(
    lists: tuple[Api, Api], positions: list[bytes]
) -> None:
    """Whatever is in it, what comes is of the project that was asked for, or an error."""
    api, other = lists
    runs = ListRunsRequest(project=api.project, page_size=2)
    hooks = ListHooksRequest(project=api.project, page_size=2)
    first_runs, first_hooks = api.runs.ListRuns(runs), api.hooks.ListHooks(hooks)
    for position in positions:
        runs.page_token = forged(first_runs.next_page_token, position)
        assert {run.project for run in api.runs.ListRuns(runs).runs} <= {api.project}
        hooks.page_token = forged(first_hooks.next_page_token, position)
        answer = api.hooks.ListHooks.future(hooks)
        if answer.code() is grpc.StatusCode.OK:
            assert {hook.project for hook in answer.result().hooks} <= {api.project}
        else:
            assert list(Refusal(answer).fields) == ["page_token"]
    runs.project = other.project
    runs.page_token = first_runs.next_page_token
    with pytest.raises(grpc.RpcError, match="other filters"):
        api.runs.ListRuns(runs)
