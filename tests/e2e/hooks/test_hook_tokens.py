"""Tokens: any text within the limit; generated ones that nobody can guess."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from itertools import pairwise
from pathlib import Path

import grpc
import pytest
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import (
    CreateHookRequest,
    CreateHookResponse,
    CreateHooksRequest,
    GetHookRequest,
    HookClaim,
    ListHooksRequest,
    ResumeHookRequest,
)

from tests.support.api import Api, refusal
from tests.support.daemon import Daemon, running

TEXTS = {
    "one byte": "x",
    "a space": " ",
    "spaces around": "  order 42  ",
    "only NUL": "\0",
    "NUL inside": "a\0b",
    "NUL at the end": "a\0",
    "slashes": "/a/../b//",
    "line breaks": "a\r\nb\tc",
    "quotes": "\"'`{}[]%s\\",
    "percent": "%00%2F",
    "unicode": "Zahlung-für-Jörg",
    "composed": unicodedata.normalize("NFC", "é"),
    "decomposed": unicodedata.normalize("NFD", "é"),
    "right to left": "דרור-עם-\u202e",
    "emoji": "🪝",
    "emoji of many parts": "👩‍👩‍👧‍👦",
    "last code point": "\U0010ffff",
    "the limit": "x" * 512,
    "the limit in characters of 2 bytes": "ü" * 256,
    "the limit in characters of 4 bytes": "🪝" * 128,
    "like a number": "42",
    "like an option": "--token",
    "upper case": "X",
}


def test_hook_tokens_any_text(mortal: Daemon, project: str) -> None:
    api = Api(mortal.channel(), project)
    assert len(set(TEXTS.values())) == len(TEXTS)
    run_id = api.start().run.run_id
    for n, token in enumerate(TEXTS.values()):
        assert api.claim(run_id, token, f"hook-{n}").hook.token == token

    def check_all(payload_seq: int) -> None:
        for n, (kind, token) in enumerate(TEXTS.items()):
            assert api.hook(token).hook_id == f"hook-{n}", kind
            answer = api.resume(token, kind)
            assert (answer.hook_id, answer.payload_seq) == (f"hook-{n}", payload_seq), kind
        listed = api.hooks.ListHooks(ListHooksRequest(project=api.project, page_size=1000)).hooks
        in_order = sorted(TEXTS.values(), key=str.encode)
        assert [hook.token for hook in listed] == in_order

    check_all(1)
    mortal.restart()
    api = Api(mortal.channel(), project)
    check_all(2)
    other = api.start().run.run_id
    for kind, token in TEXTS.items():
        told = refusal(api.claim, other, token)
        assert told.conflict is not None, kind
        assert (told.conflict.token, told.conflict.run_id) == (token, run_id)
    api.complete(run_id)
    for token in TEXTS.values():
        api.claim(other, token)


def check_size(api: Api, run_id: str, token: str, limit: int) -> None:
    """A token of a wrong size is refused, with field, limit and size, wherever it stands."""
    size = len(token.encode())
    spec = HookSpec(hook_id="bad", token=token)
    calls = {
        "hook.token": lambda: api.claim(run_id, token, "bad"),
        "token": lambda: api.resume(token),
        "claims[0].token": lambda: api.start("bad", claims=[spec]),
    }
    for field, call in calls.items():
        told = refusal(call)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert list(told.fields) == [field]
        assert re.search(rf"\b{limit}\b.*\b{size}\b", told.fields[field]), told.fields
        assert told.fields[field] in told.message
    assert refusal(api.hook, token).fields.keys() == {"token"}
    batch = CreateHooksRequest(project=api.project, hooks=[HookClaim(run_id=run_id, hook=spec)])
    (result,) = api.hooks.CreateHooks(batch).results
    assert result.error.metadata["field"] == "hooks[0].hook.token"
    assert re.search(rf"\b{limit}\b.*\b{size}\b", result.error.message)


@pytest.mark.parametrize(
    "token", ["x" * 513, "", "🪝" * 129, "ü" * 256 + "x", "x" * 4096], ids=lambda t: f"{len(t)}"
)
def test_hook_tokens_any_text_of_a_wrong_size(api: Api, token: str) -> None:
    run_id = api.start().run.run_id
    log = api.log(run_id)
    check_size(api, run_id, token, 512)
    assert api.log(run_id) == log
    assert not api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks


NOT_TEXT = {
    "a lone byte": b"\xff",
    "a lone surrogate": b"\xed\xa0\x80",
    "cut short": b"\xf0\x9f\xaa",
    "an overlong slash": b"\xc0\xaf",
    "beyond the last code point": b"\xf4\x90\x80\x80",
}


@pytest.mark.parametrize("kind", NOT_TEXT)
def test_hook_tokens_any_text_but_only_text(api: Api, kind: str) -> None:
    """Bytes that are no UTF-8, sent by a client that does not check."""
    run_id = api.start().run.run_id
    log = api.log(run_id)
    wrong = NOT_TEXT[kind]
    place = "#" * len(wrong)
    messages = {
        "CreateHook": CreateHookRequest(
            project=api.project, run_id=run_id, hook=HookSpec(hook_id="bad", token=place)
        ),
        "CreateHooks": CreateHooksRequest(
            project=api.project,
            hooks=[
                HookClaim(run_id=run_id, hook=HookSpec(token="fine")),
                HookClaim(run_id=run_id, hook=HookSpec(token=place)),
            ],
        ),
        "GetHook": GetHookRequest(project=api.project, token=place),
        "ResumeHook": ResumeHookRequest(project=api.project, token=place),
    }
    for method, message in messages.items():
        data = message.SerializeToString().replace(place.encode(), wrong)
        assert wrong in data
        told = refusal(api.channel.unary_unary(f"/hookd.v1.HookService/{method}"), data)
        assert (told.code, told.reason) == (grpc.StatusCode.INVALID_ARGUMENT, "INVALID_ARGUMENT")
        assert "UTF-8" in told.message
        assert list(told.fields) == ["request"]
    assert api.log(run_id) == log
    assert not api.hooks.ListHooks(ListHooksRequest(project=api.project)).hooks


LONG = {
    "letters": "x" * 4096,
    "NUL": "\0" * 4096,
    "2 bytes": "ü" * 2048,
    "4 bytes": "🪝" * 1024,
}


def test_hook_tokens_any_text_up_to_the_greatest_limit(tmp_path: Path) -> None:
    """An error travels in headers, which are small; it comes whole all the same."""
    with running(tmp_path, "--max-token-bytes=4096", "--log-level=debug") as daemon:
        api = Api(daemon.channel(), "p" * 64)
        run_id = api.start("r" * 128, workflow="w" * 256).run.run_id
        loser = api.start("l" * 128).run.run_id
        for n, (kind, token) in enumerate(LONG.items()):
            api.claim(run_id, token, f"{n}" * 128)
            told = refusal(api.claim, loser, token, f"{n}" * 128)
            assert told.reason == "HOOK_CONFLICT", kind
            assert told.conflict is not None
            assert (told.conflict.token, told.conflict.run_id) == (token, run_id)
            assert told.conflict.workflow == "w" * 256
            told = refusal(api.start, claims=[HookSpec(token=token)])
            assert told.conflict is not None
            assert told.conflict.run_id == run_id
            api.dispose(run_id, f"{n}" * 128)
            told = refusal(api.resume, token)
            assert (told.reason, told.metadata["token"]) == ("HOOK_NOT_FOUND", token)
            told = refusal(api.claim, run_id, token, f"{n}" * 128)
            assert told.reason == "HOOK_NOT_FOUND"
        check_size(api, run_id, "x" * 4097, 4096)
        check_size(api, run_id, "", 4096)

        # A batch of nothing but such conflicts.
        api.claim(run_id, LONG["NUL"], "batch")
        claims = [HookClaim(run_id=loser, hook=HookSpec(token=LONG["NUL"]))] * 1024
        results = api.hooks.CreateHooks(CreateHooksRequest(project=api.project, hooks=claims))
        assert {r.error.conflict.run_id for r in results.results} == {run_id}


def test_hook_tokens_never_in_the_log(tmp_path: Path) -> None:
    """A token is a bearer secret; not even a debug log has it, nor a failing call's."""
    with running(tmp_path, "--log-level=debug") as daemon:
        api = Api(daemon.channel())
        secrets = [f"secret-{os.urandom(8).hex()}" for _ in range(3)]
        owner, loser = api.start().run.run_id, api.start().run.run_id
        for n, token in enumerate(secrets):
            api.claim(owner, token, f"hook-{n}")
            refusal(api.claim, loser, token)
            refusal(api.start, claims=[HookSpec(token=token)])
            api.resume(token, "1", "p")
            refusal(api.resume, token, "2", "p")
            refusal(api.claim, owner, token + "x" * 512)
        made = api.claim(owner, None).hook.token
        api.dispose(owner, "hook-0")
        refusal(api.resume, secrets[0])
        refusal(api.claim, owner, secrets[0], "hook-0")
        api.complete(owner)
        daemon.restart()
        assert daemon.terminate() == 0
        log = daemon.log
    assert "conflict" in log, "the conflicts are in the log, so the test can see a token there"
    for token in (*secrets, made):
        assert token not in log


