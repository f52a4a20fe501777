"""Webhooks in workflow code."""

import asyncio
from urllib.parse import urlsplit

import pytest
from hookd import (
    Fields,
    HookClosedError,
    HookConflictError,
    InvalidArgumentError,
    Manual,
    OutsideWorkflowError,
    WebhookRequest,
    WebhookResponse,
    WorkflowRuleError,
    create_hook,
    create_webhook,
    sleep,
    step,
    verify,
)
from hookd.v1 import events_pb2, webhook_pb2
from hookd.workflows.errors import NonDeterminismError

from tests.unit.runtime.story import BASE_URL, Story, execution_of
from tests.unit.runtime.test_nondeterminism import told

MANUAL = webhook_pb2.Webhook(manual=webhook_pb2.ManualAnswer())


def order(number: int, **more: object) -> WebhookRequest:
    return WebhookRequest(
        "POST",
        path="/paid",
        query="a=1&a=2&b=",
        headers=[("Content-Type", "application/json"), ("X-Tag", "x"), ("x-tag", "y")],
        body=b'{"order": %d}' % number,
        remote_address="192.0.2.7",
    )


async def test_the_url_is_known_at_once_and_made_of_the_token():
    async def w():
        named = create_webhook("pay/42 ü")
        auto = create_webhook()
        assert auto.url.endswith("/" + auto.token)
        return [named.url, auto.url, repr(named)]

    named, auto, shown = Story(w).result
    assert named == f"{BASE_URL}/webhooks/blue/pay%2F42%20%C3%BC"
    assert len(urlsplit(auto).path.split("/")[3]) >= 22
    assert shown == "<WorkflowWebhook hook_id='hook-1' run_id='run-1'>"


async def test_the_url_is_that_of_the_log_and_not_of_today():
    async def w():
        webhook = create_webhook("t")
        await sleep(1)
        return webhook.url

    story = Story(w, base_url="https://hooks.example.com/in").advance(1).settle()
    assert story.result == "https://hooks.example.com/in/webhooks/blue/t"


async def test_a_daemon_without_http_is_told_at_once_and_can_be_caught():
    async def w():
        with pytest.raises(WorkflowRuleError, match="served no HTTP") as refused:
            create_webhook("t")
        assert "--http" in refused.value.hint
        return await create_hook("t")

    story = Story(w, base_url="").payload("t", 1).settle()
    assert story.kinds == ["hook_created", "run_completed"]


async def test_requests_come_in_order_with_all_that_was_sent():
    async def w():
        webhook = create_webhook("t", metadata={"a": 1})
        request = await webhook
        assert isinstance(request, WebhookRequest)
        assert request == order(1)
        assert request.json() == {"order": 1}
        assert request.params.all("a") == ("1", "2")
        assert request.headers["CONTENT-TYPE"] == "application/json"
        assert request.headers.all("X-Tag") == ("x", "y")
        rest = []
        async for request in webhook:
            rest.append(request.json()["order"])
            if len(rest) == 2:
                break
        return [webhook.metadata, request.method, request.path, request.remote_address, rest]

    story = Story(w).settle()
    for number in (1, 2, 3):
        story.payload("t", order(number)).settle()
    assert story.result == [{"a": 1}, "POST", "/paid", "192.0.2.7", [2, 3]]


async def test_what_resume_hook_delivers_is_a_request_without_a_sender():
    async def w():
        webhook = create_webhook("t")
        return [
            [r.method, r.headers.get("content-type"), r.text(), r.remote_address]
            for r in [await webhook, await webhook]
        ]

    story = Story(w).payload("t", {"paid": 1}).payload("t", b"\xff").settle()
    assert story.result == [
        ["POST", "application/json", '{"paid":1}', ""],
        ["POST", "application/octet-stream", "\ufffd", ""],
    ]


