"""Sessions: bounded in number and time."""

from __future__ import annotations

from hookd_daemon.auth.door import Caller
from hookd_daemon.console.sessions import LONGEST_S, MOST_SESSIONS, Sessions


class _Time:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_session_lasts_twelve_hours_at_most() -> None:
    """And ends when it is ended."""
    time, caller = _Time(), Caller(None)
    sessions = Sessions(time)
    first, second = sessions.begin(caller), sessions.begin(caller)
    assert first != second
    found = sessions.find(first)
    assert found is not None
    assert found.caller is caller
    sessions.end(first)
    assert sessions.find(first) is None
    time.now += LONGEST_S - 1
    assert sessions.find(second) is not None
    time.now += 1
    assert sessions.find(second) is None


def test_there_are_so_many_sessions_at_most() -> None:
    """The one that began first ends for one more."""
    sessions = Sessions()
    secrets = [sessions.begin(Caller(None)) for _ in range(MOST_SESSIONS + 1)]
    assert sessions.find(secrets[0]) is None
    assert all(sessions.find(secret) for secret in secrets[1:])


def test_a_form_token_belongs_to_one_secret_of_one_daemon() -> None:
    """It is not the secret, and nobody can compute it from outside."""
    sessions, others = Sessions(), Sessions()
    secret = sessions.new_secret()
    token = sessions.form_token(secret)
    assert secret not in token
    assert sessions.is_form_token(secret, token)
    for wrong in ("", "ä", token[:-1], sessions.form_token("x"), others.form_token(secret)):
        assert not sessions.is_form_token(secret, wrong)
