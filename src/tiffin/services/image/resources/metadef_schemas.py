"""JSON schemas of the metadata definitions."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Resource

metadef_schemas = Resource("metadef_schema", "schemas", "/v2/schemas/metadefs")

TEXT = {"type": "string"}
YES_NO = {"type": "boolean"}
TYPES = ["array", "boolean", "integer", "number", "object", "string", None]
WHOLE = {"$ref": "#/definitions/positiveInteger"}
WHOLE_OR_0 = {"$ref": "#/definitions/positiveIntegerDefault0"}
STRINGS = {"$ref": "#/definitions/stringArray"}
PROPERTIES = {"$ref": "#/definitions/property"}
SHORT = {"type": "string", "maxLength": 80}


def _about(description: str, kind: dict[str, Any]) -> dict[str, Any]:
    return {**kind, "description": description}


def _times(what: str) -> dict[str, Any]:
    time = {"type": "string", "format": "date-time", "readOnly": True}
    return {
        "created_at": _about(f"When the {what} was made", time),
        "updated_at": _about(f"When the {what} was last changed", time),
    }


_ITSELF = {"schema": {**TEXT, "readOnly": True}, "self": {**TEXT, "readOnly": True}}

_WORDS: dict[str, Any] = {
    "name": SHORT,
    "title": TEXT,
    "description": TEXT,
    "operators": {"type": "array", "items": TEXT},
    "type": {"type": "string", "enum": TYPES},
    "required": STRINGS,
    "minimum": {"type": "number"},
    "maximum": {"type": "number"},
    "maxLength": WHOLE,
    "minLength": WHOLE_OR_0,
    "pattern": {"type": "string", "format": "regex"},
    "enum": {"type": "array"},
    "readonly": YES_NO,
    "default": {},
    "items": {"type": "object", "properties": {"type": {"type": "string", "enum": TYPES}, "enum": {"type": "array"}}},
    "maxItems": WHOLE,
    "minItems": WHOLE_OR_0,
    "uniqueItems": {"type": "boolean", "default": False},
    "additionalItems": YES_NO,
}
_NUMBERS: dict[str, Any] = {
    "positiveInteger": {"type": "integer", "minimum": 0},
    "positiveIntegerDefault0": {"allOf": [WHOLE, {"default": 0}]},
    "stringArray": {"type": "array", "items": TEXT, "uniqueItems": True},
}
_DEFINITIONS: dict[str, Any] = {
    **_NUMBERS,
    "property": {
        "type": "object",
        "additionalProperties": {"type": "object", "required": ["title", "type"], "properties": _WORDS},
    },
}


def _one(name: str, properties: dict[str, Any], *required: str, **more: Any) -> dict[str, Any]:
    return {"name": name, "properties": properties, "additionalProperties": False, "required": [*required], **more}


_OBJECT = {"name": SHORT, "description": TEXT, "required": STRINGS, "properties": PROPERTIES}
_ASSOCIATION = {
    "name": _about("The type of things, as orchestration templates call it where they know it", SHORT),
    "prefix": _about("What stands before the names of properties on things of this type, with its separator", SHORT),
    "properties_target": _about("Which of the several sets of properties of such a thing is meant", SHORT),
}


def _list(of: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": {"type": "object", "properties": of}}


NAMESPACE = _one(
    "namespace",
    {
        "namespace": _about("The name, of which there is only one", SHORT),
        "display_name": _about("A name for people", SHORT),
        "description": _about("What the definitions are good for", {"type": "string", "maxLength": 500}),
        "visibility": _about("Who sees the namespace", {"type": "string", "enum": ["public", "private"]}),
        "protected": _about("Whether deletion is refused", YES_NO),
        "owner": _about("The project that owns the namespace", {"type": "string", "maxLength": 255}),
        **_times("namespace"),
        **_ITSELF,
        "resource_type_associations": _list(dict.fromkeys(_ASSOCIATION, TEXT)),
        "properties": PROPERTIES,
        "objects": _list({**_OBJECT, "name": TEXT}),
        "tags": _list({"name": TEXT}),
    },
    "namespace",
    definitions=_DEFINITIONS,
)
OBJECT = _one("object", {**_OBJECT, **_times("object"), **_ITSELF}, "name", definitions=_DEFINITIONS)
PROPERTY = _one("property", _WORDS, "type", "title", "name", definitions=_NUMBERS)
TAG = _one("tag", {"name": SHORT, **_times("tag")}, "name")
RESOURCE_TYPE = _one("resource_type_association", {**_ASSOCIATION, **_times("association")}, "name")


def _many(name: str, item: dict[str, Any], *, by_name: bool = False) -> dict[str, Any]:
    """The schema of a list, or of an object whose fields are the items."""
    item = {field: value for field, value in item.items() if field != "definitions"} | (
        {"required": ["type", "title"]} if by_name else {}
    )
    items = {"type": "object", "additionalProperties": item} if by_name else {"type": "array", "items": item}
    links = [{"rel": rel, "href": f"{{{href}}}"} for rel, href in LINKS]
    return {"name": name, "properties": {name: items, "schema": TEXT, "first": TEXT, "next": TEXT}, "links": links}


LINKS = (("first", "first"), ("next", "next"), ("describedby", "schema"))

SCHEMAS: dict[str, dict[str, Any]] = {
    "namespace": NAMESPACE,
    "namespaces": {**_many("namespaces", NAMESPACE), "definitions": _DEFINITIONS},
    "object": OBJECT,
    "objects": {**_many("objects", OBJECT), "definitions": _DEFINITIONS},
    "property": PROPERTY,
    "properties": {**_many("properties", PROPERTY, by_name=True), "definitions": _NUMBERS},
    "tag": TAG,
    "tags": _many("tags", TAG),
    "resource_type": RESOURCE_TYPE,
    "resource_types": _many("resource_type_associations", RESOURCE_TYPE),
}


def _declare(name: str, schema: dict[str, Any]) -> None:
    @metadef_schemas.operation("GET", f"/{name}", policy=None)
    def show(call: Call) -> dict[str, Any]:
        return schema


for _name, _schema in SCHEMAS.items():
    _declare(_name, _schema)
