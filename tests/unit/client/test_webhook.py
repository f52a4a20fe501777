"""Webhooks of runs that are driven from outside."""

import asyncio
import pickle

import grpc
import hookd
import pytest
from google.protobuf import json_format
from hookd import (
    InvalidArgumentError,
    OutsideWorkflowError,
    WebhookRequest,
    verify,
)
from hookd.payload import decode, encode
from hookd.v1 import common_pb2, hook_service_pb2, run_service_pb2, webhook_pb2
from hookd.webhook_request import MEDIA_TYPE, request_of

from tests.unit.client.fake import FakeDaemon, refuse, until

URL = "http://127.0.0.1:4666/webhooks/default/t"


def sent(**facts) -> common_pb2.Payload:
    """A payload as the daemon makes it."""
    message = webhook_pb2.WebhookRequest(**facts)
    text = json_format.MessageToJson(message, preserving_proto_field_name=True)
    return common_pb2.Payload(content_type=MEDIA_TYPE, data=text.encode())


class Hooks:
    """Creates hooks, gives them payloads, and takes what their senders are answered."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self.url = URL
        self.payloads: list[common_pb2.Payload] = []
        self.answers: dict[int, webhook_pb2.HttpResponse] = {}
        daemon.on(
            CreateHook=self.create,
            GetHook=self.get,
            ReceivePayloads=self.receive,
            RespondWebhook=self.respond,
            DisposeHook=self.dispose,
        )

    async def create(self, request, context):
        spec = request.hook
        self.hook = common_pb2.Hook(
            run_id=request.run_id,
            hook_id=spec.hook_id,
            token=spec.token or "auto",
            revision=7,
            webhook=spec.webhook,
            url=self.url,
        )
        return hook_service_pb2.CreateHookResponse(hook=self.hook)

    async def get(self, request, context):
        return hook_service_pb2.GetHookResponse(hook=self.hook)

    async def receive(self, request, context):
        for seq, payload in enumerate(self.payloads, 1):
            if seq > request.after_payload_seq:
                yield hook_service_pb2.ReceivePayloadsResponse(
                    payload=hook_service_pb2.ReceivedPayload(payload_seq=seq, payload=payload)
                )
        await asyncio.Event().wait()

    async def respond(self, request, context):
        before = self.answers.setdefault(request.payload_seq, request.response)
        if before is not request.response and before != request.response:
            await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, "ID_REUSED")
        again = before is not request.response
        return hook_service_pb2.RespondWebhookResponse(already_answered=again)

    async def dispose(self, request, context):
        return hook_service_pb2.DisposeHookResponse()


@pytest.fixture
def hooks(daemon):
    return Hooks(daemon)


async def test_a_webhook_has_its_url_and_gives_requests(daemon, client, hooks):
    webhook = await client.get_run("r").create_webhook(
        "t", verify=verify.stripe("stripe"), metadata={"a": 1}, ttl="1h", hook_id="h"
    )
    assert (webhook.url, webhook.token, webhook.revision) == (URL, "t", 7)
    (request,) = daemon.requests("CreateHook")
    assert request.hook.webhook.verification.scheme == webhook_pb2.WEBHOOK_SCHEME_STRIPE
    assert request.hook.webhook.WhichOneof("answer") is None
    assert (request.hook.hook_id, request.hook.ttl.seconds) == ("h", 3600)
    hooks.payloads = [
        sent(
            method="PUT",
            path="/more",
            query="q=%C3%BC",
            headers=[
                webhook_pb2.HttpHeader(name="content-type", value="text/plain; charset=latin-1")
            ],
            body=b"\xfc",
            remote_address="192.0.2.1",
        ),
        encode({"by": "resume_hook"}, "value"),
    ]
    first = await webhook
    assert isinstance(first, WebhookRequest)
    assert (first.method, first.path, first.params["q"], first.text()) == ("PUT", "/more", "ü", "ü")
    assert (first.content_type, first.remote_address) == ("text/plain", "192.0.2.1")
    async for second in webhook:
        assert (second.method, second.json()) == ("POST", {"by": "resume_hook"})
        break
    values = [item.value async for item in limited(webhook.payloads(), 2)]
    assert values == [first, second]


async def limited(items, count):
    async for item in items:
        yield item
        count -= 1
        if not count:
            return


async def test_a_request_is_answered_with_a_call_that_can_be_repeated(daemon, client, hooks):
    webhook = await client.get_run("r").create_webhook("t", respond_with="manual", hook_id="h")
    hooks.payloads = [sent(method="POST"), sent(method="POST")]
    first, second = await webhook, await webhook
    assert await second.respond(201, {"x-a": "b"}, {"ok": True}) is True
    assert await second.respond(201, {"x-a": "b"}, {"ok": True}) is False
    with pytest.raises(hookd.IdReusedError):
        await second.respond(500)
    assert await first.respond() is True
    request = daemon.requests("RespondWebhook")[0]
    assert (request.ref.run_id, request.ref.hook_id, request.payload_seq) == ("r", "h", 2)
    assert (request.response.status, request.response.body) == (201, b'{"ok":true}')


async def test_an_answer_whose_answer_was_lost_is_sent_again(daemon, client, hooks):
    webhook = await client.get_run("r").create_webhook("t", respond_with="manual")
    hooks.payloads = [sent(method="POST")]
    request, respond = await webhook, hooks.respond

    async def lost(wire, context):
        await respond(wire, context)
        daemon.on(RespondWebhook=respond)
        await refuse(context, grpc.StatusCode.UNAVAILABLE)

    daemon.on(RespondWebhook=lost)
    await request.respond(204)
    first, second = daemon.requests("RespondWebhook")
    assert first == second


async def test_a_request_that_was_answered_when_it_came_says_so_before_it_is_sent(
    daemon, client, hooks
):
    webhook = await client.get_run("r").create_webhook("t")
    hooks.payloads = [sent(method="POST")]
    request = await webhook
    with pytest.raises(InvalidArgumentError, match='respond_with="manual"'):
        request.respond()
    assert daemon.requests("RespondWebhook") == []


async def test_a_daemon_without_http_is_told_and_the_token_given_back(daemon, client, hooks):
    hooks.url = ""
    with pytest.raises(hookd.HookdError, match="serves no HTTP"):
        await client.get_run("r").create_webhook("t", hook_id="h")
    assert [r.ref.hook_id for r in daemon.requests("DisposeHook")] == ["h"]


async def test_whoever_looks_a_webhook_up_gets_its_url_and_its_requests(client, hooks):
    await client.get_run("r").create_webhook("t", respond_with="manual", hook_id="h")
    hooks.payloads = [sent(method="POST", body=b"a")]
    for found in (await client.get_hook_by_token("t"), await client.get_run("r").hook("h")):
        assert isinstance(found, hookd.Webhook)
        assert found.url == URL
        assert (await found.info()).url == URL
        request = await found
        assert request.body == b"a"
        await request.respond()


async def test_a_plain_hook_has_no_url(client, hooks):
    hooks.url = ""
    hook = await client.get_run("r").create_hook("t")
    assert hook.url == ""
    hooks.hook.ClearField("webhook")
    found = await client.get_hook_by_token("t")
    assert (type(found), found.url) == (hookd.Hook, "")


async def test_a_webhook_can_be_claimed_with_the_start(daemon, client):
    async def start(request, context):
        claim = request.claims[0]
        made = common_pb2.Hook(hook_id="h", token=claim.token, webhook=claim.webhook, url=URL)
        return run_service_pb2.StartRunResponse(
            outcome=run_service_pb2.START_OUTCOME_STARTED,
            run=common_pb2.Run(run_id=request.run_id),
            hooks=[made],
        )

    daemon.on(StartRun=start)
    spec = hookd.WebhookSpec("t", respond_with="manual", verify=verify.bearer("key"))
    run = await client.start("w", claims=[spec])
    (webhook,) = run.started.hooks
    assert isinstance(webhook, hookd.Webhook)
    assert webhook.url == URL
    claim = daemon.requests("StartRun")[0].claims[0]
    assert claim.webhook.WhichOneof("answer") == "manual"
    assert claim.webhook.verification.secret == "key"
    with pytest.raises(InvalidArgumentError, match=r"claims\[0\].token"):
        await client.start("w", claims=[hookd.WebhookSpec("..")])


async def test_a_batch_takes_no_webhooks(client):
    claims = [hookd.HookClaim("r", hookd.WebhookSpec("t"))]
    (refused,) = await client.create_hooks(claims)
    assert isinstance(refused, InvalidArgumentError)
    assert "create_webhook" in str(refused)


async def test_a_cancelled_create_leaves_no_token_taken(daemon, client, hooks):
    begun = asyncio.Event()

    async def slow(request, context):
        begun.set()
        await asyncio.sleep(0.1)
        return await hooks.create(request, context)

    daemon.on(CreateHook=slow)
    creating = asyncio.ensure_future(client.get_run("r").create_webhook("t"))
    await begun.wait()
    creating.cancel()
    await until(lambda: daemon.requests("DisposeHook"))


class TestRequests:
    def test_a_request_can_be_handed_on_to_another_webhook(self):
        request = WebhookRequest("POST", headers={"A": "b"}, query="q", body=b"\x00\xff")
        payload = encode(request, "payload")
        assert payload.content_type == MEDIA_TYPE
        assert request_of(payload) == request
        assert hash(request_of(payload)) == hash(request)
        assert decode(payload)["headers"] == [{"name": "a", "value": "b"}]
        assert pickle.loads(pickle.dumps(request)) == request
        assert request != "request"

    @pytest.mark.parametrize(
        "data", [b"", b"{", b"[]", b'{"method": 1}', b'{"body": "%"}', b"\xff"]
    )
    def test_what_only_says_that_it_is_one_is_a_body(self, data):
        request = request_of(common_pb2.Payload(content_type=MEDIA_TYPE, data=data))
        assert (request.method, request.body) == ("POST", data)

    def test_what_a_newer_daemon_knows_is_left_out(self):
        data = b'{"method": "GET", "invented": {"later": 1}}'
        request = request_of(common_pb2.Payload(content_type=MEDIA_TYPE, data=data))
        assert (request.method, request.body) == ("GET", b"")

    @pytest.mark.parametrize("charset", ["", "utf-8", "nonsense", "zlib", '"ascii"', "idna"])
    def test_text_never_fails(self, charset):
        kind = f"text/plain; charset={charset}"
        request = WebhookRequest(headers={"content-type": kind}, body=b"a\xff")
        assert request.text() == "a\ufffd"

    def test_a_copy_cannot_be_answered(self):
        with pytest.raises(OutsideWorkflowError, match="copy"):
            WebhookRequest().respond()

    def test_nothing_secret_is_in_the_repr(self):
        request = WebhookRequest(
            "POST", path="/s3cret", query="s3cret", headers={"a": "s3cret"}, body=b"s3cret"
        )
        assert "s3cret" not in repr(request) + repr(request.headers)
        assert "s3cret" not in repr(hookd.WebhookResponse(headers={"a": "s3cret"}, body="s3cret"))


class TestVerify:
    @pytest.mark.parametrize("name", sorted(set(verify.__all__) - {"Verification"}))
    def test_only_the_name_of_a_secret_is_taken(self, name):
        make = getattr(verify, name)
        assert make("A-z_0.9").secret == "A-z_0.9"
        for wrong in ("", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw+/=", "-a", "a" * 65, "a b", "ü"):
            with pytest.raises(InvalidArgumentError, match="not the secret") as refused:
                make(wrong)
            assert not wrong or wrong not in str(refused.value).replace("a letter", "")
        with pytest.raises(InvalidArgumentError):
            make(b"bytes")

    @pytest.mark.parametrize(
        "arguments",
        [
            {"header": "X Signature"},
            {"header": ""},
            {"header": "a" * 129},
            {"prefix": "ü"},
            {"prefix": "a" * 65},
            {"prefix": "\n"},
            {"encoding": "rot13"},
        ],
    )
    def test_hmac_arguments_are_checked(self, arguments):
        (name,) = arguments
        with pytest.raises(InvalidArgumentError, match=name):
            verify.hmac_sha256("s", **arguments)

    def test_they_are_values(self):
        assert verify.github("a") == verify.github("a")
        assert verify.github("a") != verify.stripe("a")
        assert len({verify.hmac_sha256("a"), verify.hmac_sha256("a", prefix="b")}) == 2