async def test_what_is_asked_of_the_daemon():
    async def w():
        create_webhook("none")
        create_webhook("static", respond_with=WebhookResponse(201, {"X-A": "b"}, {"thanks": True}))
        create_webhook("text", respond_with=WebhookResponse(body="ü"))
        create_webhook("manual", respond_with="manual", verify=verify.github("gh"), ttl="1h")
        create_webhook("within", respond_with=Manual(within="1m30s"))
        create_webhook(
            "signed",
            verify=verify.hmac_sha256("s", header="X-Sig", prefix="v1=", encoding="base64"),
        )
        await sleep(1)

    story = Story(w, begin=False)
    story.append(run_started=events_pb2.RunStarted())
    specs = {c.create_hook.token: c.create_hook for c in story.live.commands()[:-1]}
    assert specs["none"].webhook == webhook_pb2.Webhook()
    assert specs["none"].HasField("webhook")
    static = specs["static"].webhook.response
    assert (static.status, static.body) == (201, b'{"thanks":true}')
    assert [(h.name, h.value) for h in static.headers] == [
        ("X-A", "b"),
        ("content-type", "application/json"),
    ]
    text = specs["text"].webhook.response
    assert (text.body, text.headers[0].value) == ("ü".encode(), "text/plain; charset=utf-8")
    assert specs["manual"].webhook.manual.within.seconds == 30
    assert specs["manual"].ttl.seconds == 3600
    github = webhook_pb2.WebhookVerification(scheme=webhook_pb2.WEBHOOK_SCHEME_GITHUB, secret="gh")
    assert specs["manual"].webhook.verification == github
    assert specs["within"].webhook.manual.within.seconds == 90
    assert specs["signed"].webhook.verification == webhook_pb2.WebhookVerification(
        scheme=webhook_pb2.WEBHOOK_SCHEME_HMAC_SHA256,
        secret="s",
        header="X-Sig",
        prefix="v1=",
        encoding=webhook_pb2.SIGNATURE_ENCODING_BASE64,
    )


RESPONSE, HEADERS = "respond_with.", "respond_with.headers"


@pytest.mark.parametrize(
    ("arguments", "field"),
    [
        ({"token": "."}, "token"),
        ({"token": ".."}, "token"),
        ({"token": ""}, "token"),
        ({"token": 7}, "token"),
        ({"verify": "github"}, "verify"),
        ({"respond_with": "auto"}, "respond_with"),
        ({"respond_with": 202}, "respond_with"),
        ({"respond_with": Manual(within=0.09)}, "respond_with.within"),
        ({"respond_with": Manual(within="6m")}, "respond_with.within"),
        *(
            ({"respond_with": WebhookResponse(**response)}, field)
            for response, field in [
                ({"status": 199}, f"{RESPONSE}status"),
                ({"status": 600}, f"{RESPONSE}status"),
                ({"status": "200"}, f"{RESPONSE}status"),
                ({"status": 204, "body": "x"}, f"{RESPONSE}body"),
                ({"body": bytes(64 * 1024 + 1)}, f"{RESPONSE}body"),
                ({"body": object()}, f"{RESPONSE}body"),
                ({"headers": {"a b": "c"}}, HEADERS),
                ({"headers": {"": "c"}}, HEADERS),
                ({"headers": {"Content-Length": "1"}}, HEADERS),
                ({"headers": {"Set-Cookie": "a=b"}}, HEADERS),
                ({"headers": [("a", "b")] * 33}, HEADERS),
                ({"headers": {"a": "b" * 8192}}, HEADERS),
                ({"headers": ["ab"]}, HEADERS),
                ({"headers": {"a": "b\r\nc: d"}}, f"{HEADERS}['a']"),
                ({"headers": {"a": "€"}}, f"{HEADERS}['a']"),
                ({"headers": {"a": " b"}}, f"{HEADERS}['a']"),
                ({"headers": {"a": 1}}, f"{HEADERS}['a']"),
            ]
        ),
    ],
)
async def test_a_wrong_argument_is_told_in_the_code_and_claims_nothing(arguments, field):
    async def w():
        with pytest.raises(InvalidArgumentError) as refused:
            create_webhook(**arguments)
        return [v.field for v in refused.value.violations]

    story = Story(w)
    assert story.result == [field]
    assert story.kinds == ["run_completed"]


async def test_conflicts_are_those_of_hooks():
    async def w():
        webhook = create_webhook("t", respond_with="manual")
        owner = await webhook.get_conflict()
        assert owner is not None
        with pytest.raises(HookConflictError) as lost:
            await webhook
        return [owner.run_id, lost.value.conflicting_run_id, webhook.url]

    story = Story(w, taken=["t"])
    assert story.result == ["owner", "owner", f"{BASE_URL}/webhooks/blue/t"]


async def test_a_block_disposes_it_and_requests_from_before_can_be_taken():
    async def w():
        async with create_webhook("t") as webhook:
            await webhook
        got = [request.json() async for request in webhook]
        with pytest.raises(HookClosedError):
            await webhook
        return got

    story = Story(w).payload("t", order(1)).payload("t", order(2)).settle()
    assert story.result == [{"order": 2}]
    assert story.kinds == ["hook_created", "hook_disposed", "run_completed"]


