"""Consumers of OAuth 1.0a: programs that may ask users for some of their roles."""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.filters import listing
from tiffin.services.identity.oauth_tables import Consumer
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import LongString

ADMIN = "rule:admin_required"
READ = "rule:admin_required or (role:reader and system_scope:all)"


class ConsumerIn(Keeping, kw_only=True):
    description: LongString | None = None


class ConsumerUpdate(Keeping):
    description: LongString | UnsetType | None = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "description": row.description,
        "links": {"self": f"{call.base_url}/v3/OS-OAUTH1/consumers/{row.id}"},
    }


consumers = Resource("consumer", "consumers", "/v3/OS-OAUTH1/consumers", view)
about = targets.about("consumer", Consumer)


def _normal(extra: dict[str, Any]) -> dict[str, Any]:
    """Further fields as upstream names them."""
    return {name.replace(":", "_").replace("-", "_"): value for name, value in extra.items() if name != "secret"}


@consumers.operation("POST", policy=("identity:create_consumer", ADMIN), body=ConsumerIn)
def create(call: Call, body: ConsumerIn) -> Answer:
    secret = call.cloud.world.hex(16)
    row = Consumer(
        id=new_id(call.cloud.world), description=body.description, extra=targets.clean(_normal(body.extra)),
        secret=call.cloud.secrets.encrypt(secret.encode()),
    )  # fmt: skip
    call.db.add(row)
    call.record("create", ("identity.consumer", row.id))
    return Answer({"consumer": {**view(call, row), "secret": secret}}, 201)


@consumers.operation("GET", policy=("identity:list_consumers", READ))
def index(call: Call) -> Page:
    return listing(call, select(Consumer.id, Consumer.description, Consumer.extra), Consumer.id)


@consumers.operation("GET", "/{id}", policy=("identity:get_consumer", READ), about=about)
def show(call: Call, id: str) -> Consumer:
    return targets.found(call, "consumer", Consumer, id)


@consumers.operation("PATCH", "/{id}", policy=("identity:update_consumer", ADMIN), body=ConsumerUpdate, about=about,
                     event="update")  # fmt: skip
def update(call: Call, id: str, body: ConsumerUpdate) -> Consumer:
    row = targets.found(call, "consumer", Consumer, id)
    if body.description is UNSET and not body.extra:
        raise BadRequest("Invalid input for field/attribute consumer: it says nothing to change.")
    if "secret" in body.extra:
        raise BadRequest("Invalid input for field/attribute consumer: its secret cannot be changed.")
    if body.description is not UNSET:
        row.description = body.description
    targets.keep_extra(row, _normal(body.extra), "consumer")
    return row


@consumers.operation("DELETE", "/{id}", policy=("identity:delete_consumer", ADMIN), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "consumer", Consumer, id))
    touch(call.db)
