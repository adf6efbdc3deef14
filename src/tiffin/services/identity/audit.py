"""Identity's words in audit events, and the record of each login."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import msgspec
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.audit import USER, Changed, Event, Taxonomy
from tiffin.core.tables import LOGIN
from tiffin.services.identity.claims import METHODS
from tiffin.services.identity.meaning import REFUSED, Meaning

if TYPE_CHECKING:
    from tiffin.core.call import Call
    from tiffin.services.identity.tables import User

ACCOUNT = "identity.user"
MORE = "factors"
REASONS = {
    "password": "The password is wrong, or nobody's.",
    "wrong": "The secret is wrong, or nobody's.",
    "locked": "Too many passwords, one after the other, were wrong.",
    "expired": "The password has expired and must be changed.",
    "disabled": "The user or its domain is disabled, or was idle for too long.",
    "scope": "The user may not have a token for what it asked.",
    MORE: "The user must prove more, and has got a receipt.",
    "refused": "The proof is not valid.",
}
"""What the words of outcomes.py mean, for auditors."""
GROUP = "data/security/group"
CREDENTIAL = "data/security/credential"


def _facts(change: Changed) -> dict[str, Any]:
    return change.after or change.before or {}


def _assignment(change: Changed) -> dict[str, Any]:
    facts, request = _facts(change), str((change.via or {}).get("request", ""))
    told: dict[str, Any] = {kind: facts[f"{kind}_id"] for kind in ("user", "group", "project", "domain", "role")
                            if f"{kind}_id" in facts}  # fmt: skip
    target = {"typeURI": USER, "id": told.get("user") or told.get("group")}
    return {**told, "inherited_to_projects": request.endswith("/inherited_to_projects"), "target": target}


def _membership(operation: str) -> Event:
    """A membership is told as an update of the group."""

    def tell(change: Changed) -> dict[str, Any]:
        return {"actor_id": _facts(change).get("user_id"), "actor_type": "user", "actor_operation": operation}

    return Event("group", "updated", GROUP, tell)


def _login(change: Changed) -> dict[str, Any]:
    reason = _facts(change).get("reason")
    return {"reason": {"reasonCode": "401", "reasonType": reason}} if reason else {}


TAXONOMY = Taxonomy(
    observer="service/security",
    targets={
        "user": "data/security/account/user",
        "consumer": "data/security/account",
        "access_token": CREDENTIAL,
        "request_token": CREDENTIAL,
        "application_credential": CREDENTIAL,
        **{name: f"data/security/{name}" for name in (
            "credential", "domain", "endpoint", "group", "policy", "project", "region", "role", "service", "trust",
        )},
    },
    names={
        "trust": "OS-TRUST:trust",
        "consumer": "OS-OAUTH1:consumer",
        "access_token": "OS-OAUTH1:access_token",
        "request_token": "OS-OAUTH1:request_token",
    },
    events={
        f"user.{LOGIN}": Event("", LOGIN, USER, _login, always_cadf=True),
        "role.grant": Event("role_assignment", "created", USER, _assignment, always_cadf=True),
        "role.revoke": Event("role_assignment", "deleted", USER, _assignment, always_cadf=True),
        "group.add_user": _membership("added"),
        "group.remove_user": _membership("removed"),
    },
)  # fmt: skip


# --- logins ---------------------------------------------------------------------------------------------------------------


def record_login(session: Session, call: Call, user: User, methods: Sequence[str], meaning: Meaning | None) -> None:
    """Append to the change log that `user` gets a token of this meaning. By its audit id what is done with the token can be
    led back to the login."""
    via, project_id = {**call.via, "user": user.name}, None
    if meaning is not None:
        via["token"] = meaning.claims.audit_ids[0]
        via |= {"domain_id": meaning.scope_domain.id} if meaning.scope_domain else {}
        via |= {"system_scope": "all"} if meaning.system else {}
        project_id = meaning.project.id if meaning.project else None
    origin = msgspec.structs.replace(call.origin, actor_id=user.id, project_id=project_id, via=via)
    changes.record(session, origin, LOGIN, (ACCOUNT, user.id), after={"outcome": "success", "methods": list(methods)})


def record_failure(
    session: Session, call: Call, user: User | None, reason: str, methods: Sequence[str], message: str
) -> None:
    """Append to the change log that a login was refused. `user` is who it was said to be, no actor yet, since it has proved
    nothing; the name of nobody is not kept: people type their passwords there."""
    via = {**call.via, "user": user.name} if user is not None else call.via
    origin = msgspec.structs.replace(call.origin, actor_id=None, project_id=None, via=via)
    after = {
        "outcome": "pending" if reason == MORE else "failure",
        "methods": [method for method in METHODS if method in methods],  # a client may write anything there
        "reason": REASONS.get(reason, reason) if message in ("", REFUSED) else message,
    }
    changes.record(session, origin, LOGIN, (ACCOUNT, user.id if user is not None else ""), after=after)