class TestAnswers:
    async def test_an_answer_acts_at_once_and_can_be_awaited(self):
        async def w():
            webhook = create_webhook("t", respond_with="manual")
            first, second = await webhook, await webhook
            first.respond(201, {"X-A": "b"}, {"order": first.json()["order"]})
            said = second.respond(body="thanks")
            await sleep(1)
            return [await said, await said]

        story = Story(w).payload("t", order(1)).payload("t", order(2)).settle()
        assert story.kinds == [
            "hook_created",
            "webhook_responded",
            "webhook_responded",
            "timer_started",
        ]
        answer = story.answers["hook-1", 1]
        assert (answer.status, answer.body) == (201, b'{"order":1}')
        assert story.answers["hook-1", 2].body == b"thanks"
        assert story.advance(1).settle().result == [True, True]

    async def test_a_turn_goes_on_when_the_answer_is_awaited(self):
        async def w():
            request = await create_webhook("t", respond_with="manual")
            await request.respond()
            return "on"

        story = Story(w).payload("t", order(1))
        assert story.live.awaits_claims
        assert story.settle().result == "on"
        answer = story.answers["hook-1", 1]
        assert (answer.status, answer.body, list(answer.headers)) == (200, b"", [])

    async def test_somebody_else_was_first(self):
        async def w():
            request = await create_webhook("t", respond_with="manual")
            await sleep(1)
            return await request.respond(200)

        story = Story(w).payload("t", order(1)).settle()
        story.answer("t", 1, webhook_pb2.HttpResponse(status=418))
        story.advance(1).settle()
        assert story.result is False
        assert story.answers["hook-1", 1].status == 418

    async def test_an_answer_from_outside_is_nothing_to_the_code(self):
        async def w():
            webhook = create_webhook("t", respond_with="manual")
            request = await webhook
            await webhook
            return request.json()

        story = Story(w).payload("t", order(1)).settle()
        story.answer("t", 1, webhook_pb2.HttpResponse(status=200))
        assert story.payload("t", order(2)).settle().result == {"order": 1}

    async def test_answering_twice_is_an_error_that_names_the_request(self):
        async def w():
            request = await create_webhook("t", respond_with="manual")
            request.respond()
            with pytest.raises(WorkflowRuleError, match="Request 1 of hook-1 was answered before"):
                request.respond()

        story = Story(w).payload("t", order(1)).settle()
        assert story.kinds == ["hook_created", "webhook_responded", "run_completed"]

    @pytest.mark.parametrize("respond_with", [None, WebhookResponse()])
    async def test_answering_what_is_not_manual_is_an_error_that_says_how(self, respond_with):
        async def w():
            request = await create_webhook("t", respond_with=respond_with)
            with pytest.raises(WorkflowRuleError, match='respond_with="manual"'):
                request.respond()

        story = Story(w).payload("t", order(1)).settle()
        assert story.kinds == ["hook_created", "run_completed"]

    async def test_a_wrong_answer_can_be_mended(self):
        async def w():
            request = await create_webhook("t", respond_with="manual")
            with pytest.raises(InvalidArgumentError, match="status"):
                request.respond(99)
            with pytest.raises(InvalidArgumentError, match="body"):
                request.respond(body=bytes(1024 * 1024 + 1))
            return await request.respond(400)

        assert Story(w).payload("t", order(1)).settle().result is True

    async def test_an_answer_after_the_hook_is_gone(self):
        async def w():
            async with create_webhook("t", respond_with="manual") as webhook:
                request = await webhook
            return await request.respond()

        story = Story(w).payload("t", order(1)).settle()
        assert story.kinds[-3:] == ["hook_disposed", "webhook_responded", "run_completed"]

    async def test_requests_are_answered_in_the_order_of_the_code(self):
        async def w():
            webhook = create_webhook("t", respond_with="manual")

            async def serve(delay: float):
                request = await webhook
                await sleep(delay)
                request.respond(body=request.body)

            await asyncio.gather(serve(2), serve(1))

        story = Story(w).payload("t", order(1)).payload("t", order(2)).settle().advance(5)
        answered = [
            e.webhook_responded.payload_seq for e in story.events if e.HasField("webhook_responded")
        ]
        assert answered == [2, 1]

    async def test_a_request_of_another_run_is_refused(self):
        kept = []

        async def first():
            kept.append(await create_webhook("t", respond_with="manual"))
            await sleep(1)

        async def second():
            with pytest.raises(WorkflowRuleError, match="belongs to run run-1"):
                kept[0].respond()

        Story(first, replays=False).payload("t", order(1)).settle()
        assert Story(second, run_id="run-2").result is None
        with pytest.raises(WorkflowRuleError, match="belongs to run run-1"):
            kept[0].respond()


