"""The console without a browser: what is sent by somebody who makes his own requests."""

from __future__ import annotations

import http.client
import re
from collections.abc import Mapping
from typing import NamedTuple
from urllib.parse import urlencode

_TOKEN = re.compile(r'name="form_token" value="([0-9a-f]{64})"')


class Answer(NamedTuple):
    """An answer."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def form_token(self) -> str:
        """The token in the form of a page."""
        found = _TOKEN.search(self.text)
        assert found, self.text
        return found[1]

    @property
    def cookie(self) -> str:
        """The cookie that is set, as it is sent back."""
        return self.headers.get("set-cookie", "").partition(";")[0]


def ask(
    address: str,
    path: str,
    form: Mapping[str, str] | None = None,
    *,
    cookie: str = "",
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """Asks for a page, or sends a form."""
    connection = http.client.HTTPConnection(address, timeout=60)
    sent = {"cookie": cookie, **(headers or {})}
    body = None
    if form is not None:
        body = urlencode(form)
        sent["content-type"] = "application/x-www-form-urlencoded"
    try:
        connection.request("GET" if form is None else "POST", path, body, sent)
        answer = connection.getresponse()
        found = {name.lower(): value for name, value in answer.getheaders()}
        return Answer(answer.status, found, answer.read().decode())
    finally:
        connection.close()
