"""Signatures that those who use a scheme have published, and what is near to right."""

from __future__ import annotations

import pytest
from hookd.v1 import webhook_pb2 as pb
from hookd_daemon.http.webhooks import schemes
from hookd_daemon.http.webhooks.request import IncomingRequest
from hookd_daemon.http.webhooks.schemes import NotVerifiedError, delivery_id, verify

SLACK_BODY = (
    b"token=xyzz0WbapA4vBCDEFasx0q6G&team_id=T1DC2JH3J&team_domain=testteamnow&channel_id=G8PSS9T3V"
    b"&channel_name=foobar&user_id=U2CERLKJA&user_name=roadrunner&command=%2Fwebhook-collect&text="
    b"&response_url=https%3A%2F%2Fhooks.slack.com%2Fcommands%2FT1DC2JH3J%2F397700885554"
    b"%2F96rGlfmibIGlgcZRskXaIFfN&trigger_id=398738663015.47445629121."
    b"803a0bc887a14d10d2c447fce8b6703c"
)


def request(body: bytes, *headers: tuple[str, str]) -> IncomingRequest:
    return IncomingRequest("POST", "", "", list(headers), "", body)


#: Scheme, secret, request, time: docs.github.com, docs.slack.dev, docs.svix.com.
PUBLISHED = {
    "github": (
        pb.WEBHOOK_SCHEME_GITHUB,
        b"It's a Secret to Everybody",
        request(
            b"Hello, World!",
            (
                "x-hub-signature-256",
                "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17",
            ),
        ),
        0,
    ),
    "slack": (
        pb.WEBHOOK_SCHEME_SLACK,
        b"8f742231b10e8888abcd99yyyzzz85a5",
        request(
            SLACK_BODY,
            ("x-slack-request-timestamp", "1531420618"),
            (
                "x-slack-signature",
                "v0=a2114d57b48eac39b9ad189dd8316235a7b4a8d21a10bd27519666489c69b503",
            ),
        ),
        1531420618,
    ),
    "standard-webhooks": (
        pb.WEBHOOK_SCHEME_STANDARD_WEBHOOKS,
        b"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        request(
            b'{"test": 2432232314}',
            ("webhook-id", "msg_p5jXN8AQM9LWM0D4loKWxJek"),
            ("webhook-timestamp", "1614265330"),
            ("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="),
        ),
        1614265330,
    ),
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_signatures(name: str) -> None:
    scheme, secret, sent, now = PUBLISHED[name]
    how = pb.WebhookVerification(scheme=scheme, secret="s")
    for age in (0, schemes.WINDOW_S, -schemes.WINDOW_S):
        verify(how, [b"another", secret], sent, now + age)
    with pytest.raises(NotVerifiedError):
        verify(how, [b"another"], sent, now)
    with pytest.raises(NotVerifiedError):
        verify(how, [secret], request(sent.body + b" ", *sent.headers), now)
    if now:
        for age in (schemes.WINDOW_S + 1, -schemes.WINDOW_S - 1):
            with pytest.raises(NotVerifiedError, match="300 s"):
                verify(how, [secret], sent, now + age)


@pytest.mark.parametrize("name", PUBLISHED)
def test_no_part_may_be_missing_twice_or_changed(name: str) -> None:
    scheme, secret, sent, now = PUBLISHED[name]
    how = pb.WebhookVerification(scheme=scheme, secret="s")
    for at, (header, value) in enumerate(sent.headers):
        without = sent.headers[:at] + sent.headers[at + 1 :]
        others = ("", value[:-2], value + "0", value.swapcase(), "\xff", value.upper() + " ")
        wrong = [[*without, (header, other)] for other in others]
        wrong += [without, [*sent.headers, (header, value)]]
        for headers in wrong:
            same_hex = [h for h in headers if h[0] == header and h[1].lower() == value]
            if headers != sent.headers and not same_hex:
                with pytest.raises(NotVerifiedError):
                    verify(how, [secret], request(sent.body, *headers), now)


def test_one_right_signature_among_others_is_enough() -> None:
    scheme, secret, sent, now = PUBLISHED["standard-webhooks"]
    how = pb.WebhookVerification(scheme=scheme, secret="s")
    headers = dict(sent.headers)
    right = headers["webhook-signature"]
    for several in (f"v1,AAAA {right}", f"{right} v1,AAAA", f"v1a,x v2,{right[3:]} {right}"):
        headers["webhook-signature"] = several
        verify(how, [secret], request(sent.body, *headers.items()), now)
    for bad in (f"v2,{right[3:]}", right[3:], right.replace(",", ""), f"{right}," + right):
        headers["webhook-signature"] = bad
        with pytest.raises(NotVerifiedError):
            verify(how, [secret], request(sent.body, *headers.items()), now)
    headers["webhook-signature"] = " ".join([right] * 17)
    with pytest.raises(NotVerifiedError, match="too many"):
        verify(how, [secret], request(sent.body, *headers.items()), now)


def test_a_secret_of_standard_webhooks_is_base64() -> None:
    scheme, secret, sent, now = PUBLISHED["standard-webhooks"]
    how = pb.WebhookVerification(scheme=scheme, secret="s")
    verify(how, [b"whsec_?", secret.removeprefix(b"whsec_")], sent, now)
    for bad in (b"whsec_?", b"whsec_", b"not base64!"):
        with pytest.raises(NotVerifiedError, match="base64"):
            verify(how, [bad], sent, now)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"id",
        b"[]",
        b"{}",
        b'{"id": 1}',
        b'{"id": ""}',
        b'{"id": null}',
        b'{"id": "\\ud800"}',
        b'{"a": {"id": "x"}}',
        b"\xff",
        b"[" * 100_000,
        b'{"id": ' + b"1" * 10_000 + b"}",
    ],
)
def test_bodies_without_an_id(body: bytes) -> None:
    assert delivery_id(pb.WEBHOOK_SCHEME_STRIPE, request(body)) is None


def test_ids_in_bodies() -> None:
    stripe = request('{"id": "evt_1ü"}'.encode())
    assert delivery_id(pb.WEBHOOK_SCHEME_STRIPE, stripe) == "evt_1ü"
    assert delivery_id(pb.WEBHOOK_SCHEME_SLACK, stripe) is None
    assert delivery_id(pb.WEBHOOK_SCHEME_SLACK, request(b'{"event_id": "Ev1"}')) == "Ev1"


def test_every_scheme_there_is_can_be_verified() -> None:
    there = set(pb.WebhookScheme.values()) - {pb.WEBHOOK_SCHEME_UNSPECIFIED}
    for scheme in there:
        how = pb.WebhookVerification(scheme=scheme, secret="s")
        with pytest.raises(NotVerifiedError):
            verify(how, [b"secret"], request(b""), 0)
