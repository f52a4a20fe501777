"""Ids that the client makes when its user gives none.

They are the idempotency keys of the API: with one in hand, every call can be
sent again when its answer was lost.
"""

import base64
import secrets
import time

_RANDOM_BYTES = 10


def new_id(prefix: str) -> str:
    """Makes an id that sorts by its time and that nobody else makes.

    48 bits of milliseconds and 80 random bits, in base 32, which keeps the
    order of the bytes: ``run_0dq1p6t2vk…``.
    """
    stamp = time.time_ns() // 1_000_000
    data = stamp.to_bytes(6, "big") + secrets.token_bytes(_RANDOM_BYTES)
    return f"{prefix}_{base64.b32hexencode(data).decode().rstrip('=').lower()}"
