"""What clients say of metadata definitions."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.errors import BadRequest, Forbidden
from tiffin.core.schema import Schema

MOST = 1000
"""How many objects, properties, tags and associations a namespace may have, of each kind."""
MOST_BYTES = 65_535
"""Of the definitions of one object or one property, encoded: what upstream's column holds."""
MOST_DEEP = 32
"""How many lists and objects of a default value may stand in each other."""

PathName = Annotated[str, Meta(min_length=1, max_length=80, pattern=r"^[^/]*\Z")]
"""A name that is a segment of a path."""
Short = Annotated[str, Meta(max_length=80)]
Word = Annotated[str, Meta(max_length=255)]
Text = Annotated[str, Meta(max_length=MOST_BYTES)]
Amount = Annotated[int, Meta(ge=0, le=2**31 - 1)]
Number = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)] | Annotated[float, Meta(ge=-1e300, le=1e300)]
Type = Annotated[str, Meta(pattern=r"^(?:array|boolean|integer|number|object|string)\Z", max_length=7)]
Values = Annotated[list[Text | Number | bool | None], Meta(max_length=MOST)]


class Items(Schema):
    """What an array is made of."""

    type: Type | UnsetType = UNSET
    enum: Values | UnsetType = UNSET


class Definition(Schema):
    """A property: a JSON schema of few words."""

    title: Word
    type: Type
    name: Short | UnsetType = UNSET  # where it stands under its name, this one means nothing
    description: Text | UnsetType = UNSET
    operators: Annotated[list[Word], Meta(max_length=100)] | UnsetType = UNSET
    required: Annotated[list[Word], Meta(max_length=MOST)] | UnsetType = UNSET
    minimum: Number | UnsetType = UNSET
    maximum: Number | UnsetType = UNSET
    max_length: Amount | UnsetType = msgspec.field(name="maxLength", default=UNSET)
    min_length: Amount | UnsetType = msgspec.field(name="minLength", default=UNSET)
    pattern: Annotated[str, Meta(max_length=4096)] | UnsetType = UNSET
    enum: Values | UnsetType = UNSET
    readonly: bool | UnsetType = UNSET
    default: Any = UNSET
    items: Items | UnsetType = UNSET
    max_items: Amount | UnsetType = msgspec.field(name="maxItems", default=UNSET)
    min_items: Amount | UnsetType = msgspec.field(name="minItems", default=UNSET)
    unique_items: bool | UnsetType = msgspec.field(name="uniqueItems", default=UNSET)
    additional_items: bool | UnsetType = msgspec.field(name="additionalItems", default=UNSET)


Definitions = Annotated[dict[Short, Definition], Meta(max_length=MOST)]
Properties = Annotated[dict[PathName, Definition], Meta(max_length=MOST)]


class PropertyIn(Definition):
    """A definition that says its own name."""

    name: PathName
    created_at: Any = UNSET
    updated_at: Any = UNSET


class ObjectPart(Schema):
    name: PathName
    description: Text | UnsetType = UNSET
    required: Annotated[list[Word], Meta(max_length=MOST)] | UnsetType = UNSET
    properties: Definitions | UnsetType = UNSET


class ObjectIn(ObjectPart):
    created_at: Any = UNSET
    updated_at: Any = UNSET
    schema: Any = UNSET
    self_: Any = msgspec.field(name="self", default=UNSET)


class TagPart(Schema):
    name: PathName


class TagIn(TagPart):
    created_at: Any = UNSET
    updated_at: Any = UNSET


class TagsIn(Schema):
    tags: Annotated[list[TagPart], Meta(max_length=MOST)]
    created_at: Any = UNSET
    updated_at: Any = UNSET


class AssociationPart(Schema):
    name: PathName
    prefix: Short | UnsetType = UNSET
    properties_target: Short | UnsetType = UNSET


class AssociationIn(AssociationPart):
    created_at: Any = UNSET
    updated_at: Any = UNSET


class NamespaceIn(Schema):
    """A namespace, with all that is to be in it where it is a new one."""

    namespace: PathName
    display_name: Short | UnsetType = UNSET
    description: Annotated[str, Meta(max_length=500)] | UnsetType = UNSET
    visibility: Annotated[str, Meta(pattern=r"^(?:public|private)\Z", max_length=7)] | UnsetType = UNSET
    protected: bool | UnsetType = UNSET
    owner: Word | UnsetType = UNSET
    resource_type_associations: Annotated[list[AssociationPart], Meta(max_length=MOST)] | UnsetType = UNSET
    properties: Properties | UnsetType = UNSET
    objects: Annotated[list[ObjectPart], Meta(max_length=MOST)] | UnsetType = UNSET
    tags: Annotated[list[TagPart], Meta(max_length=MOST)] | UnsetType = UNSET
    created_at: Any = UNSET
    updated_at: Any = UNSET
    schema: Any = UNSET
    self_: Any = msgspec.field(name="self", default=UNSET)


def check_settable(body: Schema) -> None:
    """Raises `Forbidden` for what only the service itself says."""
    for name in ("self_", "schema", "created_at", "updated_at"):
        if getattr(body, name, UNSET) is not UNSET:
            raise Forbidden(f"Attribute '{name.rstrip('_')}' is read-only.")


def definition(body: Definition) -> dict[str, Any]:
    """A definition as it is kept and shown, without its name. Raises `BadRequest` for one that is too long or too deep."""
    if _deeper(body.default, MOST_DEEP):
        raise BadRequest(f"The default of {body.title!r:.80} has more than {MOST_DEEP} lists or objects in each other.")
    found: dict[str, Any] = msgspec.to_builtins(body)
    for name in ("name", "created_at", "updated_at"):
        found.pop(name, None)
    return _bounded(f"The definition titled {body.title!r:.80}", found)


def _deeper(value: Any, than: int) -> bool:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return inner is not None and (than == 0 or any(_deeper(each, than - 1) for each in inner))


def definitions(name: str, bodies: dict[str, Definition] | UnsetType) -> dict[str, Any]:
    """The definitions of an object, alike."""
    if isinstance(bodies, UnsetType):
        return {}
    return _bounded(f"The object {name!r:.80}", {name: definition(body) for name, body in bodies.items()})


def _bounded(what: str, value: dict[str, Any]) -> dict[str, Any]:
    if len(msgspec.json.encode(value)) > MOST_BYTES:
        raise BadRequest(f"{what} has more than {MOST_BYTES} bytes.")
    return value
