"""EC2 keys: an access key and a secret that a user draws for one project. They are credentials of the type `ec2`."""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import NotFound, Unauthorized
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import lending, targets
from tiffin.services.identity.resources.credentials import EC2, ec2_id, refuse_more
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText
from tiffin.services.identity.tables import Credential, Project

OWN = "user_id:%(target.credential.user_id)s"
READ = f"(rule:admin_required) or (role:reader and system_scope:all) or {OWN}"
LIST = "(rule:admin_required) or (role:reader and system_scope:all) or rule:owner"
WRITE = f"(rule:admin_required) or (role:member and {OWN})"


class Ec2CredentialIn(Schema, kw_only=True):
    _unknown_ = "ignore"
    tenant_id: IdText


def view(call: Call, row: Any) -> dict[str, Any]:
    kept = msgspec.json.decode(call.cloud.secrets.decrypt(row.blob))
    return {
        "user_id": row.user_id,
        "tenant_id": row.project_id,
        "access": kept["access"],
        "secret": kept.get("secret"),
        "trust_id": kept.get("trust_id"),
        "links": {"self": f"{call.base_url}/v3/users/{row.user_id}/credentials/OS-EC2/{kept['access']}"},
    }


ec2_credentials = Resource("credential", "credentials", "/v3/users/{user_id}/credentials/OS-EC2", view)


def _about_user(call: Call, user_id: str, **_: Any) -> Target:
    target = targets.of_path(call, user_id=user_id)
    target["target.credential.user_id"] = user_id
    return target


def _about_key(call: Call, user_id: str, access: str) -> Target:
    """What does not exist is 404 for whoever it is said to belong to; one of another user is not to be known."""
    row = call.db.get(Credential, ec2_id(access))
    if row is None:
        return Target(None, **{"target.credential.user_id": user_id})
    return Target(row, **targets.words("credential", row))


def _found(call: Call, user_id: str, access: str) -> Credential:
    lending.refuse_lent(call, "EC2 credentials")
    row = call.subject.row
    if not isinstance(row, Credential) or row.user_id != user_id:
        raise NotFound(f"Could not find credential: {access[:64]}.")
    if row.type != EC2:
        raise Unauthorized("EC2 access key not found.")
    return row


@ec2_credentials.operation(
    "POST", policy=("identity:ec2_create_credential", WRITE), body=Ec2CredentialIn, root="", about=_about_user
)
def create(call: Call, user_id: str, body: Ec2CredentialIn) -> Answer:
    lending.refuse_lent(call, "EC2 credentials")
    targets.needed(call, "user", user_id)
    project = call.db.get(Project, body.tenant_id)
    if project is None:
        raise targets.missing("project", body.tenant_id)
    refuse_more(call, user_id)
    keys = {"access": new_id(call.cloud.world), "secret": call.cloud.world.hex(16), "trust_id": None}
    row = Credential(
        id=ec2_id(str(keys["access"])), user_id=user_id, project_id=project.id, type=EC2,
        blob=call.cloud.secrets.encrypt(msgspec.json.encode(keys)), extra={},
    )  # fmt: skip
    call.db.add(row)
    call.db.flush()
    call.record("create", ("identity.credential", row.id))
    return Answer({"credential": view(call, row)}, 201)


@ec2_credentials.operation("GET", policy=("identity:ec2_list_credentials", LIST), about=_about_user)
def index(call: Call, user_id: str) -> Page:
    lending.refuse_lent(call, "EC2 credentials")
    targets.needed(call, "user", user_id)
    rows = call.db.execute(
        select(*Credential.__table__.columns)
        .where(Credential.user_id == user_id, Credential.type == EC2)
        .order_by(Credential.id)
    )
    return Page(list(rows))


@ec2_credentials.operation("GET", "/{access}", policy=("identity:ec2_get_credential", READ), about=_about_key)
def show(call: Call, user_id: str, access: str) -> Credential:
    return _found(call, user_id, access)


@ec2_credentials.operation(
    "DELETE", "/{access}", policy=("identity:ec2_delete_credential", WRITE), about=_about_key, event="delete"
)
def delete(call: Call, user_id: str, access: str) -> None:
    call.db.delete(_found(call, user_id, access))
