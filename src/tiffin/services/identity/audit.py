"""Identity's words in audit events, and the record of each login."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.audit import USER, Changed, Event, Taxonomy
from tiffin.core.tables import LOGIN

if TYPE_CHECKING:
    from tiffin.core.call import Call
    from tiffin.services.identity.tables import User

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


def record_login(
    session: Session,
    call: Call,
    user: User | None,
    outcome: Literal["success", "failure"],
    facts: dict[str, Any],
    methods: Sequence[str] = (),
) -> None:
    """Append a login to the change log; `user` is who it was said to be, None when there is no such user (whose name is not
    kept: people type their passwords there). Who failed is no actor yet: it has proved nothing."""
    origin = call.origin
    if user is not None:
        actor_id = user.id if outcome == "success" else None
        origin = msgspec.structs.replace(origin, actor_id=actor_id, via={**call.via, "user": user.name})
    after = {"outcome": outcome, "methods": list(methods), **facts}
    changes.record(session, origin, LOGIN, ("identity.user", user.id if user is not None else ""), after=after)
