"""What may not be done by a token that somebody got by what a user lent to it."""

from __future__ import annotations

from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.services.identity.claims import PRIMARY


def refuse_delegated(call: Call, doing: str) -> None:
    """Raises `Forbidden` unless the user itself has logged in, be it by a trust, or by an application credential that is
    unrestricted: what was lent must not be used to lend more, or to lend it for longer."""
    lent = set(call.actor.methods) - PRIMARY
    credential = call.actor.token.get("application_credential")
    if lent == {"application_credential"} and credential and not credential["restricted"]:
        return
    if lent or not call.actor.methods:
        raise Forbidden(f"A token of a delegated credential cannot be used for {doing}.")
