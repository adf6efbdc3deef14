"""One-time passcodes by time (TOTP, RFC 6238): six digits of SHA-1, a new one every 30 seconds. Each is good once."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from cryptography.fernet import InvalidToken
from sqlalchemy import ForeignKey, select, update
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.cloud import Secrets
from tiffin.core.tables import Big, Id, Table
from tiffin.services.identity.tables import Credential

SECONDS, DIGITS = 30, 6
PREVIOUS = 1
"""How many passcodes before the present one are accepted too: a person needs time to type."""
MOST_SECRETS = 32
"""How many credentials of one user are tried."""


class PasscodeUse(Table):
    """The time step of the last passcode of a credential that was used: that one and those before are used up."""

    __tablename__ = "identity_passcode_use"
    credential_id: Mapped[Id] = mapped_column(ForeignKey("identity_credential.id", ondelete="CASCADE"), primary_key=True)
    step: Mapped[Big]


def passcode(secret: str, step: int) -> str:
    """The passcode of the time step `step`. Raises `ValueError` for a secret that is not Base32."""
    key = _key(secret)
    digest = hmac.digest(key, step.to_bytes(8, "big"), hashlib.sha1)
    at = digest[-1] & 0x0F
    number = int.from_bytes(digest[at : at + 4], "big") & 0x7FFFFFFF
    return str(number % 10**DIGITS).zfill(DIGITS)


def _key(secret: str) -> bytes:
    try:
        return base64.b32decode(secret + "=" * (-len(secret) % 8))
    except binascii.Error:
        raise ValueError("not Base32") from None


def find(session: Session, secrets: Secrets, user_id: str, given: str, now: float) -> tuple[str, int] | None:
    """The credential of the user whose passcode this is, and the passcode's time step; None when it is nobody's, or used up.
    All are tried, so that it takes as long for a wrong one as for a right one."""
    rows = session.execute(
        select(Credential.id, Credential.blob, PasscodeUse.step)
        .outerjoin(PasscodeUse, PasscodeUse.credential_id == Credential.id)
        .where(Credential.user_id == user_id, Credential.type == "totp")
        .order_by(Credential.id)
        .limit(MOST_SECRETS)
    ).all()
    present, found = int(now // SECONDS), None
    for id, blob, used in rows:
        try:
            secret = secrets.decrypt(blob).decode()
        except InvalidToken:  # encrypted by a key that is gone
            continue
        for step in range(present - PREVIOUS, present + 1):
            if _fits(secret, step, given) and (used is None or used < step):
                found = (id, step)
    return found


def _fits(secret: str, step: int, given: str) -> bool:
    try:
        return hmac.compare_digest(passcode(secret, step).encode(), given.encode("utf-8", "replace"))
    except ValueError:
        return False


def use_up(session: Session, credential_id: str, step: int) -> bool:
    """Let a passcode be used. False when somebody was faster, or the credential is gone."""
    if session.scalar(select(Credential.id).where(Credential.id == credential_id).with_for_update()) is None:
        return False
    later = update(PasscodeUse).where(PasscodeUse.credential_id == credential_id, PasscodeUse.step < step)
    if session.execute(later.values(step=step)).rowcount:  # type: ignore[attr-defined]
        return True
    if session.get(PasscodeUse, credential_id) is not None:
        return False
    session.add(PasscodeUse(credential_id=credential_id, step=step))
    return True
