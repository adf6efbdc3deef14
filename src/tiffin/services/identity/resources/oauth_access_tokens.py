"""A user's access tokens of OAuth 1.0a: what has been granted to which consumer."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Unauthorized
from tiffin.core.resource import Page, Resource
from tiffin.services.identity import lending, targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import listing
from tiffin.services.identity.oauth_tables import AccessToken
from tiffin.services.identity.rules import time
from tiffin.services.identity.tables import Role

ADMIN = "rule:admin_required"


def view(call: Call, row: Any) -> dict[str, Any]:
    href = f"{call.base_url}/v3/users/{row.user_id}/OS-OAUTH1/access_tokens/{row.id}"
    return {
        "id": row.id,
        "consumer_id": row.consumer_id,
        "project_id": row.project_id,
        "authorizing_user_id": row.user_id,
        "expires_at": time(row.expires_at),
        "links": {"self": href, "roles": f"{href}/roles"},
    }


def role_view(call: Call, row: Any) -> dict[str, Any]:
    return {
        "id": row.id,
        "name": row.name,
        "domain_id": row.domain_id,
        "options": row.options,
        "links": {"self": f"{call.base_url}/v3/roles/{row.id}"},
    }


access_tokens = Resource("access_token", "access_tokens", "/v3/users/{user_id}/OS-OAUTH1/access_tokens", view)
access_token_roles = Resource("role", "roles", f"{access_tokens.path}/{{id}}/roles", role_view)


def _found(call: Call, user_id: str, id: str) -> AccessToken:
    lending.refuse_lent(call, "Access tokens")
    row = call.db.get(AccessToken, id)
    if row is None or row.user_id != user_id:
        raise targets.missing("access token", id)
    return row


@access_tokens.operation("GET", policy=("identity:list_access_tokens", ADMIN))
def index(call: Call, user_id: str) -> Page:
    lending.refuse_lent(call, "Access tokens")
    columns = [c for c in AccessToken.__table__.columns if c.name != "secret"]
    return listing(call, select(*columns).where(AccessToken.user_id == user_id), AccessToken.id)


@access_tokens.operation("GET", "/{id}", policy=("identity:get_access_token", ADMIN))
def show(call: Call, user_id: str, id: str) -> AccessToken:
    return _found(call, user_id, id)


@access_tokens.operation("DELETE", "/{id}", policy=("identity:delete_access_token", ADMIN), event="delete")
def remove(call: Call, user_id: str, id: str) -> None:
    call.db.delete(_owned(call, user_id, id))
    touch(call.db)


def _owned(call: Call, user_id: str, id: str) -> AccessToken:
    """Where upstream answers 401 for a token of somebody else."""
    row = call.db.get(AccessToken, id)
    if row is not None and row.user_id != user_id:
        raise Unauthorized("User IDs do not match")
    return _found(call, user_id, id)


@access_token_roles.operation("GET", policy=("identity:list_access_token_roles", ADMIN))
def list_roles(call: Call, user_id: str, id: str) -> Page:
    return Page(_roles(call, _found(call, user_id, id)))


@access_token_roles.operation("GET", "/{role_id}", policy=("identity:get_access_token_role", ADMIN))
def show_role(call: Call, user_id: str, id: str, role_id: str) -> Role:
    found = next((role for role in _roles(call, _owned(call, user_id, id)) if role.id == role_id), None)
    if found is None:
        raise targets.missing("role", role_id)
    return found


def _roles(call: Call, row: AccessToken) -> list[Role]:
    return list(call.db.scalars(select(Role).where(Role.id.in_(row.role_ids)).order_by(Role.name)))
