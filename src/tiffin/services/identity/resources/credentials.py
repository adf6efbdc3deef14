"""Credentials: secrets of other kinds (EC2 keys, TOTP seeds, certificates) that are kept for a user, encrypted. A token that
was lent has nothing to do with them: they outlive it, and some are keys to all that their user may."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import false, func, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Keeping
from tiffin.services.identity import lending, targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.rules import new_id
from tiffin.services.identity.schemas import IdText, NameText
from tiffin.services.identity.tables import Credential, Project, User

OWN = "user_id:%(target.credential.user_id)s"
READ = f"(rule:admin_required) or (role:reader and system_scope:all) or {OWN}"
WRITE = f"(rule:admin_required) or {OWN}"
EC2 = "ec2"
KEPT_IN_EC2 = ("trust_id", "app_cred_id", "access_token_id", "access_id")
"""What the blob of an EC2 key says of what it was lent by, once and for all."""
Blob = Annotated[str, Meta(max_length=65535)]


class CredentialIn(Keeping, kw_only=True):
    blob: Blob
    type: NameText
    user_id: IdText | UnsetType = UNSET
    project_id: IdText | None = None


class CredentialUpdate(Keeping):
    """Only the blob may change. The others may be said again, as the openstack client does."""

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


def ec2_id(access: str) -> str:
    """The id of an EC2 key's row."""
    return hashlib.sha256(access.encode("utf-8", "replace")).hexdigest()


def refuse_more(call: Call, user_id: str) -> None:
    """Raises `Forbidden` when the user keeps as many credentials as it may."""
    most = call.part(Identity).settings.credentials.user_limit
    if most >= 0 and call.db.scalars(select(func.count()).where(Credential.user_id == user_id)).one() >= most:
        raise Forbidden(f"Unable to create additional credentials, maximum of {most} already exceeded for user.")


def _ec2_blob(blob: str) -> dict[str, Any]:
    """What an EC2 key says. Raises `BadRequest`."""
    try:
        found = msgspec.json.decode(blob)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if not isinstance(found, dict) or not isinstance(found.get("access"), str):
        raise BadRequest("Invalid blob in credential: an ec2 credential needs a JSON object with access and secret.")
    return found


def _about_new(call: Call, body: CredentialIn) -> Target:
    return Target(None, **{"target.credential.user_id": body.user_id or call.actor.user_id})


@credentials.operation("POST", policy=("identity:create_credential", WRITE), body=CredentialIn, about=_about_new,
                       event="create")  # fmt: skip
def create(call: Call, body: CredentialIn) -> Credential:
    lending.refuse_lent(call, "Credentials")
    user_id = _owner(call, body)
    refuse_more(call, user_id)
    if body.project_id is not None and call.db.get(Project, body.project_id) is None:
        raise BadRequest(f"Could not find project: {body.project_id}.")
    id = new_id(call.cloud.world)
    if body.type.lower() == EC2:
        if body.project_id is None:
            raise BadRequest("Invalid credential: an ec2 credential needs a project_id.")
        id = ec2_id(str(_ec2_blob(body.blob)["access"]))
    if call.db.get(Credential, id) is not None:
        raise Conflict(f"Conflict occurred attempting to store credential - Duplicate entry found with ID {id}.")
    row = Credential(
        id=id, user_id=user_id, project_id=body.project_id, type=body.type,
        blob=call.cloud.secrets.encrypt(body.blob.encode()), extra=targets.clean(body.extra),
    )  # fmt: skip
    call.db.add(row)
    return row


def _owner(call: Call, body: CredentialIn) -> str:
    """Whose it shall be: one's own unless it says otherwise. Who speaks for the system must say."""
    if body.user_id is UNSET and call.actor.system_scope:
        raise BadRequest("Invalid input for field/attribute user_id: it is required with a token of the system.")
    user_id = body.user_id or call.actor.user_id
    if call.db.get(User, user_id) is None:
        raise BadRequest(f"Could not find user: {user_id}.")
    return user_id


def _about_list(call: Call) -> Target:
    """Everybody may list their own."""
    return Target(None, **{"target.credential.user_id": call.actor.user_id})


@credentials.operation("GET", policy=("identity:list_credentials", READ), about=_about_list)
def index(call: Call) -> Page:
    """Those that the rule of a single one lets through; an operator's own rule may speak of whose they are only."""
    statement = select(*Credential.__table__.columns)
    if lending.is_lent(call.actor):
        statement = statement.where(false())
    elif not call.allows("identity:get_credential", {}):
        statement = statement.where(Credential.user_id == call.actor.user_id)
    known = {"user_id": Credential.user_id, "type": Credential.type}
    return listing(call, narrow(call, statement, known), Credential.id)


def _own(call: Call, id: str) -> Credential:
    lending.refuse_lent(call, "Credentials")
    return targets.found(call, "credential", Credential, id)


@credentials.operation("GET", "/{id}", policy=("identity:get_credential", READ), about=about)
def show(call: Call, id: str) -> Credential:
    return _own(call, id)


@credentials.operation("PATCH", "/{id}", policy=("identity:update_credential", WRITE), body=CredentialUpdate,
                       about=about, event="update")  # fmt: skip
def update(call: Call, id: str, body: CredentialUpdate) -> Credential:
    row = _own(call, id)
    if not body.extra and all(getattr(body, name) is UNSET for name in ("blob", "type", "user_id", "project_id")):
        raise BadRequest("Invalid input for field/attribute credential: it says nothing to change.")
    for name in ("type", "user_id", "project_id"):
        if getattr(body, name) is not UNSET and getattr(body, name) != getattr(row, name):
            raise BadRequest(f"Invalid input for field/attribute {name}: it cannot be changed. Make another credential.")
    if body.blob is not UNSET:
        if row.type.lower() == EC2:
            _keep_lender(_ec2_blob(call.cloud.secrets.decrypt(row.blob).decode()), _ec2_blob(body.blob))
        row.blob = call.cloud.secrets.encrypt(body.blob.encode())
    targets.keep_extra(row, body.extra, "credential")
    return row


def _keep_lender(old: dict[str, Any], new: dict[str, Any]) -> None:
    """Raises `BadRequest` when the key would be lent by something else than before, or by nothing."""
    for name in KEPT_IN_EC2:
        if old.get(name) != new.get(name):
            raise BadRequest(f"{name} cannot be updated for credential")


@credentials.operation("DELETE", "/{id}", policy=("identity:delete_credential", WRITE), about=about, event="delete")
def delete(call: Call, id: str) -> None:
    call.db.delete(_own(call, id))
