"""Whose thing a request is about, in the words of identity's policy: `target.user.domain_id` and its like.

What does not exist has no words, so that only who may see everything learns that it is missing; the others are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import msgspec
from msgspec import UNSET
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.tables import Table
from tiffin.services.identity.tables import Group, Project, Role, User

T = TypeVar("T", bound=Table)
RESERVED = ("id", "links")
WORDS = ("id", "name", "domain_id", "user_id", "project_id")


def missing(kind: str, id: str) -> NotFound:
    return NotFound(f"Could not find {kind}: {id[:64]}.")


def words(kind: str, row: Any) -> dict[str, Any]:
    """A row's attributes as policy names them."""
    return {f"target.{kind}.{word}": getattr(row, word) for word in WORDS if hasattr(row, word)}


def about(kind: str, table: type[Table]) -> Callable[..., Target]:
    """A function that finds the row of an operation on `{id}`; kept as `call.subject.row`, None when there is none."""

    def find(call: Call, id: str, **_: Any) -> Target:
        row = call.db.get(table, id)
        return Target(row, **words(kind, row)) if row is not None else Target(None)

    return find


def find_domain(session: Session, id: str) -> Project | None:
    """A project that is a domain."""
    found = session.get(Project, id)
    return found if found is not None and found.is_domain else None


def of_path(call: Call, **ids: str) -> Target:
    """The target of an operation on several things, by the names of the path's fields: user, group, project, domain,
    role. `call.subject` then holds the rows, None for what is missing."""
    tables: dict[str, Any] = {"user": User, "group": Group, "role": Role, "project": Project}
    target = Target(None)
    rows: dict[str, Any] = {}
    for field, id in ids.items():
        kind = field.removesuffix("_id")
        row = find_domain(call.db, id) if kind == "domain" else call.db.get(tables[kind], id)
        rows[kind] = row
        target[field] = id
        if row is not None:
            target.update(words(kind, row))
    target.row = rows
    return target


def found(call: Call, kind: str, table: type[T], id: str) -> T:
    """The row that `about` found. Raises `NotFound`."""
    row = call.subject.row
    if not isinstance(row, table):
        raise missing(kind, id)
    return row


def needed(call: Call, kind: str, id: str) -> Any:
    """One of the rows that `of_path` found. Raises `NotFound`."""
    row = call.subject.row[kind]
    if row is None:
        raise missing(kind, id)
    return row


def keep_extra(row: Any, extra: dict[str, Any], kind: str) -> None:
    """Add what the body says beyond the known fields. Raises `BadRequest` when that would change the id."""
    if extra.get("id", row.id) != row.id:
        raise BadRequest(f"Cannot change {kind} ID")
    row.extra = {**(row.extra or {}), **{k: v for k, v in extra.items() if k not in RESERVED}}


def clean(extra: dict[str, Any]) -> dict[str, Any]:
    """The unknown fields of a new resource's body, without those that only we may say."""
    return {k: v for k, v in extra.items() if k not in RESERVED}


def merge_options(old: dict[str, Any], new: dict[str, Any], known: dict[str, type]) -> dict[str, Any]:
    """Options after an update; None takes one away. Raises `BadRequest` for an unknown name or a wrong type."""
    for name, value in new.items():
        if name not in known:
            raise BadRequest(f"Invalid input for field/attribute options: {name[:64]!r} is none of {sorted(known)}.")
        if value is not None and type(value) is not known[name]:
            raise BadRequest(f"Invalid input for field/attribute options.{name}: expected {known[name].__name__}.")
    return {k: v for k, v in {**old, **new}.items() if v is not None}


IMMUTABLE: dict[str, type] = {"immutable": bool}


def only_options(body: Any) -> Any:
    """The options of an update that says nothing else; None otherwise."""
    fields = msgspec.structs.asdict(body)
    said = {name for name, value in fields.items() if value is not UNSET and (name != "extra" or value)}
    return body.options if said == {"options"} else None


def refuse_immutable(row: Any, kind: str, options: Any = None) -> None:
    """Raises `Forbidden` for what is immutable, unless all that `options` does is to lift this."""
    if row.options.get("immutable") and not (
        isinstance(options, dict) and options.get("immutable", True) in (False, None)
    ):
        raise Forbidden(f"Cannot change or delete immutable {kind} {row.id}. Set its option immutable to false first.")
