"""What follows from a login: the one place where what counts, remembers or tells logins joins in.

Both functions run inside a write transaction, so that what they write is as durable as what the login changed. Keep them
cheap: a login has one millisecond. `user` was read earlier, outside of the session: whoever needs its row as it is now, or
changes it, gets it (`session.get_one(User, user.id)`) when a rule asks for that.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.orm import Session

from tiffin.services.identity import compliance
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.settings import PasswordSettings
from tiffin.services.identity.tables import User

if TYPE_CHECKING:
    from tiffin.core.call import Call
    from tiffin.services.identity.login import Proof

log = structlog.get_logger("identity")


def succeeded(session: Session, call: Call, user: User, proofs: Sequence[Proof]) -> None:
    """`user` has proved who it is, by `proofs`, and gets its token when this transaction commits.

    Raises `Unauthorized` when it may not log in all the same: then there is no token, nothing of this transaction stays, and
    `failed` hears of it.
    """
    by_password = any(proof.method == "password" for proof in proofs)
    if compliance.admit(session, user, call.now, _rules(call), by_password=by_password):
        call.record("login", ("identity.user", user.id), after={"active_at": call.now})


def failed(session: Session, call: Call, user: User | None, reason: str) -> None:
    """Someone was refused who said to be `user`; None when there is no such user. `reason` is one of the words below.

    Never raises: the answer stands whatever happens here.
    """
    log.info("login.refused", user_id=user.id if user is not None else None, reason=reason)
    if user is not None and reason == PASSWORD and compliance.count_failure(session, user, call.now, _rules(call)):
        call.record("lock", ("identity.user", user.id), after={"failed_at": call.now})


def _rules(call: Call) -> PasswordSettings:
    return call.part(Identity).settings.passwords


PASSWORD = "password"  # noqa: S105  # a word for it
"""The reason when a password was wrong, or nobody's."""
WRONG = "wrong"
"""... when another secret was wrong, or nobody's: a passcode, that of an application credential."""
LOCKED = compliance.LOCKED
"""... when too many passwords were wrong, whether this one was right or not."""
EXPIRED = "expired"
"""... when the password was right, and must be changed first."""
DISABLED = compliance.DISABLED
"""... when the user or its domain is disabled, or was idle for too long."""
SCOPE = "scope"
"""... when the user may not have a token for what it asked."""
FACTORS = "factors"
"""... when the user must prove more; it has got a receipt."""
REFUSED = "refused"
"""... when `succeeded` raised, or a proof was none: an expired token, an unknown credential, a method that is not enabled."""
