"""How a user changes its own password."""

from __future__ import annotations

import msgspec

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Unauthorized
from tiffin.core.resource import Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import compliance, outcomes
from tiffin.services.identity.authentication import REFUSED, Identity
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.login import Proof
from tiffin.services.identity.schemas import Password
from tiffin.services.identity.tables import User


class PasswordChange(Schema, kw_only=True):
    original_password: Password
    password: Password


class Proven(msgspec.Struct, frozen=True):
    """The hash of the old password, which was right, and that of the new one."""

    old: str
    new: str


user_passwords = Resource("user", "users", "/v3/users/{id}/password")


def _prove_and_hash(call: Call, id: str, body: PasswordChange) -> Proven:
    identity = call.part(Identity)
    rules, passwords = identity.settings.passwords, identity.passwords
    with call.read() as session:
        row = session.get(User, id)
        barred = compliance.barred(row, call.now, rules) if row is not None else ""
        kept = row.password_hash if row is not None and not barred else None
        not_again = compliance.not_again(session, row, rules) if row is not None else []
    if not passwords.check(body.original_password, kept) or row is None or kept is None:
        with call.write() as session:
            outcomes.failed(session, call, session.get(User, id), barred or outcomes.PASSWORD)
        raise Unauthorized(REFUSED)
    compliance.check_strength(body.password, rules)
    compliance.check_self_service(row, call.now, rules)
    if any(passwords.check(body.password, former) for former in not_again):
        raise BadRequest(f"The new password must differ from the last {rules.unique_last_password_count}.")
    return Proven(kept, passwords.hash(body.password))


@user_passwords.operation("POST", policy=None, auth=False, body=PasswordChange, prepare=_prove_and_hash,
                          event="update", ok=204)  # fmt: skip
def change_password(call: Call, id: str, body: PasswordChange) -> None:
    """Whoever knows the old password may change it, even when it has expired; there is no rule for it upstream either."""
    proven: Proven = call.prepared
    row, rules = call.db.get(User, id), call.part(Identity).settings.passwords
    if row is None or row.password_hash != proven.old:
        raise Unauthorized(REFUSED)
    compliance.check_self_service(row, call.now, rules)
    outcomes.succeeded(call.db, call, row, [Proof(method="password", settled=True)])
    compliance.replace(call.db, row, proven.new, call.now, rules, own=True)
    touch(call.db)
