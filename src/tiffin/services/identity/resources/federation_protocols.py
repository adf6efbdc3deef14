"""Federation protocols: how an identity provider speaks, and which mapping is for what it says."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bodies import check_chosen_id, given, in_url
from tiffin.services.identity.federation_tables import FederationProtocol, IdentityProvider, Mapping
from tiffin.services.identity.filters import listing
from tiffin.services.identity.resources.identity_providers import ADMIN, READ

MappingId = Annotated[str, Meta(min_length=1, max_length=64)]
Attribute = Annotated[str, Meta(max_length=64)]


class ProtocolIn(Schema, kw_only=True):
    mapping_id: MappingId
    remote_id_attribute: Attribute | UnsetType | None = UNSET


class ProtocolUpdate(Schema, kw_only=True):
    mapping_id: MappingId
    remote_id_attribute: Attribute | UnsetType = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    provider = f"{call.base_url}/v3/OS-FEDERATION/identity_providers/{in_url(row.idp_id)}"
    shown = {
        "id": row.id,
        "mapping_id": row.mapping_id,
        "links": {"self": f"{provider}/protocols/{in_url(row.id)}", "identity_provider": provider},
    }
    if isinstance(row, FederationProtocol):  # alone it is shown more briefly than in a list, as upstream
        return shown | ({"remote_id_attribute": row.remote_id_attribute} if row.remote_id_attribute else {})
    return shown | {"idp_id": row.idp_id, "remote_id_attribute": row.remote_id_attribute}


federation_protocols = Resource(
    "protocol", "protocols", "/v3/OS-FEDERATION/identity_providers/{idp_id}/protocols", view
)  # fmt: skip


def about(call: Call, idp_id: str, protocol_id: str, **_: Any) -> Target:
    return Target(call.db.get(FederationProtocol, (protocol_id, idp_id)))


def _found(call: Call, protocol_id: str) -> FederationProtocol:
    return targets.found(call, "federation protocol", FederationProtocol, protocol_id)


def _check_mapping(call: Call, mapping_id: str) -> None:
    if call.db.get(Mapping, mapping_id) is None:
        raise BadRequest(f"Invalid mapping id: there is no mapping {mapping_id}.")


@federation_protocols.operation(
    "PUT", "/{protocol_id}", policy=("identity:create_protocol", ADMIN), body=ProtocolIn, event="create", ok=201
)
def create(call: Call, idp_id: str, protocol_id: str, body: ProtocolIn) -> FederationProtocol:
    check_chosen_id(protocol_id, "protocol")
    _check_mapping(call, body.mapping_id)
    if call.db.get(IdentityProvider, idp_id) is None:
        raise targets.missing("identity_provider", idp_id)
    if call.db.get(FederationProtocol, (protocol_id, idp_id)) is not None:
        raise Conflict(f"Conflict occurred attempting to store federation_protocol - Duplicate entry: {protocol_id}.")
    row = FederationProtocol(
        id=protocol_id, idp_id=idp_id, mapping_id=body.mapping_id, remote_id_attribute=given(body.remote_id_attribute)
    )
    call.db.add(row)
    return row


@federation_protocols.operation("GET", policy=("identity:list_protocols", READ))
def index(call: Call, idp_id: str) -> Page:
    """Of an identity provider that does not exist there are none, as upstream."""
    statement = select(*FederationProtocol.__table__.columns).where(FederationProtocol.idp_id == idp_id)
    return listing(call, statement, FederationProtocol.id)


@federation_protocols.operation("GET", "/{protocol_id}", policy=("identity:get_protocol", READ), about=about)
def show(call: Call, idp_id: str, protocol_id: str) -> FederationProtocol:
    return _found(call, protocol_id)


@federation_protocols.operation(
    "PATCH", "/{protocol_id}", policy=("identity:update_protocol", ADMIN), body=ProtocolUpdate, about=about,
    event="update",
)  # fmt: skip
def update(call: Call, idp_id: str, protocol_id: str, body: ProtocolUpdate) -> FederationProtocol:
    _check_mapping(call, body.mapping_id)
    row = _found(call, protocol_id)
    row.mapping_id = body.mapping_id
    if body.remote_id_attribute is not UNSET:
        row.remote_id_attribute = body.remote_id_attribute
    return row


@federation_protocols.operation(
    "DELETE", "/{protocol_id}", policy=("identity:delete_protocol", ADMIN), about=about, event="delete"
)
def delete(call: Call, idp_id: str, protocol_id: str) -> None:
    call.db.delete(_found(call, protocol_id))
    touch(call.db)
