"""Access rules: which requests an application credential may be used for. They belong to a user, who makes them together
with an application credential."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText
from tiffin.services.identity.tables import AccessRule, ApplicationCredentialAccessRule

READ = "(role:reader and system_scope:all) or user_id:%(target.user.id)s"
WRITE = "(role:admin and system_scope:all) or user_id:%(target.user.id)s"


class AccessRuleIn(Schema):
    id: IdText | None = None
    service: IdText | None = None
    path: Annotated[str, Meta(min_length=1, max_length=225, pattern="^/")] | None = None
    method: Literal["DELETE", "GET", "HEAD", "PATCH", "POST", "PUT"] | None = None


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "service": row.service,
        "path": row.path,
        "method": row.method,
        "links": {"self": f"{call.base_url}/v3/users/{row.user_id}/access_rules/{row.id}"},
    }


access_rules = Resource("access_rule", "access_rules", "/v3/users/{user_id}/access_rules", view)


def about(call: Call, user_id: str, **_: Any) -> Target:
    return targets.of_path(call, user_id=user_id)


def have_access_rule(call: Call, user_id: str, body: AccessRuleIn) -> AccessRule:
    """The user's rule that is named by its id, or that says this; made when there is none. Raises `NotFound` for an id that
    is none of the user's, and `BadRequest` when something is missing."""
    if body.id is not None:
        row = call.db.get(AccessRule, body.id)
        if row is None or row.user_id != user_id:
            raise targets.missing("Access Rule", body.id)
        return row
    if body.service is None or body.path is None or body.method is None:
        raise BadRequest(
            "Invalid input for field/attribute access_rules: service, path and method, or an id, are required."
        )
    same = select(AccessRule).where(
        AccessRule.user_id == user_id, AccessRule.service == body.service, AccessRule.path == body.path,
        AccessRule.method == body.method,
    )  # fmt: skip
    row = call.db.scalar(same)
    if row is None:
        row = AccessRule(
            id=new_id(call.cloud.world), user_id=user_id, service=body.service, path=body.path, method=body.method
        )
        call.db.add(row)
        call.db.flush()
    return row


def _find(call: Call, user_id: str, id: str) -> AccessRule:
    targets.needed(call, "user", user_id)
    row = call.db.get(AccessRule, id)
    if row is None or row.user_id != user_id:
        raise targets.missing("Access Rule", id)
    return row


@access_rules.operation("GET", policy=("identity:list_access_rules", READ), about=about)
def index(call: Call, user_id: str) -> Page:
    targets.needed(call, "user", user_id)
    statement = select(*AccessRule.__table__.columns).where(AccessRule.user_id == user_id)
    known = {"service": AccessRule.service, "path": AccessRule.path, "method": AccessRule.method}
    return listing(call, narrow(call, statement, known), AccessRule.id)


@access_rules.operation("GET", "/{id}", policy=("identity:get_access_rule", READ), about=about)
def show(call: Call, user_id: str, id: str) -> AccessRule:
    return _find(call, user_id, id)


@access_rules.operation("DELETE", "/{id}", policy=("identity:delete_access_rule", WRITE), about=about, event="delete")
def delete(call: Call, user_id: str, id: str) -> None:
    row = _find(call, user_id, id)
    used = select(ApplicationCredentialAccessRule.access_rule_id).where(
        ApplicationCredentialAccessRule.access_rule_id == id
    )
    if call.db.scalar(used):
        raise Forbidden(f"Access rule {id} is in use by an application credential.")
    call.db.delete(row)
