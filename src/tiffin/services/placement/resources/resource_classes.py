"""Resource classes: the names of what can be had."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select, update

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema
from tiffin.services.placement import names
from tiffin.services.placement.dialect import fresh, located
from tiffin.services.placement.names import CustomClassName
from tiffin.services.placement.providers import ANY
from tiffin.services.placement.tables import Allocation, CustomName, Inventory

KIND = "placement.resource_class"


class ClassIn(Schema):
    name: CustomClassName


resource_classes = Resource("resource_class", "resource_classes", "/resource_classes")
UPDATE = ("placement:resource_classes:update", ANY)


def view(call: Call, name: str) -> dict[str, Any]:
    return {"name": name, "links": [{"rel": "self", "href": f"{call.service.prefix}/resource_classes/{name}"}]}


def must_exist(call: Call, name: str) -> None:
    if not names.exists(call.db, "resource_class", name):
        raise NotFound(f"No such resource class {name[:255]}.")


def must_be_custom(call: Call, name: str) -> None:
    must_exist(call, name)
    if names.is_standard("resource_class", name):
        raise BadRequest(f"Cannot update or delete the standard resource class {name}.")


def declare(call: Call, name: str) -> None:
    call.db.add(CustomName(kind="resource_class", name=name, created_at=call.now))
    located(call, f"/resource_classes/{name}")


@resource_classes.operation("GET", policy=("placement:resource_classes:list", ANY), since=(1, 2))
def index(call: Call) -> dict[str, Any]:
    fresh(call)
    every = [*names.standard("resource_class"), *names.custom(call.db, "resource_class")]
    return {"resource_classes": [view(call, name) for name in every]}


@resource_classes.operation("GET", "/{name}", policy=("placement:resource_classes:show", ANY), since=(1, 2))
def show(call: Call, name: str) -> dict[str, Any]:
    must_exist(call, name)
    fresh(call)
    return view(call, name)


@resource_classes.operation(
    "POST", policy=("placement:resource_classes:create", ANY), body=ClassIn, root="", since=(1, 2)
)
def create(call: Call, body: ClassIn) -> None:
    if names.is_declared(call.db, "resource_class", body.name):
        raise Conflict(f"There is a resource class {body.name} already.")
    declare(call, body.name)
    call.record("create", (KIND, body.name))


@resource_classes.operation(
    "PUT", "/{name}", policy=UPDATE, body=ClassIn, root="", event="update", since=(1, 2), until=(1, 7)
)
def rename(call: Call, name: str, body: ClassIn) -> dict[str, Any]:
    must_be_custom(call, name)
    if body.name != name and names.is_declared(call.db, "resource_class", body.name):
        raise Conflict(f"There is a resource class {body.name} already.")
    for column in (Inventory.resource_class, Allocation.resource_class):
        call.db.execute(update(column.class_).where(column == name).values(resource_class=body.name))
    mine = (CustomName.kind == "resource_class", CustomName.name == name)
    call.db.execute(update(CustomName).where(*mine).values(name=body.name))
    return view(call, body.name)


@resource_classes.operation("PUT", "/{name}", policy=UPDATE, event="create", since=(1, 7))
def ensure(call: Call, name: str) -> Answer:
    if not re.fullmatch(names.CUSTOM, name):
        raise BadRequest(f"The resource class {name[:255]!r} is invalid: it is CUSTOM_ and then A to Z, 0 to 9 or _.")
    if names.is_declared(call.db, "resource_class", name):
        return Answer(status=204)
    declare(call, name)
    return Answer(status=201)


@resource_classes.operation(
    "DELETE", "/{name}", policy=("placement:resource_classes:delete", ANY), event="delete", since=(1, 2)
)
def delete(call: Call, name: str) -> None:
    must_be_custom(call, name)
    uses = select(Inventory.provider_id).where(Inventory.resource_class == name).limit(1)
    held = select(Allocation.provider_id).where(Allocation.resource_class == name).limit(1)
    if call.db.scalar(uses) or call.db.scalar(held):
        raise Conflict(f"The resource class {name} is in use in an inventory.")
    call.db.execute(delete_rows(CustomName).where(CustomName.kind == "resource_class", CustomName.name == name))
