"""Webhooks in the API: creating them, reading them, and answering requests without HTTP."""

from __future__ import annotations

from pathlib import Path

import grpc
import pytest
from hookd.v1 import worker_service_pb2 as work
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    CreateHooksRequest,
    HookClaim,
    HookRef,
    ListHooksRequest,
    RespondWebhookRequest,
)
from hookd.v1.webhook_pb2 import (
    WEBHOOK_SCHEME_GITHUB,
    WEBHOOK_SCHEME_HMAC_SHA256,
    HttpHeader,
    HttpResponse,
    ManualAnswer,
    Webhook,
    WebhookVerification,
)

from tests.e2e.work.worker import complete, connected, kinds, start
from tests.support.api import Api, refusal, seconds, unique
from tests.support.daemon import Daemon, running

MANUAL = Webhook(manual=ManualAnswer())
GITHUB = WebhookVerification(scheme=WEBHOOK_SCHEME_GITHUB, secret="github")


def respond(api: Api, run_id: str, hook_id: str, seq: int = 1, **response: object) -> bool:
    """Answers a payload; whether that had been done before."""
    request = RespondWebhookRequest(
        project=api.project,
        ref=HookRef(run_id=run_id, hook_id=hook_id),
        payload_seq=seq,
        response=HttpResponse(**response),  # type: ignore[arg-type]
    )
    return api.hooks.RespondWebhook(request).already_answered


def test_every_way_to_create_a_hook_takes_a_webhook(shared_daemon: Daemon, api: Api) -> None:
    webhook = Webhook(response=HttpResponse(status=201, body=b"hi"), verification=GITHUB)
    token = "orders/new?now=1%&ü"
    base = f"http://{shared_daemon.http}/webhooks/{api.project}"
    url = f"{base}/orders%2Fnew%3Fnow%3D1%25%26%C3%BC"
    started = api.start(claims=[HookSpec(token=token, webhook=webhook)])
    run_id = started.run.run_id
    assert (started.hooks[0].webhook, started.hooks[0].url) == (webhook, url)
    one = api.claim(run_id, "one", webhook=webhook).hook
    assert (one.webhook, one.url) == (webhook, f"{base}/one")
    again = api.claim(run_id, "one", hook_id=one.hook_id, webhook=webhook)
    assert (again.already_exists, again.hook.url) == (True, one.url)
    spec = HookSpec(hook_id="batched", token="many", webhook=webhook)
    batch = CreateHooksRequest(project=api.project, hooks=[HookClaim(run_id=run_id, hook=spec)])
    assert api.hooks.CreateHooks(batch).results[0].claimed.token == "many"
    plain = api.claim(run_id, "plain").hook
    assert (plain.HasField("webhook"), plain.url) == (False, "")
    assert api.hook("many").url == f"{base}/many"
    listed = api.hooks.ListHooks(ListHooksRequest(project=api.project, run_id=run_id)).hooks
    assert sorted(hook.url for hook in listed) == sorted([url, f"{base}/one", f"{base}/many", ""])
    created = [event.hook_created for event in api.log(run_id) if event.HasField("hook_created")]
    assert [made.HasField("webhook") for made in created] == [True, True, True, False]


def test_large_webhooks_are_listed_in_more_pages(api: Api) -> None:
    """A page of a thousand of them would be no message any more."""
    run_id, tokens = api.start().run.run_id, [f"t{number:02}" for number in range(40)]
    large = Webhook(response=HttpResponse(body=bytes(64 * 1024)))
    for token in tokens:
        api.claim(run_id, token, hook_id=token, webhook=large)
    for query in ({"run_id": run_id}, {"token_prefix": "t"}):
        request = ListHooksRequest(project=api.project, page_size=1000, **query)
        found: list[str] = []
        pages = 0
        while pages == 0 or request.page_token:
            answer = api.hooks.ListHooks(request)
            found += [hook.token for hook in answer.hooks]
            request.page_token = answer.next_page_token
            pages += 1
        assert (found, pages) == (tokens, 2)


def test_a_generated_token_has_a_url(api: Api) -> None:
    hook = api.claim(api.start().run.run_id, None, webhook=MANUAL).hook
    assert hook.url.endswith("/" + hook.token)


def test_conflicts_are_those_of_hooks(api: Api) -> None:
    owner, loser = api.start().run.run_id, api.start().run.run_id
    api.claim(owner, "t", webhook=MANUAL)
    refused = refusal(api.claim, loser, "t", hook_id="lost", webhook=MANUAL)
    assert (refused.reason, refused.metadata["run_id"]) == ("HOOK_CONFLICT", owner)
    plain = refusal(api.claim, loser, "t")
    assert plain.message == refused.message
    assert refusal(api.claim, loser, "t", hook_id="lost", webhook=MANUAL).conflict is not None


