"""The headers of every answer of the console."""

from __future__ import annotations

from collections.abc import Mapping

#: Scripts and styles come from files of the daemon, and nothing comes from
#: elsewhere: what somebody brings into a page as text stays text.
POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "connect-src 'self'",
        "img-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)

SECURITY: Mapping[str, str] = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    # Nothing goes to other sites. With "no-referrer" browsers would not say to
    # the daemon either where a form comes from: it would have no Origin.
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=()",
}
PRIVATE: Mapping[str, str] = {**SECURITY, "cache-control": "no-store"}
