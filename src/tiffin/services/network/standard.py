"""What every resource of this service shares: who sees it, filters, fields, sorting, revisions, rules about attributes."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Mapping
from typing import Annotated, Any, cast

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import ColumnElement, Row, Select, String, bindparam, delete, select
from sqlalchemy.orm import InstrumentedAttribute

from tiffin.core.call import Call
from tiffin.core.changes import picture
from tiffin.core.errors import BadRequest, PreconditionFailed
from tiffin.core.policy import Target
from tiffin.core.resource import Page
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.core.world import iso
from tiffin.services.network import faults, work
from tiffin.services.network import policies as rules
from tiffin.services.network import tables as t

MOST_IN_BULK = 200
"""Objects that one request may make."""

Text = Annotated[str, Meta(max_length=255)]
OwnerId = Annotated[str, Meta(max_length=255)]
Flag = bool | Annotated[str, Meta(pattern="^(?i:true|false|1|0)$", max_length=5)] | Annotated[int, Meta(ge=0, le=1)]
ME = bindparam("me", type_=String())
"""The project that asks, in statements that are made once."""

Filter = InstrumentedAttribute[Any] | ColumnElement[Any] | Callable[[list[str]], ColumnElement[bool]]


def truth(value: Any) -> bool:
    """A flag as upstream reads it: a boolean, "true", "False", 1, "0" ..."""
    return value.lower() in ("true", "1") if isinstance(value, str) else bool(value)


class OwnedIn(Schema, kw_only=True):
    """What a request may say about any new object."""

    description: Text | None = ""
    tenant_id: OwnerId | UnsetType = UNSET
    project_id: OwnerId | UnsetType = UNSET


class StandardIn(OwnedIn, kw_only=True):
    name: Text = ""


class StandardUpdate(Schema, kw_only=True):
    name: Text | UnsetType = UNSET
    description: Text | UnsetType | None = UNSET


class OwnedOut(Schema, kw_only=True):
    """What every answer says."""

    id: str
    tenant_id: str
    project_id: str
    description: str
    tags: list[str] | UnsetType
    created_at: str | None
    updated_at: str | None
    revision_number: int


class StandardOut(OwnedOut, kw_only=True):
    name: str


def owned(row: Any) -> dict[str, Any]:
    """The fields of `OwnedOut`."""
    return {
        "id": row.id,
        "tenant_id": row.project_id,
        "project_id": row.project_id,
        "description": row.description,
        "tags": sorted(tag["tag"] for tag in row.tags),
        "created_at": iso(row.created_at),
        "updated_at": iso(row.updated_at),
        "revision_number": row.revision_number,
    }


def standard(row: Any) -> dict[str, Any]:
    """The fields of `StandardOut`."""
    return {"name": row.name, **owned(row)}


def tags_of(id: Any) -> ColumnElement[Any]:
    return children(select(t.TagRow.tag).where(t.TagRow.resource_id == id), tag=t.TagRow.tag).label("tags")


def shared_with_me(object_id: Any, *actions: str) -> ColumnElement[bool]:
    """Whether an RBAC policy opens this object to the project that asks."""
    return (
        select(t.RbacRow.id)
        .where(
            t.RbacRow.object_id == object_id,
            t.RbacRow.action.in_(actions or ("access_as_shared",)),
            t.RbacRow.target_project.in_(("*", ME)),
        )
        .exists()
    )


class Subject(dict[str, Any]):
    """The target of a policy, with the row it was made from."""

    row: Any = None


@dataclasses.dataclass(frozen=True)
class Kind:
    """One resource. `statement` gives all columns that its view, target and filters need, with `ME` bound later."""

    name: str
    plural: str
    table: type[t.Standard] | type[t.RbacRow]
    statement: Select[*tuple[Any, ...]]
    visible: ColumnElement[bool]  # what others than admins see
    out: Callable[[Any], Schema]
    filters: Mapping[str, Filter]
    target: Callable[[Any], dict[str, Any]] = lambda row: {}
    defaults: Mapping[str, Any] = dataclasses.field(default_factory=dict)  # of attributes that have rules of their own

    @property
    def change(self) -> str:
        return f"network.{self.name}"


def sees_all(call: Call) -> bool:
    return call.actor.is_admin or "service" in call.actor.roles


def target_of(kind: Kind, row: Any) -> Subject:
    made = Subject(kind.target(row), project_id=row.project_id, tenant_id=row.project_id)
    made.row = row
    return made


def seen_rows(kind: Kind, call: Call) -> Select[*tuple[Any, ...]]:
    statement = kind.statement if sees_all(call) else kind.statement.where(kind.visible)
    return statement.params(me=call.actor.project_id or "")


def find(kind: Kind) -> Callable[..., Subject]:
    """The `about` of operations on one object: raises the 404 of its kind unless the actor may know of it, and 412 when
    its revision is not the one of `If-Match`."""

    def about(call: Call, id: str, **_: Any) -> Subject:
        row = call.db.execute(seen_rows(kind, call).where(kind.table.id == id)).first()
        if row is None:
            raise faults.missing(kind.name, id)
        subject = target_of(kind, row)
        if not call.allows(f"get_{kind.name}", subject):
            raise faults.missing(kind.name, id)
        if call.request.method in ("PUT", "DELETE"):
            _match(call, row)
        return subject

    return about


def _match(call: Call, row: Any) -> None:
    wanted = call.request.get_header("If-Match")
    if wanted is None:
        return
    name, _, number = wanted.partition("=")
    if name.strip() != "revision_number" or not number.strip().isdecimal() or len(number) > 18:
        raise BadRequest("If-Match must say revision_number=<number>.")
    if int(number) != row.revision_number:
        raise PreconditionFailed(
            f"Constrained to {number.strip()}, but current revision is {row.revision_number}",
            code="RevisionNumberConstraintFailed",
        )


def shown(kind: Kind, call: Call, id: str) -> Row[Any]:
    """An object as it is now, for the answer to a mutation."""
    call.db.flush()
    return call.db.execute(kind.statement.params(me=call.actor.project_id or "").where(kind.table.id == id)).one()


# --- views --------------------------------------------------------------------------------------------------------------


def view(kind: Kind) -> Callable[[Call, Any], Any]:
    """The view of a row: without what the actor may not see, and only with the fields that were asked for."""
    hidden = rules.of_attributes(f"get_{kind.name}")

    def show(call: Call, row: Any) -> Any:
        out = kind.out(row)
        for name in _hidden(call, kind, row, type(out)) if hidden else ():
            setattr(out, name, UNSET)
        fields = call.query.get("fields")
        if not fields:
            return out
        body: dict[str, Any] = msgspec.to_builtins(out)
        return {name: value for name, value in body.items() if name in fields}

    return show


@functools.cache
def _guarded(name: str, out: type[Schema]) -> tuple[tuple[str, str], ...]:
    """The rules about seeing attributes of this view, each with its field."""
    names = {f.encode_name: f.name for f in msgspec.structs.fields(out)}
    found = rules.of_attributes(f"get_{name}").items()
    return tuple((rule, names[attribute]) for attribute, rule in found if attribute in names)


def _hidden(call: Call, kind: Kind, row: Any, out: type[Schema]) -> tuple[str, ...]:
    """The fields that the actor may not see of things like this one; asked once for targets that are alike."""
    target = target_of(kind, row)
    answers: dict[Any, tuple[str, ...]] = call.__dict__.setdefault("hidden_fields", {})
    key = (kind.name, *target.items())
    if key not in answers:
        guarded = _guarded(kind.name, out)
        answers[key] = tuple(name for rule, name in guarded if not call.allows(rule, target))
    return answers[key]


def allowed(call: Call, rule: str, target: Subject) -> bool:
    """`call.allows`, asked once for targets that are alike."""
    answers: dict[Any, bool] = call.__dict__.setdefault("rule_answers", {})
    key = (rule, *target.items())
    if key not in answers:
        answers[key] = call.allows(rule, target)
    return answers[key]


# --- mutations ----------------------------------------------------------------------------------------------------------


def sent(body: Schema) -> dict[str, Any]:
    """What the request said, by the names on the wire."""
    found: dict[str, Any] = msgspec.to_builtins(body)
    return found


def owner(call: Call, body: Any) -> str:
    """Whose a new object will be. Raises `BadRequest` when two fields name two projects, or nothing names one."""
    named = {p for p in (body.project_id, body.tenant_id) if isinstance(p, str)}
    if len(named) > 1:
        raise BadRequest("'project_id' and 'tenant_id' do not match")
    project = named.pop() if named else call.actor.project_id
    if project != call.actor.project_id and not call.actor.is_admin:
        raise BadRequest(
            "Specifying 'project_id' or 'tenant_id' other than the authenticated project in request requires admin "
            "privileges"
        )
    if project is None:
        raise BadRequest("Running without keystone AuthN requires that tenant_id is specified")
    return project


def enforce(call: Call, kind: Kind, action: str, body: Schema, target: Mapping[str, Any]) -> None:
    """The rule of `create` or `update` and the rules about the attributes that the request sets."""
    said = sent(body)
    full = Target(None, **{**said, **target})
    call.enforce(f"{action}_{kind.name}", full)
    for attribute, rule in rules.of_attributes(f"{action}_{kind.name}").items():
        if attribute in said:
            default = kind.defaults.get(attribute, UNSET)
            if action == "update" or default is UNSET or said[attribute] != default:
                call.enforce(rule, full)
        else:
            parent, _, child = attribute.partition(":")
            inner = said.get(parent)
            if any(isinstance(i, dict) and child in i for i in (inner if isinstance(inner, list) else [inner])):
                call.enforce(rule, full)


def added(call: Call, kind: Kind, row: t.Standard) -> None:
    """Keep a new row, with its place in the change log."""
    call.db.add(row)
    call.db.flush()
    work.of(call).record("create", (kind.change, row.id), row.project_id, after=picture(row))


def fresh(call: Call, kind: Kind, body: OwnedIn, **values: Any) -> Any:
    """A new row of this kind with its standard attributes."""
    assert issubclass(kind.table, t.Standard)
    return kind.table(
        id=call.new_id(),
        project_id=owner(call, body),
        name=getattr(body, "name", ""),
        description=body.description or "",
        created_at=call.now,
        updated_at=call.now,
        revision_number=0,
        **values,
    )


def changed(call: Call, kind: Kind, row: t.Standard, values: Mapping[str, Any]) -> None:
    """Write these values into the row, with a new revision and a line in the change log."""
    before = picture(row)
    for name, value in values.items():
        setattr(row, name, value)
    touch(row, call.now)
    call.db.flush()
    work.of(call).record("update", (kind.change, row.id), row.project_id, before=before, after=picture(row))


def touch(row: t.Standard, now: float) -> None:
    row.revision_number += 1
    row.updated_at = now


def removed(w: work.Work, change: str, row: t.Standard) -> None:
    """Take the row away, with what hangs on its id, and write it into the change log."""
    w.record("delete", (change, row.id), row.project_id, before=picture(row))
    w.db.execute(delete(t.TagRow).where(t.TagRow.resource_id == row.id))
    w.db.execute(delete(t.RbacRow).where(t.RbacRow.object_id == row.id))
    w.db.delete(row)
    w.db.flush()


def given(body: Schema, *names: str) -> dict[str, Any]:
    """Those of the fields that the request has, `None` descriptions as empty."""
    found = {name: getattr(body, name) for name in names if getattr(body, name) is not UNSET}
    if "description" in found:
        found["description"] = found["description"] or ""
    return found


Made = Callable[[Call, Any], str]
"""Makes one object from one item of the request's body and gives its id."""