def test_a_retry_with_another_webhook_is_another_hook(api: Api) -> None:
    run_id = api.start().run.run_id
    api.claim(run_id, "t", hook_id="h", webhook=MANUAL)
    for other in ({}, {"webhook": Webhook()}, {"webhook": Webhook(verification=GITHUB)}):
        assert refusal(api.claim, run_id, "t", hook_id="h", **other).reason == "ID_REUSED"
    claims = [HookSpec(token="u", webhook=MANUAL)]
    other_run = api.start(claims=claims).run.run_id
    assert api.start(other_run, claims=claims).hooks[0].url
    refused = refusal(api.start, other_run, claims=[HookSpec(token="u", webhook=Webhook())])
    assert refused.reason == "RUN_EXISTS"


def manual(within: float) -> Webhook:
    return Webhook(manual=ManualAnswer(within=seconds(within)))


def answer(**fields: object) -> Webhook:
    return Webhook(response=HttpResponse(**fields))  # type: ignore[arg-type]


def header(name: str, value: str) -> Webhook:
    return answer(headers=[HttpHeader(name=name, value=value)])


def verified(**fields: object) -> Webhook:
    return Webhook(verification=WebhookVerification(**fields))  # type: ignore[arg-type]


HMAC = {"scheme": WEBHOOK_SCHEME_HMAC_SHA256, "secret": "s"}


@pytest.mark.parametrize(
    ("webhook", "field", "words"),
    [
        (manual(0.099), "manual.within", ["0.1 s to 300 s"]),
        (manual(300.001), "manual.within", ["0.1 s to 300 s"]),
        (answer(status=199), "response.status", ["200 to 599", "199"]),
        (answer(status=600), "response.status", ["600"]),
        (answer(status=204, body=b"x"), "response.body", ["204"]),
        (answer(body=bytes(65_537)), "response.body", ["65536", "65537"]),
        (answer(headers=[HttpHeader(name="x")] * 33), "response.headers", ["32", "33"]),
        (answer(headers=[HttpHeader(name="x", value="v" * 8192)]), "response.headers", ["8193"]),
        (header("content-Length", "3"), "response.headers[0].name", []),
        (header("Transfer-Encoding", "chunked"), "response.headers[0].name", []),
        (header("Set-Cookie", "a=b"), "response.headers[0].name", []),
        (header("", "v"), "response.headers[0].name", []),
        (header("a b", "v"), "response.headers[0].name", []),
        (header("x\r\ny", "v"), "response.headers[0].name", []),
        (header("x", "v\r\nset-cookie: a"), "response.headers[0].value", []),
        (header("x", "v\n"), "response.headers[0].value", []),
        (header("x", " v"), "response.headers[0].value", []),
        (header("x", "\0"), "response.headers[0].value", []),
        (header("x", "€"), "response.headers[0].value", []),
        (verified(secret="s"), "verification.scheme", ["0"]),
        (verified(scheme=99, secret="s"), "verification.scheme", ["99"]),
        (verified(scheme=WEBHOOK_SCHEME_GITHUB), "verification.secret", ["1 to 64", "0"]),
        (verified(scheme=WEBHOOK_SCHEME_GITHUB, secret="../keys"), "verification.secret", []),
        (
            verified(scheme=WEBHOOK_SCHEME_GITHUB, secret="s", header="x"),
            "verification.header",
            [],
        ),
        (verified(**HMAC, header="a:b"), "verification.header", []),
        (verified(**HMAC, header="h" * 129), "verification.header", ["128", "129"]),
        (verified(**HMAC, prefix="p" * 65), "verification.prefix", ["64", "65"]),
        (verified(**HMAC, prefix="\n"), "verification.prefix", []),
        (verified(**HMAC, encoding=9), "verification.encoding", ["9"]),
    ],
)
def test_what_is_wrong_with_a_webhook_is_told(
    api: Api, webhook: Webhook, field: str, words: list[str]
) -> None:
    run_id = api.start().run.run_id
    refused = refusal(api.claim, run_id, "t", webhook=webhook)
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
    assert list(refused.fields) == [f"hook.webhook.{field}"]
    for word in words:
        assert word in refused.message
    assert refusal(api.hook, "t").reason == "HOOK_NOT_FOUND"


