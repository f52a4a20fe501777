"""What senders of requests to webhooks can be answered: the rules of clients and the daemon."""

from __future__ import annotations

import re
from typing import Final

USUAL_WITHIN_MS: Final = 30_000
"""How long a sender waits for an answer of the run, unless the hook says otherwise."""
MIN_WITHIN_MS: Final = 100
MAX_WITHIN_MS: Final = 5 * 60 * 1000
MAX_HEADERS: Final = 32
MAX_HEADERS_BYTES: Final = 8 * 1024
MAX_STATIC_BODY_BYTES: Final = 64 * 1024
"""Of an answer that is the same for every request: it is kept with the hook."""
MAX_BODY_BYTES: Final = 1024 * 1024

# RFC 9110, 5.6.2 and 5.5; a value is of Latin-1, and has no blanks around it.
HEADER_NAME: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
HEADER_VALUE: Final = re.compile(r"(?:[!-~\x80-\xff](?:[\t -~\x80-\xff]*[!-~\x80-\xff])?)?")

FRAMING: Final = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "proxy-authenticate",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
"""Headers that say how a message is framed, which is the daemon's business."""
OF_THE_ORIGIN: Final = frozenset(
    {"clear-site-data", "service-worker-allowed", "set-cookie", "strict-transport-security"}
)
"""Headers that change what a browser keeps for everything at the same address."""
WITHOUT_BODY: Final = frozenset({204, 205, 304})
"""Statuses of answers that have no body."""
