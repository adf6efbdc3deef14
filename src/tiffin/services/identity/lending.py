"""What may not be done with what was lent: a token that its user has not proved to be itself for must not make or read keys
that outlive it."""

from __future__ import annotations

from sqlalchemy import delete, exists
from sqlalchemy.orm import Session

from tiffin.core.actor import Actor
from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.services.identity.authorization import PROJECT
from tiffin.services.identity.claims import PRIMARY
from tiffin.services.identity.tables import AccessRule, ApplicationCredential, Assignment


def is_lent(actor: Actor) -> bool:
    """Whether the actor's token is lent: by a trust, an application credential, an access token, an EC2 key."""
    return "trust_id" in actor.token or not actor.methods or not PRIMARY.issuperset(actor.methods)


def refuse_lent(call: Call, what: str) -> None:
    """Raises `Forbidden` for a lent token."""
    if is_lent(call.actor):
        raise Forbidden(f"{what} cannot be managed by a token that was lent: log in by a password or a token of it.")


def refuse_restricted(call: Call) -> None:
    """Raises `Forbidden` when the token comes from an application credential that may not make or remove others."""
    credential = call.actor.token.get("application_credential")
    if credential and credential["restricted"]:
        raise Forbidden(
            "This application credential is restricted: it may not manage application credentials or trusts."
        )


def refuse_lent_otherwise(call: Call) -> None:
    """Raises `Forbidden` for a lent token unless an application credential lends it."""
    if is_lent(call.actor) and "application_credential" not in call.actor.methods:
        raise Forbidden("Application credentials cannot be managed by a token that was lent by other means than one of them.")


def forget_of_user(session: Session, user_id: str) -> None:
    """A user who was disabled lends nothing any more, and not again when it is enabled."""
    session.execute(delete(ApplicationCredential).where(ApplicationCredential.user_id == user_id))
    session.execute(delete(AccessRule).where(AccessRule.user_id == user_id))


def forget_of_role(session: Session, role_id: str) -> None:
    """Before a role is deleted: who has it on a project lends nothing of that project any more."""
    held = exists().where(
        Assignment.role_id == role_id, Assignment.scope == PROJECT,
        Assignment.user_id == ApplicationCredential.user_id, Assignment.scope_id == ApplicationCredential.project_id,
    )  # fmt: skip
    session.execute(delete(ApplicationCredential).where(held).execution_options(synchronize_session=False))
