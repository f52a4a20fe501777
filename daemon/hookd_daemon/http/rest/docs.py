"""The page that shows the OpenAPI document: plain HTML, without a script."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any

_STYLE = """
:root { color-scheme: light dark; --line: #8885; --soft: #8882; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 0 auto; padding: 1rem; }
code, pre { font: 0.9em/1.5 ui-monospace, monospace; }
pre { background: var(--soft); padding: 0.75rem; overflow-x: auto; border-radius: 4px; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; vertical-align: top; padding: 0.25rem 0.75rem 0.25rem 0; }
td { border-top: 1px solid var(--line); }
section { border-top: 2px solid var(--line); margin-top: 2rem; }
h3 code { font-weight: normal; }
nav ul { columns: 2; padding-left: 1.2rem; }
.verb { display: inline-block; min-width: 3.2em; font-weight: bold; }
"""
_HASH = base64.b64encode(hashlib.sha256(_STYLE.encode()).digest()).decode()

#: Nothing is loaded, run, framed or sent from the page.
POLICY = (
    f"default-src 'none'; style-src 'sha256-{_HASH}'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)


def page(document: Mapping[str, Any]) -> str:
    """The page of an OpenAPI document.

    Args:
        document: as ``openapi.document`` makes it.
    """
    info = document["info"]
    parts = [
        '<!doctype html><html lang="en"><head><meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(info['title'])} over HTTP</title><style>{_STYLE}</style></head><body>",
        f"<h1>{escape(info['title'])} over HTTP</h1>",
        *_paragraphs(info["description"]),
        f'<p>Version {escape(info["version"])}; for programs: <a href="openapi.json">openapi.json'
        "</a>.</p>",
        *_contents(document),
        *_operations(document),
        "<h2>Objects</h2>",
        *_objects(document),
        "</body></html>",
    ]
    return "".join(parts)


def _contents(document: Mapping[str, Any]) -> Iterator[str]:
    yield "<nav><h2>Calls</h2><ul>"
    for path, verb, operation in _each(document):
        name = escape(operation["operationId"])
        yield f'<li><a href="#{name}"><code>{verb} {escape(path)}</code></a></li>'
    yield "</ul></nav>"


def _each(document: Mapping[str, Any]) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    for path, operations in document["paths"].items():
        for verb, operation in operations.items():
            yield path, verb.upper(), operation


def _operations(document: Mapping[str, Any]) -> Iterator[str]:
    for path, verb, operation in _each(document):
        yield f'<section id="{escape(operation["operationId"])}">'
        yield f'<h3><span class="verb">{verb}</span> <code>{escape(path)}</code></h3>'
        yield f"<p><strong>{escape(operation['summary'])}.</strong></p>"
        yield from _paragraphs(operation["description"])
        yield from _table(
            "Parameters",
            (
                (p["name"], p["in"], p["schema"], p.get("description", ""))
                for p in operation["parameters"]
            ),
        )
        for media in operation.get("requestBody", {"content": {}})["content"].values():
            yield from _body(media)
        yield from _answers(document, operation)
        yield "</section>"


def _body(media: Mapping[str, Any]) -> Iterator[str]:
    schema = media["schema"]
    required = schema.get("required", ())
    yield from _table(
        "Body",
        (
            (name, "needed" if name in required else "", s, s.get("description", ""))
            for name, s in schema["properties"].items()
        ),
    )
    if "example" in media:
        yield f"<pre>{escape(json.dumps(media['example'], indent=2))}</pre>"


def _answers(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[str]:
    yield "<h4>Answers</h4><table>"
    shared = document["components"]["responses"]
    for status, answer in operation["responses"].items():
        known = shared[status] if "$ref" in answer else answer
        shapes = " ".join(_kind(media["schema"]) for media in known["content"].values())
        yield f"<tr><td>{status}</td><td>{_inline(known['description'])}</td><td>{shapes}</td></tr>"
    yield "</table>"


def _objects(document: Mapping[str, Any]) -> Iterator[str]:
    for name, schema in document["components"]["schemas"].items():
        yield f'<section id="schema-{escape(name)}"><h3>{escape(name)}</h3>'
        yield from _paragraphs(schema.get("description", ""))
        properties = schema.get("properties", {})
        yield from _table("", ((n, "", s, s.get("description", "")) for n, s in properties.items()))
        yield "</section>"


def _table(title: str, rows: Iterator[tuple[str, str, Mapping[str, Any], str]]) -> Iterator[str]:
    made = [
        f"<tr><td><code>{escape(name)}</code></td><td>{escape(place)}</td>"
        f"<td>{_kind(schema)}</td><td>{_inline(text)}</td></tr>"
        for name, place, schema, text in rows
    ]
    if made:
        yield f"<h4>{title}</h4>" if title else ""
        yield f"<table>{''.join(made)}</table>"


def _kind(schema: Mapping[str, Any]) -> str:
    """What a schema takes, in a few words."""
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "enum" in schema:
        return " | ".join(f"<code>{escape(value)}</code>" for value in schema["enum"])
    if schema.get("type") == "array":
        return f"array of {_kind(schema['items'])}"
    kind = schema.get("type", "any JSON")
    words = [kind if isinstance(kind, str) else " or ".join(kind)]
    for key, word in _BOUNDS.items():
        if key in schema:
            words.append(f"{word} {schema[key]}")
    if "format" in schema:
        words.append(f"({schema['format']})")
    return escape(" ".join(words))


_BOUNDS = {
    "minimum": "from",
    "maximum": "to",
    "minLength": "from length",
    "maxLength": "up to length",
    "pattern": "like",
}


def _paragraphs(text: str) -> Iterator[str]:
    for part in text.split("\n\n"):
        if part:
            yield f"<p>{_inline(part)}</p>"


def _inline(text: str) -> str:
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", escape(text))
