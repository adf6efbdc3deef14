"""A body is said once, as a struct at its newest version; what older versions saw is derived from marks on its fields.

A request schema refuses unknown fields and wrong types. A schema changes at a few versions only ("epochs"): one strict
type is compiled for each epoch, when it is first needed.
"""

from __future__ import annotations

import functools
import re
import types
import typing as t
from typing import ClassVar

import msgspec
from msgspec import UNSET, Meta, UnsetType

from tiffin.core.errors import BadRequest

Version = tuple[int, int]
ALWAYS: Version = (0, 0)
NEVER: Version = (9999, 0)


class Mark(msgspec.Struct, frozen=True):
    """What a version changes about one field."""

    since: Version = ALWAYS
    until: Version = NEVER
    required_since: Version | None = None
    before: tuple[Version, Meta] | None = None


def since(major: int, minor: int) -> Mark:
    """The field exists from this version on."""
    return Mark(since=(major, minor))


def until(major: int, minor: int) -> Mark:
    """The field is gone from this version on."""
    return Mark(until=(major, minor))


def required_since(major: int, minor: int) -> Mark:
    return Mark(required_since=(major, minor))


def before(major: int, minor: int, meta: Meta) -> Mark:
    """Below this version the field obeyed `meta` instead."""
    return Mark(before=((major, minor), meta))


class Schema(msgspec.Struct, kw_only=True):
    """A request or response body. In a request unknown fields are refused, unless the class says
    `_unknown_ = "ignore"` because upstream ignores them. An absent field is `UNSET`."""

    _unknown_: ClassVar[str] = "refuse"


class Keeping(Schema):
    """A request body whose unknown fields are kept beside the known ones, since upstream stores them. What stands beside
    the root key is refused only when the class says `_beside_ = "refuse"`."""

    _unknown_: ClassVar[str] = "keep"
    _beside_: ClassVar[str] = "ignore"
    extra: dict[t.Annotated[str, Meta(max_length=255)], t.Any] = msgspec.field(
        default_factory=dict, name=" extra"
    )  # a name that the wire cannot mean


Shape = t.Any
"""What a body is made of: a `Schema`, or a bounded list or dict of them, where a body has no fixed names."""


@functools.cache
def _hints(schema: type[Schema]) -> dict[str, t.Any]:
    hints = t.get_type_hints(schema, include_extras=True)
    return {f.name: hints[f.name] for f in msgspec.structs.fields(schema)}


def _marks(hint: t.Any) -> list[Mark]:
    return [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Mark)]


def _nested(hint: t.Any) -> list[type[Schema]]:
    """The schemas that a type expression speaks of."""
    if _is_schema(hint):
        return [hint]
    return [s for arg in t.get_args(hint) for s in _nested(arg)]


def _is_schema(shape: Shape) -> t.TypeGuard[type[Schema]]:
    return isinstance(shape, type) and not t.get_args(shape) and issubclass(shape, Schema)


@functools.cache
def epochs(shape: Shape) -> tuple[Version, ...]:
    """The versions at which this shape, or a schema inside it, changes."""
    found: set[Version] = {ALWAYS}
    if not _is_schema(shape):
        return tuple(sorted(found.union(*(epochs(s) for s in _nested(shape)))))
    for hint in _hints(shape).values():
        for m in _marks(hint):
            found |= {m.since}
            found |= {m.required_since} if m.required_since else set()
            found |= {m.before[0]} if m.before else set()
            found |= {m.until} if m.until != NEVER else set()
        for inner in _nested(hint):
            found |= set(epochs(inner))
    return tuple(sorted(found))


@functools.cache
def epoch(shape: Shape, at: Version) -> Version:
    return max(e for e in epochs(shape) if e <= at)


def _alive(marks: list[Mark], at: Version) -> bool:
    return all(m.since <= at < m.until for m in marks)


def _at(hint: t.Any, at: Version) -> t.Any:
    """The type expression with each schema in it replaced by its compiled one."""
    if isinstance(hint, type) and not t.get_args(hint):
        return compiled(hint, epoch(hint, at)) if issubclass(hint, Schema) else hint
    if not _nested(hint):
        return hint
    args = tuple(_at(a, at) for a in t.get_args(hint))
    origin = t.get_origin(hint)
    if origin in (t.Union, types.UnionType):
        return t.Union[args]  # noqa: UP007  (built at run time from a tuple)
    if origin is t.Annotated:
        return t.Annotated[(args[0], *hint.__metadata__)]
    return origin[args]


def _field(field: msgspec.structs.FieldInfo, hint: t.Any, at: Version) -> tuple[str, t.Any, t.Any]:
    marks, default = _marks(hint), field.default
    if not _alive(marks, at):
        # no value satisfies this type, and the class keeps the attribute
        return field.name, UnsetType, msgspec.field(default=UNSET, name=" " + field.encode_name)
    metas = [m for m in getattr(hint, "__metadata__", ()) if isinstance(m, Meta)]
    base = t.get_args(hint)[0] if metas or marks else hint
    for m in marks:
        if m.before and at < m.before[0]:
            metas = [m.before[1]]
        if m.required_since and at >= m.required_since:
            default = msgspec.NODEFAULT
    base = _at(base, at)
    if default is msgspec.NODEFAULT and UnsetType in t.get_args(base):
        base = t.Union[tuple(a for a in t.get_args(base) if a is not UnsetType)]  # noqa: UP007
    for meta in metas:
        base = t.Annotated[base, meta]
    if field.default_factory is not msgspec.NODEFAULT:
        return field.name, base, msgspec.field(default_factory=field.default_factory, name=field.encode_name)
    return field.name, base, msgspec.field(default=default, name=field.encode_name)


