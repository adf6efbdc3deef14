"""Traits: the words for what providers are good at."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import delete as delete_rows
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.services.placement import names, query
from tiffin.services.placement.dialect import fresh, located
from tiffin.services.placement.providers import ANY
from tiffin.services.placement.tables import CustomName, ProviderTrait

traits = Resource("trait", "traits", "/traits")


@traits.operation("GET", policy=("placement:traits:list", ANY), since=(1, 6))
def index(call: Call) -> dict[str, Any]:
    query.check_keys(call, {"name": (1, 6), "associated": (1, 6)})
    fresh(call)
    found = [*names.standard("trait"), *names.custom(call.db, "trait")]
    if (wanted := call.param("name")) is not None:
        found = _named(found, wanted)
    if (associated := call.param("associated")) is not None:
        if associated.lower() not in ("true", "false"):
            raise query.bad(f"associated is true or false, not {associated[:40]!r}.")
        used = set(call.db.scalars(select(ProviderTrait.trait).distinct()))
        found = [name for name in found if (name in used) is (associated.lower() == "true")]
    return {"traits": found}


def _named(found: list[str], wanted: str) -> list[str]:
    kind, _, what = wanted.partition(":")
    if kind == "startswith" and what:
        return [name for name in found if name.startswith(what)]
    if kind == "in" and what:
        some = set(what.split(","))
        return [name for name in found if name in some]
    raise query.bad("name is in:NAME,NAME or startswith:PREFIX.")


@traits.operation("GET", "/{name}", policy=("placement:traits:show", ANY), since=(1, 6), ok=204)
def show(call: Call, name: str) -> None:
    if not names.exists(call.db, "trait", name):
        raise NotFound(f"No such trait(s): {name[:255]}.")
    fresh(call)


@traits.operation("PUT", "/{name}", policy=("placement:traits:update", ANY), event="create", since=(1, 6))
def create(call: Call, name: str) -> Answer:
    if not re.fullmatch(names.CUSTOM, name):
        raise BadRequest(f"The trait {name[:255]!r} is invalid: it is CUSTOM_ and then A to Z, 0 to 9 or _.")
    new = not names.is_declared(call.db, "trait", name)
    if new:
        call.db.add(CustomName(kind="trait", name=name, created_at=call.now))
    located(call, f"/traits/{name}")
    fresh(call)
    return Answer(status=201 if new else 204)


@traits.operation("DELETE", "/{name}", policy=("placement:traits:delete", ANY), event="delete", since=(1, 6))
def delete(call: Call, name: str) -> None:
    if names.is_standard("trait", name):
        raise BadRequest(f"The standard trait {name} cannot be deleted.")
    if not names.is_declared(call.db, "trait", name):
        raise NotFound(f"No such trait(s): {name[:255]}.")
    if call.db.scalar(select(ProviderTrait.provider_id).where(ProviderTrait.trait == name).limit(1)):
        raise Conflict(f"The trait {name} is in use by a resource provider.")
    call.db.execute(delete_rows(CustomName).where(CustomName.kind == "trait", CustomName.name == name))