#: Fewer with HOOKD_TEST_TOKENS, when in a hurry.
TOKENS = int(os.environ.get("HOOKD_TEST_TOKENS", "1000000"))
BATCH, RUNS = 1024, 4


@pytest.mark.long
@pytest.mark.timeout(100 + TOKENS // 5_000)
def test_hook_auto_tokens_unique(daemon: Daemon) -> None:
    """Many generated ones: no repeat, no pattern, nothing of the run in them."""
    api = Api(daemon.channel())
    runs = [
        api.start(f"checkout-{n:04}", workflow="process_payment").run.run_id for n in range(RUNS)
    ]
    requests = [
        CreateHooksRequest(hooks=[HookClaim(run_id=run_id, hook=HookSpec())] * BATCH)
        for run_id in runs
    ]
    batches = -(-TOKENS // BATCH)
    tokens: list[str] = []
    ahead = [api.hooks.CreateHooks.future(requests[n]) for n in range(2)]
    for n in range(batches):
        results = ahead.pop(0).result().results
        ahead.append(api.hooks.CreateHooks.future(requests[n % RUNS]))
        tokens.extend(result.claimed.token for result in results)
    for call in ahead:
        tokens.extend(result.claimed.token for result in call.result().results)

    assert len(tokens) == (batches + 2) * BATCH
    tokens.sort()
    assert all(map(str.__ne__, tokens, tokens[1:])), "no repeat"
    assert set(map(len, tokens)) == {22}
    text = "".join(tokens)
    assert re.search(r"[^A-Za-z0-9_-]", text) is None, "URL-safe"
    for known in (*runs, "checkout", "process", "payment"):
        assert text.find(known) < 0, known

    # Neighbours in order share no more than chance has them share: 2^39 pairs
    # do not agree in 72 bits. A time, a counter or a run in front would show.
    assert max(_shared(a, b) for a, b in pairwise(tokens)) < 12
    # Every place has all 64 letters equally often, but the first, which has no
    # dash, and the last, which carries the 2 bits that are left of 128.
    for place in range(21):
        counts = Counter(text[place::22])
        letters = 63 if place == 0 else 64
        assert len(counts) == letters
        usual = len(tokens) / letters
        assert all(abs(count - usual) < 8 * usual**0.5 for count in counts.values())
    assert len(Counter(text[21::22])) == 4


def _shared(a: str, b: str) -> int:
    """How long the common beginning is."""
    return next((n for n, (x, y) in enumerate(zip(a, b, strict=True)) if x != y), len(a))


def test_hook_auto_tokens_unique_across_restarts(mortal: Daemon, project: str) -> None:
    """Random bits of the system, not of a seed that a restart sets back."""
    seen: set[str] = set()
    for _ in range(2):
        api = Api(mortal.channel(), project)
        run_id = api.start().run.run_id
        answer: CreateHookResponse = api.claim(run_id, None)
        seen.add(answer.hook.token)
        mortal.restart()
    assert len(seen) == 2
