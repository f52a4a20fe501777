"""A payment service, which signs what it sends as standardwebhooks.com says."""

import base64
import hashlib
import hmac
import json
import secrets
import time
import urllib.error
import urllib.request

KEY = secrets.token_bytes(24)
SECRET = f"whsec_{base64.b64encode(KEY).decode()}"
"""What both sides know."""


def deliver(url: str, delivery: str, event: object, key: bytes = KEY) -> tuple[int, str]:
    """Sends an event; gives the status and the body of the answer."""
    body = json.dumps(event).encode()
    now = str(int(time.time()))
    signed = hmac.new(key, f"{delivery}.{now}.".encode() + body, hashlib.sha256).digest()
    headers = {
        "Content-Type": "application/json",
        "webhook-id": delivery,
        "webhook-timestamp": now,
        "webhook-signature": f"v1,{base64.b64encode(signed).decode()}",
    }
    try:
        # The address is that of the example's own daemon.
        request = urllib.request.Request(url, body, headers)  # noqa: S310
        with urllib.request.urlopen(request) as answer:  # noqa: S310
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refused:
        with refused:
            return refused.code, refused.read().decode()
