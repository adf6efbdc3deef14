"""Credentials: secrets of other kinds (EC2 keys, TOTP seeds, certificates) that are kept for a user, encrypted."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import targets
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText, NameText
from tiffin.services.identity.tables import Credential, Project, User

OWN = "user_id:%(target.credential.user_id)s"
READ = f"(rule:admin_required) or (role:reader and system_scope:all) or {OWN}"
WRITE = f"(rule:admin_required) or {OWN}"
MOST = 100
"""Credentials that one user may keep."""
Blob = Annotated[str, Meta(min_length=1, max_length=65535)]


class CredentialIn(Keeping, kw_only=True):
    blob: Blob
    type: NameText
    user_id: IdText | UnsetType = UNSET
    project_id: IdText | None = None


class CredentialUpdate(Keeping):
    blob: Blob | UnsetType = UNSET
    type: NameText | UnsetType = UNSET
    user_id: IdText | UnsetType = UNSET
    project_id: IdText | UnsetType | None = UNSET


def view(call: Call, row: Any) -> dict[str, Any]:
    return {
        **(row.extra or {}),
        "id": row.id,
        "user_id": row.user_id,
        "project_id": row.project_id,
        "type": row.type,
        "blob": call.cloud.secrets.decrypt(row.blob).decode(),
        "links": {"self": f"{call.base_url}/v3/credentials/{row.id}"},
    }


credentials = Resource("credential", "credentials", "/v3/credentials", view)
about = targets.about("credential", Credential)


def _about_new(call: Call, body: CredentialIn) -> Target:
    return Target(None, **{"target.credential.user_id": body.user_id or call.actor.user_id})


def _ec2_access(blob: str) -> str:
    """The access key inside an EC2 credential. Raises `BadRequest`."""
    try:
        found = msgspec.json.decode(blob)
    except (msgspec.DecodeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("access"), str):
        raise BadRequest("Invalid blob in credential: an ec2 credential needs a JSON object with access and secret.")
    return str(found["access"])


@credentials.operation("POST", policy=("identity:create_credential", WRITE), body=CredentialIn, about=_about_new,
                       event="create")  # fmt: skip
def create(call: Call, body: CredentialIn) -> Credential:
    user_id = body.user_id or call.actor.user_id
    if call.db.get(User, user_id) is None:
        raise BadRequest(f"Could not find user: {user_id}.")
    refuse_more(call, user_id)
    if body.project_id is not None:
        _check_project(call, body.project_id)
    if body.type == "ec2":
        if body.project_id is None:
            raise BadRequest("Invalid credential: an ec2 credential needs a project_id.")
        id = hashlib.sha256(_ec2_access(body.blob).encode()).hexdigest()
    else:
        id = new_id(call.cloud.world)
    if call.db.get(Credential, id) is not None:
        raise Conflict(f"Duplicate entry found with ID {id}.")
    row = Credential(
        id=id, user_id=user_id, project_id=body.project_id, type=body.type,
        blob=call.cloud.secrets.encrypt(body.blob.encode()), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    return row


def refuse_more(call: Call, user_id: str) -> None:
    """Raises `Forbidden` when the user keeps as many credentials as it may."""
    if len(call.db.scalars(select(Credential.id).where(Credential.user_id == user_id).limit(MOST)).all()) >= MOST:
        raise Forbidden(f"A user may keep at most {MOST} credentials.")


def _check_project(call: Call, project_id: str) -> None:
    if call.db.get(Project, project_id) is None:
        raise BadRequest(f"Could not find project: {project_id}.")


def _about_list(call: Call) -> Target:
    """Everybody may list their own."""
    return Target(None, **{"target.credential.user_id": call.param("user_id") or call.actor.user_id})


@credentials.operation("GET", policy=("identity:list_credentials", READ), about=_about_list)
def index(call: Call) -> Page:
    statement = select(*Credential.__table__.columns)
    if not call.allows("identity:list_credentials", {}):
        statement = statement.where(Credential.user_id == call.actor.user_id)
    known = {"user_id": Credential.user_id, "type": Credential.type}
    return listing(call, narrow(call, statement, known), Credential.id)


@credentials.operation("GET", "/{id}", policy=("identity:get_credential", READ), about=about)
def show(call: Call, id: str) -> Credential:
    return targets.found(call, "credential", Credential, id)


@credentials.operation("PATCH", "/{id}", policy=("identity:update_credential", WRITE), body=CredentialUpdate,
                       about=about, event="update")  # fmt: skip
def update(call: Call, id: str, body: CredentialUpdate) -> Credential:
    row = targets.found(call, "credential", Credential, id)
    if body.user_id is not UNSET:
        call.enforce("identity:update_credential", {"target.credential.user_id": body.user_id})
        if call.db.get(User, body.user_id) is None:
            raise BadRequest(f"Could not find user: {body.user_id}.")
        row.user_id = body.user_id
    if body.project_id is not UNSET:
        if body.project_id is not None:
            _check_project(call, body.project_id)
        row.project_id = body.project_id
    row.type = row.type if body.type is UNSET else body.type
    if row.type == "ec2":
        _ec2_access(call.cloud.secrets.decrypt(row.blob).decode() if body.blob is UNSET else body.blob)
    if body.blob is not UNSET:
        row.blob = call.cloud.secrets.encrypt(body.blob.encode())
    targets.keep_extra(row, body.extra, "credential")
    return row


@credentials.operation("DELETE", "/{id}", policy=("identity:delete_credential", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(targets.found(call, "credential", Credential, id))
