"""What tests of `[identity.passwords]` do all the time."""

from __future__ import annotations

from typing import Any

import msgspec

from api.identity.conftest import IdentityCloud
from tiffin.services.identity.settings import PasswordSettings

DAY = 86_400.0


def demand(cloud: IdentityCloud, **rules: Any) -> None:
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, passwords=PasswordSettings(**rules))


def make(cloud: IdentityCloud, password: str = "pw", **fields: Any) -> str:
    return str(cloud.make("user", "/users", name="ann", password=password, **fields)["id"])


def update(cloud: IdentityCloud, id: str, **fields: Any) -> Any:
    reply = cloud.do("PATCH", f"/users/{id}", {"user": fields})
    assert reply.status == 200, reply.body
    return reply.json["user"]


def change(cloud: IdentityCloud, id: str, old: str, new: str) -> int:
    body = {"user": {"original_password": old, "password": new}}
    return cloud.ask("POST", f"/identity/v3/users/{id}/password", token=None, json=body).status


def login(cloud: IdentityCloud, password: str = "pw") -> int:
    return cloud.login("ann", password).status


def expires(cloud: IdentityCloud, id: str) -> str | None:
    found: str | None = cloud.do("GET", f"/users/{id}").json["user"]["password_expires_at"]
    return found
