"""Identity providers: who outside vouches for users. Each has a domain in which they live."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.call import Call
from tiffin.core.changes import picture
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.core.sql import children
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import check_chosen_id, given, in_url, refuse_nothing
from tiffin.services.identity.federation_tables import IdentityProvider, RemoteId
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.domains import new_domain
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import Flag, IdText, LongString, truth

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"
# Keystone's schema says 64, into which the issuers of some providers do not fit; its column has 255
RemoteIds = Annotated[list[Annotated[str, Meta(max_length=255)]], Meta(max_length=1000)]
Minutes = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class ProviderUpdate(Schema):
    enabled: Flag | UnsetType = UNSET
    description: LongString | UnsetType | None = UNSET
    authorization_ttl: Minutes | UnsetType | None = UNSET
    remote_ids: RemoteIds | UnsetType | None = UNSET


class ProviderIn(ProviderUpdate):
    domain_id: IdText | None = None


def view(call: Call, row: Any) -> dict[str, Any]:
    here = f"{call.base_url}/v3/OS-FEDERATION/identity_providers/{in_url(row.id)}"
    one = isinstance(row, IdentityProvider)
    return {
        "id": row.id,
        "domain_id": row.domain_id,
        "enabled": row.enabled,
        "description": row.description,
        "authorization_ttl": row.authorization_ttl,
        "remote_ids": remote_ids(call.db, row.id) if one else sorted(r["remote_id"] for r in row.remote_ids),
        "links": {"self": here, "protocols": f"{here}/protocols"},
    }


def remote_ids(session: Session, idp_id: str) -> list[str]:
    """The names under which a provider presents itself, in order."""
    return sorted(session.scalars(select(RemoteId.remote_id).where(RemoteId.idp_id == idp_id)))


identity_providers = Resource(
    "identity_provider", "identity_providers", "/v3/OS-FEDERATION/identity_providers", view
)  # fmt: skip
about = targets.about("identity_provider", IdentityProvider)


@identity_providers.operation(
    "PUT", "/{id}", policy=("identity:create_identity_provider", ADMIN), body=ProviderIn, event="create", ok=201
)
def create(call: Call, id: str, body: ProviderIn) -> IdentityProvider:
    check_chosen_id(id, "identity_provider")
    if body.domain_id is not None and targets.find_domain(call.db, body.domain_id) is None:
        raise targets.missing("domain", body.domain_id)
    if call.db.get(IdentityProvider, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store identity_provider - Duplicate entry: {id}.")
    row = IdentityProvider(
        id=id, domain_id=body.domain_id or _own_domain(call, id), enabled=truth(body.enabled, False),
        description=given(body.description), authorization_ttl=given(body.authorization_ttl),
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    _present_as(call.db, id, body.remote_ids or [])
    return row


def _own_domain(call: Call, idp_id: str) -> str:
    """The id of a new domain for the users of a provider. It stays when the provider goes, as they do."""
    id = new_id(call.cloud.world)
    domain = new_domain(id, id, description=f"Users of the identity provider {idp_id}.")
    call.db.add(domain)
    call.db.flush()
    call.record("create", ("identity.domain", id), after=picture(domain))
    return id


def _present_as(session: Session, idp_id: str, names: list[str]) -> None:
    """Let a provider have exactly these names. Raises `BadRequest` for doubles, `Conflict` for those of another one."""
    if len(set(names)) != len(names):
        raise BadRequest("Invalid input for field/attribute remote_ids: each may be there only once.")
    taken = session.scalar(select(RemoteId.remote_id).where(RemoteId.remote_id.in_(names), RemoteId.idp_id != idp_id))
    if taken is not None:
        raise Conflict(f"Conflict occurred attempting to store identity_provider - Duplicate remote ID: {taken}.")
    kept = set(remote_ids(session, idp_id))
    for name in kept - set(names):
        session.delete(session.get_one(RemoteId, name))
    session.add_all(RemoteId(remote_id=name, idp_id=idp_id) for name in names if name not in kept)
    session.flush()


@identity_providers.operation("GET", policy=("identity:list_identity_providers", READ))
def index(call: Call) -> Page:
    names = select(RemoteId).where(RemoteId.idp_id == IdentityProvider.id).correlate(IdentityProvider)
    columns = (*IdentityProvider.__table__.columns, children(names, remote_id=RemoteId.remote_id).label("remote_ids"))
    known = {"id": IdentityProvider.id, "enabled": IdentityProvider.enabled}
    return listing(call, narrow(call, select(*columns), known), IdentityProvider.id)


@identity_providers.operation("GET", "/{id}", policy=("identity:get_identity_provider", READ), about=about)
def show(call: Call, id: str) -> IdentityProvider:
    return targets.found(call, "identity_provider", IdentityProvider, id)


@identity_providers.operation(
    "PATCH", "/{id}", policy=("identity:update_identity_provider", ADMIN), body=ProviderUpdate, about=about,
    event="update",
)  # fmt: skip
def update(call: Call, id: str, body: ProviderUpdate) -> IdentityProvider:
    refuse_nothing(body, "identity_provider")
    row = targets.found(call, "identity_provider", IdentityProvider, id)
    row.enabled = truth(body.enabled, row.enabled)
    if body.description is not UNSET:
        row.description = body.description
    if body.authorization_ttl is not UNSET:
        row.authorization_ttl = body.authorization_ttl
    if body.remote_ids is not UNSET:
        _present_as(call.db, id, body.remote_ids or [])
    touch(call.db)
    return row


@identity_providers.operation(
    "DELETE", "/{id}", policy=("identity:delete_identity_provider", ADMIN), about=about, event="delete"
)
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "identity_provider", IdentityProvider, id))
    touch(call.db)
