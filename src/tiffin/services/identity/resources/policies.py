"""Policy documents that operators keep in identity. Nothing of ours reads them."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.bodies import refuse_nothing
from tiffin.services.identity.catalog_words import ADMIN, READ
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import AnyText
from tiffin.services.identity.tables import PolicyBlob

Blob = Annotated[str, Meta(max_length=500_000)]


class PolicyIn(Keeping, kw_only=True):
    blob: Blob
    type: AnyText


class PolicyUpdate(Keeping):
    blob: Blob | UnsetType = UNSET
    type: AnyText | UnsetType = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "type": row.type,
        "blob": row.blob,
        "links": {"self": f"{call.base_url}/v3/policies/{row.id}"},
    }


policies = Resource("policy", "policies", "/v3/policies", view)
about = targets.about("policy", PolicyBlob)


@policies.operation("POST", policy=("identity:create_policy", ADMIN), body=PolicyIn, event="create")
def create(call: Call, body: PolicyIn) -> PolicyBlob:
    row = PolicyBlob(
        id=new_id(call.cloud.world), type=body.type, blob=body.blob, extra=targets.clean(body.extra)
    )  # fmt: skip
    call.db.add(row)
    return row


@policies.operation("GET", policy=("identity:list_policies", READ))
def index(call: Call) -> Page:
    statement = narrow(call, select(*PolicyBlob.__table__.columns), {"type": PolicyBlob.type})
    return listing(call, statement, PolicyBlob.id)


@policies.operation("GET", "/{id}", policy=("identity:get_policy", READ), about=about)
def show(call: Call, id: str) -> PolicyBlob:
    return targets.found(call, "policy", PolicyBlob, id)


@policies.operation(
    "PATCH", "/{id}", policy=("identity:update_policy", ADMIN), body=PolicyUpdate, about=about, event="update"
)
def update(call: Call, id: str, body: PolicyUpdate) -> PolicyBlob:
    refuse_nothing(body, "policy")
    row = targets.found(call, "policy", PolicyBlob, id)
    row.type = row.type if body.type is UNSET else body.type
    row.blob = row.blob if body.blob is UNSET else body.blob
    targets.keep_extra(row, body.extra, "policy")
    return row


@policies.operation("DELETE", "/{id}", policy=("identity:delete_policy", ADMIN), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "policy", PolicyBlob, id))
