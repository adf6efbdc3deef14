"""What follows from a login: the one place where what counts, remembers or tells logins joins in.

Both functions run inside a write transaction, so that what they write is as durable as what the login changed. Keep them
cheap: a login has one millisecond.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import structlog
from sqlalchemy.orm import Session

from tiffin.services.identity.audit import record_login
from tiffin.services.identity.tables import User

if TYPE_CHECKING:
    from tiffin.core.call import Call
    from tiffin.services.identity.login import Proof

log = structlog.get_logger("identity")


def succeeded(session: Session, call: Call, user: User, proofs: Sequence[Proof]) -> None:
    """`user` has proved who it is, by `proofs`, and gets its token when this transaction commits.

    Raises `Unauthorized` when it may not log in all the same: then there is no token, and `failed` hears of it.
    """
    record_login(session, call, user, "success", {}, [proof.method for proof in proofs])


def failed(session: Session, call: Call, user: User | None, reason: str) -> None:
    """Someone was refused who said to be `user`; None when there is no such user. `reason` is one of the words below.

    Never raises: the answer is a 401 whatever happens here.
    """
    log.info("login.refused", user_id=user.id if user is not None else None, reason=reason)
    record_login(session, call, user, "failure", {"reason": reason})


WRONG = "wrong"
"""The reason when a secret was wrong, or belonged to nobody."""
DISABLED = "disabled"
"""... when the secret was right, and the user or its domain is disabled."""
SCOPE = "scope"
"""... when the user may not have a token for what it asked."""
FACTORS = "factors"
"""... when the user must prove more; it has got a receipt."""
REFUSED = "refused"
"""... when `succeeded` raised, or a proof was none: an expired token, an unknown credential."""
