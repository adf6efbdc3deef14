"""What may not be done with what was lent: a token that its user has not proved to be itself for must not make or read keys
that outlive it."""

from __future__ import annotations

from tiffin.core.actor import Actor
from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.services.identity.claims import PRIMARY


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
