from __future__ import annotations

import pytest
from hookd_daemon.values import (
    Address,
    parse_address,
    parse_base_url,
    parse_duration_ms,
    parse_networks,
    shorten,
)


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [
        ("7d", 7 * 86_400_000),
        ("1h30m", 5_400_000),
        ("1w2d", 9 * 86_400_000),
        ("500ms", 500),
        ("1.5s", 1500),
        ("2m500ms", 120_500),
        ("90", 90_000),
        ("0.25", 250),
        ("0", 0),
        (" 10S ", 10_000),
        (3, 3000),
        (0.5, 500),
    ],
)
def test_durations(text: object, milliseconds: int) -> None:
    assert parse_duration_ms(text) == milliseconds


@pytest.mark.parametrize(
    "text",
    ["", "-1", "-1s", "1x", "s", "1h 30m", "1,5s", "inf", "nan", "1e3", "٣s", True, None, []],
)
def test_what_is_not_a_duration(text: object) -> None:
    with pytest.raises(ValueError, match="must be a duration such as 7d"):
        parse_duration_ms(text)


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        ("127.0.0.1:4665", "127.0.0.1", 4665),
        ("localhost:0", "localhost", 0),
        ("[::1]:0", "::1", 0),
        ("[::]:65535", "::", 65535),
        ("db-1.example.org:1", "db-1.example.org", 1),
    ],
)
def test_addresses(text: str, host: str, port: int) -> None:
    address = parse_address(text)
    assert address == Address(host, port)
    assert str(address) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "must be HOST:PORT"),
        ("localhost", "must be HOST:PORT"),
        ("localhost:", "must be HOST:PORT"),
        ("localhost:65536", "port from 0 to 65535"),
        ("localhost:-1", "port from 0 to 65535"),
        ("localhost:٣", "port from 0 to 65535"),
        (":4665", "must name a host"),
        ("::1:4665", "in brackets"),
        ("[::1]", "must be HOST:PORT"),
        ("[127.0.0.1]:1", "IPv6 address between the brackets"),
        ("[]:1", "IPv6 address between the brackets"),
        ("256.0.0.1:1", "valid IPv4"),
        ("1.2.3:1", "valid IPv4"),
        ("http//x:1", "host name"),
        ("a b:1", "host name"),
        (4665, "must be HOST:PORT"),
    ],
)
def test_what_is_not_an_address(text: object, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse_address(text)


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("https://hooks.example.com", "https://hooks.example.com"),
        (" http://h:8080/ ", "http://h:8080"),
        ("https://[::1]:4666/a/b%20c/", "https://[::1]:4666/a/b%20c"),
    ],
)
def test_base_urls(text: str, url: str) -> None:
    assert parse_base_url(text) == url


@pytest.mark.parametrize(
    "text",
    [
        *("", "example.com", "ftp://x", "https://", "https:///x", "https://x?y", "https://x#y"),
        *("https://x/?y", "https://u:p@x", "https://x:99999", "https://x:y", "https://[x]/"),
        *("https://a b", "https://x/a b", "https://x/\ny", "HTTPS//x"),
    ],
)
def test_what_is_not_a_base_url(text: str) -> None:
    with pytest.raises(ValueError, match="must "):
        parse_base_url(text)


def test_networks() -> None:
    assert parse_networks("10.0.0.0/8, ::1,,10.0.0.0/8") == ("10.0.0.0/8", "::1/128")
    assert parse_networks(["127.0.0.1"]) == ("127.0.0.1/32",)
    assert parse_networks("") == ()
    for bad in ("proxy", "10.0.0.1/8", "10.0.0.0/33", "*"):
        with pytest.raises(ValueError, match="must be IP addresses"):
            parse_networks(bad)


def test_shorten_keeps_messages_short_and_on_one_line() -> None:
    assert shorten("a\nb") == r"'a\nb'"
    assert len(shorten("x" * 1000)) == 60
    assert shorten(True) == "'True'"
