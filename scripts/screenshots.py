"""``python -m scripts.screenshots``: draws the pictures of the console in ``docs/images``.

A daemon of its own is filled with runs of a made-up shop, and a browser looks
at it. The pictures are drawn again when the console looks otherwise than in them.
"""

from __future__ import annotations

import contextlib
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc
from hookd.v1.common_pb2 import HookSpec
from hookd.v1.hook_service_pb2 import CreateHookRequest
from hookd.v1.stream_service_pb2 import WriteChunksRequest
from playwright.sync_api import Page

from tests.support.api import Api, json_payload, refusal, seconds
from tests.support.browser import browsing
from tests.support.daemon import running

IMAGES = Path(__file__).resolve().parents[1] / "docs" / "images"
SIZE = {"width": 1280, "height": 800}
SHOPS = ("Basel", "Graz", "Ulm", "Bern", "Linz")
#: So long, in seconds, the shop is open before pictures are drawn.
OPEN_S = 75


def _traced(call: Callable[..., Any], request: Any, number: int) -> Any:
    trace = f"{(number * 0x9E3779B97F4A7C15F39CC0605CEDC835) % 2**128:032x}"
    return call(request, metadata=(("traceparent", f"00-{trace}-00f067aa0ba902b7-01"),))


def _claim(api: Api, run_id: str, token: str, hook_id: str, number: int) -> Any:
    spec = HookSpec(hook_id=hook_id, token=token)
    return _traced(api.hooks.CreateHook, CreateHookRequest(run_id=run_id, hook=spec), number)


def _checkout(api: Api, number: int) -> None:
    """An order that is paid, that waits, or that somebody wants to check out twice."""
    run_id, token = f"checkout-{number}", f"payment/{number}"
    order = f'{{"order": {number}, "shop": "{SHOPS[number % 5]}", "total": "{number % 90}.50"}}'
    workflow = ("checkout", "checkout", "refund", "subscription")[number % 4]
    api.start(run_id, workflow=workflow, input=json_payload(order))
    _claim(api, run_id, token, "payment", number)
    if number % 3 == 0:
        # Somebody comes back to an order of some time ago, which may be done by now.
        before = max(number - 12 * (number * 5 % 7), 7300)
        again = f"checkout-{before}-again-{number}"
        api.start(again, workflow=workflow)
        with contextlib.suppress(grpc.RpcError):
            _claim(api, again, f"payment/{before}", "payment", number + 5000)
        api.fail(again, "another checkout of this order is under way")
    if number % 4 == 2:
        api.resume(token, f'{{"status": "authorized", "order": {number}}}')
    if number % 4 == 1:
        api.resume(token, f'{{"status": "paid", "order": {number}}}')
        api.complete(run_id, '{"shipped": true}')
    elif number % 11 == 5:
        api.cancel(run_id, "the customer has changed their mind")


def _long_checkout(api: Api) -> str:
    """The run whose page is shown; its id."""
    run_id = "checkout-order-7421"
    order = '{"order": 7421, "shop": "Graz", "items": 3, "total": "84.20"}'
    api.start(
        run_id,
        input=json_payload(order),
        attributes={"customer": "c-2207", "region": "eu-central"},
        lease_ttl=seconds(3600),
    )
    _claim(api, run_id, "payment/7421", "payment", 7421)
    _claim(api, run_id, "parcel/7421", "parcel", 7422)
    api.resume("payment/7421", '{"status": "authorized", "provider": "card"}')
    api.resume("payment/7421", '{"status": "paid", "provider": "card"}')
    api.start(f"{run_id}-again", workflow="checkout")
    refusal(_claim, api, f"{run_id}-again", "payment/7421", "payment", 9421)
    refusal(_claim, api, run_id, "payment/7423", "voucher", 9422)
    chunks = [json_payload(text) for text in ('"card is charged"', '"packing 3 items"')]
    api.streams.WriteChunks(WriteChunksRequest(run_id=run_id, namespace="progress", chunks=chunks))
    return run_id


def _open_shop(api: Api, closed: threading.Event) -> None:
    number = 7300
    while not closed.wait(0.15 + 0.25 * ((number * 7) % 5 == 0)):
        _checkout(api, number)
        number += 1
        # The hook that another run of the pictures has an eye on.
        if number == 7423:
            number += 1


def _draw(page: Page, name: str, path: str, colours: str) -> None:
    page.emulate_media(color_scheme=colours)  # type: ignore[arg-type]
    page.goto(path)
    page.wait_for_load_state()
    if page.locator("#live").count():
        page.locator("#live[data-state=live]").wait_for()
        page.locator("[data-live=yes]").first.wait_for()
    target = IMAGES / f"{name}.png"
    page.screenshot(path=target, animations="disabled")
    print(f"{target.name}: {target.stat().st_size // 1024} KiB")


def main() -> int:
    """Draws the pictures."""
    IMAGES.mkdir(parents=True, exist_ok=True)
    closed = threading.Event()
    with tempfile.TemporaryDirectory() as folder, running(Path(folder)) as daemon:
        api = Api(daemon.channel())
        api.start("checkout-order-7423")
        _claim(api, "checkout-order-7423", "payment/7423", "payment", 7423)
        shop = threading.Thread(target=_open_shop, args=(api, closed))
        shop.start()
        try:
            with browsing() as browser:
                page = browser.new_page(
                    base_url=f"http://{daemon.http}",
                    viewport=SIZE,  # type: ignore[arg-type]
                )
                page.wait_for_timeout(OPEN_S * 1000)
                run_id = _long_checkout(api)
                page.wait_for_timeout(3000)
                _draw(page, "console-overview", "/", "light")
                _draw(page, "console-overview-dark", "/", "dark")
                _draw(page, "console-conflicts", "/console/conflicts", "light")
                _draw(page, "console-run", f"/console/run?run={run_id}", "light")
                _draw(page, "console-hooks", "/console/hooks", "light")
        finally:
            closed.set()
            shop.join()
    return 0


if __name__ == "__main__":
    sys.exit(main())
