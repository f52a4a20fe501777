"""The URL of a hook is made of its token, whatever that is."""

from urllib.parse import unquote, urlsplit

import pytest
from hookd.webhook_url import has_url, webhook_url

BASE = "https://hooks.example.com"


def test_webhook_url_of_a_plain_token():
    assert webhook_url(BASE, "default", "order-7") == f"{BASE}/webhooks/default/order-7"


def test_webhook_url_below_a_path():
    assert webhook_url(f"{BASE}/in", "p", "t") == f"{BASE}/in/webhooks/p/t"


@pytest.mark.parametrize(
    "token", ["a/b", "../x", "a b", "50%", "%2F", "?q=1#f", "ü", "🪝", "a\0b", "a\nb", "~-._", ":@"]
)
def test_webhook_url_keeps_any_token_as_one_segment(token: str):
    path = urlsplit(webhook_url(BASE, "p/q", token)).path
    first, _, project, last = path.split("/")
    assert (first, unquote(project), unquote(last, errors="strict")) == ("", "p/q", token)
    assert path.isascii()


def test_webhook_url_of_a_way_up_does_not_exist():
    assert not has_url(".")
    assert not has_url("..")
    assert has_url("...")
    assert has_url("a")
