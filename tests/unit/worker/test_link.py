"""Reports are repeated until they are heard."""

import pytest
from hookd.errors import DeadlineExceededError, HookdError, LimitExceededError, UnavailableError
from hookd.v1 import worker_service_pb2 as pb
from hookd.worker.link import Link, is_overtaken


class FakeTransport:
    """Fails as the test says, then answers."""

    project = "default"
    workers = type("Stub", (), {"CompleteTurn": "CompleteTurn", "CompleteStep": "CompleteStep"})

    def __init__(self, *errors: HookdError) -> None:
        self.errors = list(errors)
        self.sent: list[object] = []

    async def call(self, method, request):
        self.sent.append(request)
        if self.errors:
            raise self.errors.pop(0)
        return f"answer to {method}"


@pytest.fixture(autouse=True)
def _no_delay(monkeypatch):
    monkeypatch.setattr("hookd.retry._FIRST", 0.001)
    monkeypatch.setattr("hookd.retry._MOST", 0.001)


async def test_an_outage_of_any_length_is_survived():
    transport = FakeTransport(
        *[UnavailableError("away")] * 20,
        DeadlineExceededError("slow"),
        LimitExceededError("full", metadata={"limit": "calls_in_flight"}),
    )
    link = Link(transport, "worker")
    request = pb.CompleteTurnRequest(turn_id=link.new_turn_id())
    assert await link.complete_turn(request) == "answer to CompleteTurn"
    # It is the same report each time: the daemon knows it again.
    assert len(transport.sent) == 23
    assert all(each is request for each in transport.sent)


async def test_a_no_is_a_no():
    stale = HookdError("over", reason="STALE_TURN")
    transport = FakeTransport(stale)
    with pytest.raises(HookdError) as caught:
        await Link(transport, "worker").complete_step(pb.CompleteStepRequest())
    assert caught.value is stale
    assert is_overtaken(stale)
    assert not is_overtaken(UnavailableError("away"))
    assert len(transport.sent) == 1


def test_turns_have_ids_of_their_own():
    links = [Link(FakeTransport(), name) for name in ("a", "b")]
    assert len({link.new_turn_id() for link in links for _ in range(10)}) == 20
