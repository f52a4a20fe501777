"""JSON Schemas of messages, as ``reading`` takes them and ``writing`` gives them."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from importlib import resources
from typing import Any, cast

from google.protobuf.descriptor import Descriptor, FieldDescriptor

from hookd_daemon.http.rest import naming
from hookd_daemon.http.rest.limits import REQUIRED, TOGETHER, limits
from hookd_daemon.http.rest.writing import always_there

Schema = dict[str, Any]

#: What the schema of a message is called, if requests have it.
_INPUT = "Input"


def load_comments() -> Mapping[str, str]:
    """The comments of the protos, by the full names of what they are about."""
    file = resources.files("hookd_daemon.http.rest") / "comments.json"
    found: dict[str, str] = json.loads(file.read_text())
    return found


class Schemas:
    """Makes schemas, and collects those that others refer to.

    Args:
        max_token_bytes: the operator's limit.

    Attributes:
        components: the schemas that were referred to so far, by their names.
        comments: see ``load_comments``.
    """

    def __init__(self, max_token_bytes: int) -> None:
        self.comments = load_comments()
        self.components: dict[str, Schema] = {}
        self._limits = limits(max_token_bytes)

    def answer(self, message: Descriptor) -> Schema:
        """The schema of a message that is an answer, or a part of one."""
        return self._refer(message, "")

    def _refer(self, message: Descriptor, suffix: str) -> Schema:
        name = message.name + suffix
        if name not in self.components:
            self.components[name] = {}
            self.components[name] = (
                self.body(
                    message,
                    [field.name for field in message.fields],
                    REQUIRED.get(message.name, ()),
                )
                if suffix
                else self._answered(message)
            )
        return {"$ref": f"#/components/schemas/{name}"}

    def body(
        self, message: Descriptor, fields: Collection[str], required: Collection[str] = ()
    ) -> Schema:
        """The schema of a message, or a part of it, that is asked.

        Args:
            message: the message.
            fields: the fields that may be there.
            required: those that must be.
        """
        schema: Schema = {"type": "object", "additionalProperties": False}
        self._describe(schema, message.full_name)
        properties: Schema = {}
        rules: list[Mapping[str, Any]] = []
        for field in message.fields:
            if field.name not in fields:
                continue
            if naming.kind_of(field) == naming.PAYLOAD:
                properties |= self._payload(field, _INPUT)
                rules += _apart(field.name)
            else:
                properties[field.name] = self._field(field, _INPUT)
        rules += _alone(message, fields)
        rules += TOGETHER.get(message.name, ())
        schema["properties"] = properties
        if required:
            schema["required"] = list(required)
        if rules:
            schema["allOf"] = rules
        return schema

    def _answered(self, message: Descriptor) -> Schema:
        schema: Schema = {"type": "object"}
        self._describe(schema, message.full_name)
        properties: Schema = {}
        for field in message.fields:
            if naming.kind_of(field) == naming.PAYLOAD:
                properties |= self._payload(field, "")
            else:
                properties[field.name] = self._field(field, "")
        schema["properties"] = properties
        required = [field.name for field in message.fields if always_there(field)]
        if required:
            schema["required"] = required
        return schema

    def field(self, field: FieldDescriptor) -> Schema:
        """The schema of a field of a request, for a parameter."""
        return self._field(field, _INPUT)

    def _field(self, field: FieldDescriptor, suffix: str) -> Schema:
        one = self._one(field, suffix)
        schema: Schema = one
        if naming.is_map(field):
            schema = {"type": "object", "additionalProperties": {"type": "string"}}
        elif field.is_repeated:
            schema = {"type": "array", "items": one}
        if suffix:
            schema = schema | dict(self._limits.get(field.full_name, {}))
        self._describe(schema, field.full_name)
        return schema

    def _one(self, field: FieldDescriptor, suffix: str) -> Schema:
        kind, limits = naming.kind_of(field), naming.bounds(field)
        if kind == naming.TIMESTAMP:
            return {"type": "string", "format": "date-time"}
        if kind == naming.DURATION:
            return {"type": "string", "examples": ["90s", "0.250s"]}
        if kind == naming.ERROR:
            return {"$ref": "#/components/schemas/ErrorFacts"}
        if kind and not naming.is_map(field):
            return self._refer(cast("Descriptor", field.message_type), suffix)
        if limits is not None:
            return {"type": "integer", "minimum": limits[0], "maximum": limits[1]}
        if field.enum_type is not None:
            return {"type": "string", "enum": list(naming.enum_numbers(field.enum_type))}
        if field.type == FieldDescriptor.TYPE_BOOL:
            return {"type": "boolean"}
        if field.type == FieldDescriptor.TYPE_DOUBLE:
            return {"type": "number"}
        if field.type == FieldDescriptor.TYPE_BYTES:
            return {"type": "string", "format": "byte", "contentEncoding": "base64"}
        return {"type": "string"}

    def _payload(self, field: FieldDescriptor, suffix: str) -> Schema:
        value: Schema = {}
        self._describe(value, field.full_name)
        raw = self._refer(cast("Descriptor", field.message_type), suffix)
        return {
            field.name: value | {"examples": [{"amount": 5}]},
            field.name + naming.CONTENT_TYPE: {
                "type": "string",
                "pattern": r"^(application/json|[a-z]+/[a-z0-9.-]+\+json)(; ?charset=utf-8)?$",
                "maxLength": 256,
                "description": f"What `{field.name}` is, if it is another kind of JSON than "
                "application/json.",
            },
            field.name + naming.RAW: raw
            | {"description": f"Instead of `{field.name}`, if it is no JSON."},
        }

    def _describe(self, schema: Schema, name: str) -> None:
        if name in self.comments:
            schema["description"] = self.comments[name]


def _apart(name: str) -> list[Mapping[str, Any]]:
    """A payload is given in one way."""
    kind, raw = name + naming.CONTENT_TYPE, name + naming.RAW
    return [
        {"not": {"required": [name, raw]}},
        {"if": {"required": [kind]}, "then": {"required": [name]}},
    ]


def _alone(message: Descriptor, fields: Collection[str]) -> list[Mapping[str, Any]]:
    """Of the fields of a oneof there is one."""
    rules: list[Mapping[str, Any]] = []
    for one_of in message.oneofs:
        names = [field.name for field in one_of.fields if field.name in fields]
        if len(names) > 1:
            rules.append({"not": {"required": names}})
    return rules