class TestClaimsOfTheStart:
    async def test_a_claimed_webhook_is_that_of_the_run(self):
        async def w():
            webhook = create_webhook("t")
            request = await webhook
            await request.respond(202)
            return [webhook.hook_id, webhook.url]

        story = Story(w, claims=["t"], webhook=MANUAL).payload("t", order(1)).settle()
        assert story.result == ["claim-1", f"{BASE_URL}/webhooks/blue/t"]
        assert story.kinds == ["webhook_responded", "run_completed"]

    async def test_a_claimed_hook_is_no_webhook(self):
        async def w():
            with pytest.raises(WorkflowRuleError, match="WebhookSpec"):
                create_webhook("t")

        assert Story(w, claims=["t"]).kinds == ["run_completed"]


class TestInSteps:
    async def test_a_request_goes_to_a_step_whole(self):
        @step
        async def handle(request: WebhookRequest) -> str:
            return request.text()

        async def w():
            return await handle(await create_webhook("t"))

        story = Story(w).payload("t", order(7)).settle()
        (command,) = story.steps.values()
        (arrived,), _ = handle.signature.decode_call(command.input)
        assert arrived == order(7)
        with pytest.raises(OutsideWorkflowError, match="copy"):
            arrived.respond()

    async def test_what_is_no_request_is_refused(self):
        @step
        async def handle(request: WebhookRequest) -> None: ...

        async def w():
            with pytest.raises(InvalidArgumentError):
                await handle({"method": ["no"]})  # type: ignore[arg-type]

        assert Story(w).kinds == ["run_completed"]


class TestChangedCode:
    """What the log says against what other code does."""

    async def test_it_names_the_request_and_the_code(self):
        async def answers():
            request = await create_webhook("t", respond_with="manual")
            request.respond()
            await sleep(1)

        async def sleeps():
            await create_webhook("t", respond_with="manual")
            await sleep(1)

        def receive(story: Story) -> Story:
            return story.payload("t", order(1)).settle()

        text = told(answers, sleeps, do=receive)
        assert "is webhook_responded (request 1 of hook-1), but the code started a timer" in text
        text = told(sleeps, answers, do=receive)
        assert "timer_started (timer-1), but the code answered request 1 of a webhook" in text

    async def test_another_request_is_another_deed(self):
        async def first():
            webhook = create_webhook("t", respond_with="manual")
            one, _ = await webhook, await webhook
            one.respond()
            await sleep(1)

        async def second():
            webhook = create_webhook("t", respond_with="manual")
            _, two = await webhook, await webhook
            two.respond()
            await sleep(1)

        text = told(
            first,
            second,
            do=lambda story: story.payload("t", order(1)).payload("t", order(2)).settle(),
        )
        assert "request 1 of hook-1), but the code answered request 2 of a webhook (hook-1)" in text

    async def test_what_an_answer_says_may_change(self):
        async def old():
            (await create_webhook("t", respond_with="manual")).respond(200)
            await sleep(1)

        async def new():
            (await create_webhook("t", respond_with="manual")).respond(503)
            await sleep(1)

        story = Story(old, replays=False).payload("t", order(1)).settle()
        execution = execution_of(type(story.workflow)(new, name=story.workflow.workflow_name))
        try:
            execution.feed(story.events)
        except NonDeterminismError as error:  # pragma: no cover - it says what is wrong
            raise AssertionError(error) from None
        assert execution.commands() == []
        execution.discard()


def test_outside_of_a_workflow_there_is_another_way():
    with pytest.raises(OutsideWorkflowError, match=r"run\.create_webhook\(\)"):
        create_webhook("t")


def test_fields_are_a_mapping_of_first_values():
    fields = Fields([("A", "1"), ("a", "2"), ("B", "3")], any_case=True)
    assert dict(fields) == {"a": "1", "b": "3"}
    assert fields.pairs == (("a", "1"), ("a", "2"), ("b", "3"))
    assert "A" in fields
    assert fields.get("c") is None
    assert 1 not in fields
    assert fields.all("c") == ()
    assert repr(fields) == "<Fields a, b>"
    assert fields == {"a": "1", "b": "3"}
    assert fields != Fields({"a": "1", "b": "3"})
