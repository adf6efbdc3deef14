"""Four people, one of whom lends what she has by trusts."""

from __future__ import annotations

from typing import Any

from api.identity.conftest import IdentityCloud, People
from tiffin.core.http.local import Reply


def lend(cloud: IdentityCloud, people: People, token: str | None = None, **fields: Any) -> Reply:
    body = {"trustor_user_id": people.ann, "trustee_user_id": people.bob, "project_id": people.project,
            "impersonation": True, "roles": [{"name": "reader"}], **fields}  # fmt: skip
    return cloud.do("POST", "/OS-TRUST/trusts", {"trust": body}, token=token or people.token)


def lent(cloud: IdentityCloud, people: People, token: str | None = None, **fields: Any) -> Any:
    reply = lend(cloud, people, token, **fields)
    assert reply.status == 201, reply.body
    return reply.json["trust"]


def borrow(cloud: IdentityCloud, trust: dict[str, Any], user: str = "bob") -> Reply:
    return cloud.login(user, "pw", {"OS-TRUST:trust": {"id": trust["id"]}})


def borrowed(cloud: IdentityCloud, trust: dict[str, Any], user: str = "bob") -> str:
    reply = borrow(cloud, trust, user)
    assert reply.status == 201, reply.body
    return reply.headers["x-subject-token"]


def remove_role(cloud: IdentityCloud, people: People) -> None:
    assert cloud.do("DELETE", f"/projects/{people.project}/users/{people.ann}/roles/{cloud.role('manager')}").status == 204