@pytest.mark.parametrize("token", [".", ".."])
def test_tokens_that_no_url_can_have(api: Api, token: str) -> None:
    run_id = api.start().run.run_id
    refused = refusal(api.claim, run_id, token, webhook=Webhook())
    assert list(refused.fields) == ["hook.token"]
    api.claim(run_id, token)


def test_the_run_answers_a_payload_once(api: Api) -> None:
    run_id = api.start().run.run_id
    hook_id = api.claim(run_id, "t", webhook=MANUAL).hook.hook_id
    api.resume("t")
    said = {"status": 418, "headers": [HttpHeader(name="X-A", value="b")], "body": b"\0\xff"}
    assert not respond(api, run_id, hook_id, **said)
    assert respond(api, run_id, hook_id, **said)
    assert refusal(respond, api, run_id, hook_id, status=200).reason == "ID_REUSED"
    api.resume("t")
    api.dispose(run_id, hook_id)
    assert not respond(api, run_id, hook_id, 2, status=500)
    api.complete(run_id)
    assert respond(api, run_id, hook_id, **said)
    responses = [e for e in api.log(run_id) if e.HasField("webhook_responded")]
    assert [(e.correlation_id, e.webhook_responded.payload_seq) for e in responses] == [
        (hook_id, 1),
        (hook_id, 2),
    ]
    assert responses[0].webhook_responded.response == HttpResponse(**said)  # type: ignore[arg-type]


def test_what_cannot_be_answered(api: Api) -> None:
    run_id = api.start().run.run_id
    hook_id = api.claim(run_id, "t", webhook=MANUAL).hook.hook_id
    api.resume("t")
    for kind in ({}, {"webhook": Webhook()}, {"webhook": answer(status=200)}):
        token = unique("token")
        other = api.claim(run_id, token, **kind).hook.hook_id
        api.resume(token)
        assert list(refusal(respond, api, run_id, other).fields) == ["ref"]
    for seq in (0, 2, 2**64 - 1):
        refused = refusal(respond, api, run_id, hook_id, seq)
        assert list(refused.fields) == ["payload_seq"]
    assert refusal(respond, api, run_id, "none").reason == "HOOK_NOT_FOUND"
    assert refusal(respond, api, "none", hook_id).reason == "RUN_NOT_FOUND"
    refused = refusal(respond, api, run_id, hook_id, body=bytes(2**20 + 1))
    assert list(refused.fields) == ["response.body"]
    api.complete(run_id)
    assert refusal(respond, api, run_id, hook_id).reason == "RUN_NOT_ACTIVE"


def test_a_workflow_answers_by_a_command_that_becomes_one_event(
    shared_daemon: Daemon, api: Api
) -> None:
    start(api)
    spec = HookSpec(hook_id="h", token="t", webhook=MANUAL)

    def command(seq: int, hook_id: str = "h", body: bytes = b"yes") -> work.Command:
        response = HttpResponse(body=body)
        return work.Command(
            respond_webhook=work.RespondWebhookCommand(
                hook_id=hook_id, payload_seq=seq, response=response
            )
        )

    with connected(api) as worker:
        turn = worker.turn()
        base = turn.events[0].run_created.webhook_base_url
        assert base == f"http://{shared_daemon.http}"
        worker.complete_turn(turn, work.Command(create_hook=spec))
        api.resume("t")
        turn = worker.turn()
        for wrong, field in (
            (command(2), "commands[0].respond_webhook.payload_seq"),
            (command(1, "other"), "commands[0].respond_webhook.hook_id"),
            (command(1, body=bytes(2**20 + 1)), "commands[0].respond_webhook.response.body"),
        ):
            assert list(refusal(worker.complete_turn, turn, wrong).fields) == [field]
        answer = worker.complete_turn(turn, command(1), command(1), complete())
        assert kinds(answer.events) == ["webhook_responded", "webhook_responded", "run_completed"]
        first, second = (event.webhook_responded for event in answer.events[:2])
        assert (first.response.body, first.already_answered) == (b"yes", False)
        assert (second.payload_seq, second.already_answered) == (1, True)
        assert answer.events[0].turn == 2


def test_urls_begin_with_the_public_url(tmp_path: Path) -> None:
    with running(tmp_path, "--public-url=https://hooks.example.com/in/") as daemon:
        api = Api(daemon.channel())
        run_id = api.start().run.run_id
        assert not api.log(run_id)[0].run_created.webhook_base_url
        hook = api.claim(run_id, "t", webhook=Webhook()).hook
        assert hook.url == "https://hooks.example.com/in/webhooks/default/t"
        worked = start(api)
        created = api.log(worked)[0].run_created
        assert created.webhook_base_url == "https://hooks.example.com/in"