def bulk(kind: Kind, item: type[OwnedIn]) -> type[Schema]:
    """The body of a POST: one object under the singular root, or several under the plural one."""
    several = Annotated[list[item], Meta(min_length=1, max_length=MOST_IN_BULK)]  # type: ignore[valid-type]
    fields: list[Any] = [(kind.name, item | UnsetType, UNSET), (kind.plural, several | UnsetType, UNSET)]
    made = msgspec.defstruct(f"{item.__name__}Body", fields, bases=(Schema,), kw_only=True, module=__name__)
    return cast(type[Schema], made)


def items(kind: Kind, body: Any) -> list[Any]:
    one, several = getattr(body, kind.name), getattr(body, kind.plural)
    if (one is UNSET) == (several is UNSET):
        raise BadRequest(f"Resource body required: exactly one of '{kind.name}' and '{kind.plural}'.")
    return [one] if several is UNSET else list(several)


def create(kind: Kind, make: Made, target: Callable[[Call, Any], dict[str, Any]] | None = None) -> Callable[..., Any]:
    """The POST of a collection. `target(call, item)` says more about what the rules look at."""

    def do(call: Call, body: Any) -> Any:
        wanted, ids = items(kind, body), []
        for item in wanted:
            project = owner(call, item)
            more = target(call, item) if target else {}
            enforce(call, kind, "create", item, {**more, "project_id": project, "tenant_id": project})
            ids.append(make(call, item))
        rows = [shown(kind, call, id) for id in ids]
        return rows[0] if getattr(body, kind.name) is not UNSET else Page(rows, links=False)

    return do


def first(kind: Kind, target: Callable[[Call, Any], dict[str, Any]] | None = None) -> Callable[..., dict[str, Any]]:
    """The `about` of a POST: the first item; each is looked at again before it is made."""

    def about(call: Call, body: Any, **_: Any) -> dict[str, Any]:
        item = items(kind, body)[0]
        project = owner(call, item)
        more = target(call, item) if target else {}
        return {**sent(item), **more, "project_id": project, "tenant_id": project}

    return about