@functools.cache
def compiled(schema: type[Schema], at: Version) -> type[Schema]:
    """The strict type that a client of version `at` must satisfy: a subclass, so that its values have every attribute."""
    hints = _hints(schema)
    fields = [_field(f, hints[f.name], at) for f in msgspec.structs.fields(schema)]
    made = msgspec.defstruct(
        schema.__name__, fields, bases=(schema,), kw_only=True, forbid_unknown_fields=schema._unknown_ == "refuse"
    )
    return t.cast(type[Schema], made)


@functools.cache
def _decoder(shape: Shape, root: str, at: Version) -> msgspec.json.Decoder[t.Any]:
    body = _at(shape, at)
    if root:
        forbid = getattr(shape, "_beside_", getattr(shape, "_unknown_", "refuse")) == "refuse"
        body = msgspec.defstruct("Body", [("root", body, msgspec.field(name=root))], forbid_unknown_fields=forbid)
    return msgspec.json.Decoder(body)


_NUL = re.compile(rb"(?<!\\)(?:\\\\)*\\u0000")


def check_text(raw: bytes) -> None:
    """Refuse what no text of a cloud needs and not every database can keep: NUL characters."""
    if b"\\u0000" in raw and _NUL.search(raw):
        raise BadRequest("A NUL character is not allowed in a string.")


def decode_json(raw: bytes) -> t.Any:
    """Any JSON value. Raises `BadRequest` that says where it stops being JSON."""
    check_text(raw)
    try:
        return msgspec.json.decode(raw)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadRequest(f"Malformed request body: {bad}") from None


def decode(shape: Shape, root: str, raw: bytes, at: Version) -> t.Any:
    """The body under its root key ('' for none) as version `at` promises it. Raises `BadRequest` naming the field."""
    check_text(raw)
    try:
        value = _decoder(shape, root, epoch(shape, at)).decode(raw)
    except msgspec.ValidationError as bad:
        raise BadRequest(explain(str(bad))) from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as bad:
        raise BadRequest(f"Malformed request body: {bad}") from None
    found = value.root if root else value
    if isinstance(found, Keeping):
        body = msgspec.json.decode(raw)
        _keep(found, body[root] if root else body)
    return found


MOST_KEPT = 65_535
"""Bytes of unknown fields that are kept, encoded: what upstream's column holds."""


def _keep(value: Keeping, body: dict[str, t.Any]) -> None:
    known = {f.encode_name for f in msgspec.structs.fields(value)}
    value.extra = {name: kept for name, kept in body.items() if name not in known}
    if any(len(name) > 255 for name in value.extra):
        raise BadRequest("The name of an additional field has more than 255 characters.")
    if value.extra and len(msgspec.json.encode(value.extra)) > MOST_KEPT:
        raise BadRequest(f"The additional fields have more than {MOST_KEPT} bytes.")


def convert(schema: type[Schema], value: t.Any, at: Version = ALWAYS) -> t.Any:
    """Like `decode`, from a value that is decoded already."""
    try:
        return msgspec.convert(value, compiled(schema, epoch(schema, at)))
    except msgspec.ValidationError as bad:
        raise BadRequest(explain(str(bad))) from None


def explain(message: str) -> str:
    """Turn msgspec's complaint into one that names the field first."""
    what, _, where = message.partition(" - at `")
    field = where.rstrip("`").removeprefix("$").removeprefix(".root").lstrip(".")
    return f"Invalid input for field/attribute {field}: {what}." if field else f"Invalid input: {what}."


@functools.cache
def _hidden(schema: type[Schema], at: Version) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The fields that version `at` did not see, and the fields that hold schemas of which that may be true."""
    hints = _hints(schema)
    dead = tuple(n for n, h in hints.items() if not _alive(_marks(h), at))
    deep = tuple(n for n, h in hints.items() if n not in dead and any(len(epochs(s)) > 1 for s in _nested(h)))
    return dead, deep


def downgrade(value: t.Any, at: Version) -> t.Any:
    """The view as version `at` promises it; the value itself is changed and given back."""
    if isinstance(value, Schema):
        dead, deep = _hidden(type(value), epoch(type(value), at))
        for name in dead:
            setattr(value, name, UNSET)
        for name in deep:
            downgrade(getattr(value, name), at)
    elif isinstance(value, list | dict):
        for item in value.values() if isinstance(value, dict) else value:
            if not isinstance(item, _PLAIN):  # most of what there is; a call for each would be a third of a long list
                downgrade(item, at)
    return value


_PLAIN = (str, int, float, types.NoneType)


def json_schema(shape: Shape, at: Version) -> dict[str, t.Any]:
    """The JSON schema of the body at this version, for the reference pages and the fuzzer."""
    return msgspec.json.schema(_at(shape, epoch(shape, at)), schema_hook=_no_value)


def _no_value(kind: type[t.Any]) -> dict[str, t.Any]:
    """The schema of a field that this version does not have. Raises `NotImplementedError` for other types."""
    if kind is not UnsetType:
        raise NotImplementedError
    return {"not": {}}
