"""What an operator demands of passwords, and of the accounts that have one: `[identity.passwords]`. Nothing here hashes."""

from __future__ import annotations

import re
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    ForeignKey,
    Integer,
    and_,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.errors import BadRequest, Unauthorized
from tiffin.core.tables import SECRET, Id, Table
from tiffin.services.identity.authentication import REFUSED
from tiffin.services.identity.settings import PasswordSettings
from tiffin.services.identity.tables import User

DAY = 86_400.0
DISABLED, LOCKED = "disabled", "locked"
EXPIRED = "The password is expired and needs to be changed for user: {}."
"""Horizon and Skyline know by these words that they must ask for a new password, and of which user."""


class FormerPassword(Table):
    """A password that a user had before its present one."""

    __tablename__ = "identity_former_password"
    __table_args__ = ({"sqlite_autoincrement": True},)
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[Id] = mapped_column(ForeignKey("identity_user.id", ondelete="CASCADE"), index=True)
    password_hash: Mapped[str] = mapped_column(info=SECRET)


# --- the account ----------------------------------------------------------------------------------------------------


def watches(rules: PasswordSettings) -> bool:
    """Whether each login's past matters."""
    return rules.lockout_failure_attempts > 0 or rules.disable_user_account_days_inactive > 0


_NOW = User.__table__.columns
_CURRENT = select(
    _NOW.enabled, _NOW.options, _NOW.created_at, _NOW.failed_logins, _NOW.failed_at, _NOW.last_active_at
).where(_NOW.id == bindparam("id"))  # fmt: skip


def current(session: Session, user: User, rules: PasswordSettings) -> Any:
    """What this module asks of a user, as its row is now: what is remembered of it may be too old. Only to be read."""
    return session.execute(_CURRENT, {"id": user.id}).one() if watches(rules) else user


def is_locked(user: Any, now: float, rules: PasswordSettings) -> bool:
    """Whether too many wrong passwords have come, too short a time ago. `user`: a user, or what is `current` of it."""
    if not 0 < rules.lockout_failure_attempts <= user.failed_logins:
        return False
    if user.options.get("ignore_lockout_failure_attempts") or user.failed_at is None:
        return False
    return rules.lockout_duration == 0 or now < user.failed_at + rules.lockout_duration


def _days(at: float) -> int:
    return int(at // DAY)


def is_enabled(row: Any, now: float, rules: PasswordSettings) -> bool:
    """Whether a user may log in at all: it is not disabled, and was not idle for too long. `row`: a user, or such columns."""
    most = rules.disable_user_account_days_inactive
    if not row.enabled or not most or row.options.get("ignore_user_inactivity"):
        return bool(row.enabled)
    last = row.created_at if row.last_active_at is None else row.last_active_at
    return _days(now) - _days(last) < most


def enabled_column(now: float, rules: PasswordSettings) -> ColumnElement[bool]:
    """The same for lists."""
    most = rules.disable_user_account_days_inactive
    if not most:
        return User.enabled.expression
    active = func.coalesce(User.last_active_at, User.created_at) >= (_days(now) - most + 1) * DAY
    exempt = func.coalesce(User.options["ignore_user_inactivity"].as_boolean(), False)
    return and_(User.enabled, or_(active, exempt))


def barred(user: Any, now: float, rules: PasswordSettings) -> str:
    """Why not even a right password would be good for anything: a word of outcomes.py, or ''."""
    if not is_enabled(user, now, rules):
        return DISABLED
    return LOCKED if is_locked(user, now, rules) else ""


def is_expired(user: User, now: float) -> bool:
    """Whether the password must be changed before it is good for a login."""
    at = user.password_expires_at
    return at is not None and at <= now and not user.options.get("ignore_password_expiry")


def open_again(user: User, now: float, rules: PasswordSettings) -> None:
    """Forget wrong passwords and idleness: an administrator wants the user enabled."""
    if user.failed_logins:
        user.failed_logins, user.failed_at = 0, None
    if rules.disable_user_account_days_inactive:
        user.last_active_at = now


# --- logins ---------------------------------------------------------------------------------------------------------


def count_failure(session: Session, user: User, now: float, rules: PasswordSettings) -> bool:
    """Count a wrong password, unless the account is locked; whether it is locked from now on."""
    most = rules.lockout_failure_attempts
    if not most or user.options.get("ignore_lockout_failure_attempts"):
        return False
    countable: ColumnElement[bool] = User.failed_logins < most
    if rules.lockout_duration:
        countable = or_(countable, User.failed_at <= now - rules.lockout_duration)
    counted = session.scalar(
        update(User)
        .where(User.id == user.id, countable)
        .values(failed_logins=case((User.failed_logins >= most, 1), else_=User.failed_logins + 1), failed_at=now)
        .returning(User.failed_logins),
        execution_options={"synchronize_session": False},
    )
    return counted == most


def admit(session: Session, user: User, now: float, rules: PasswordSettings, *, by_password: bool) -> bool:
    """Let a user in whose proofs are right; whether that changes the user. Raises `Unauthorized` for an account that is
    locked or was idle for too long: what other logins did meanwhile counts."""
    if not watches(rules):
        return False
    row = current(session, user, rules)
    if not is_enabled(row, now, rules) or (by_password and is_locked(row, now, rules)):
        raise Unauthorized(REFUSED)
    if not by_password:
        return False
    changes: dict[str, Any] = {}
    if rules.disable_user_account_days_inactive and _days(row.last_active_at or 0.0) < _days(now):
        changes["last_active_at"] = now
    if row.failed_logins:
        changes |= {"failed_logins": 0, "failed_at": None}
    if changes:
        session.execute(update(User).where(User.id == user.id).values(changes))
    return bool(changes)


# --- passwords ------------------------------------------------------------------------------------------------------


def check_strength(password: str | None, rules: PasswordSettings) -> None:
    """Raises `BadRequest` for a password that is not strong enough."""
    if rules.password_regex and (password is None or not re.match(rules.password_regex, password)):
        wanted = rules.password_regex_description or "ask an administrator for them"
        raise BadRequest(f"The password does not match the requirements: {wanted}.")


def check_self_service(user: User, now: float, rules: PasswordSettings) -> None:
    """Raises `BadRequest` when the user may not change its password itself, or not yet."""
    if user.options.get("lock_password"):
        raise BadRequest("The password of this user is locked: only an administrator may change it.")
    if not user.password_self_service or user.password_changed_at is None:
        return
    left = user.password_changed_at + rules.minimum_password_age * DAY - now
    if left > 0:
        raise BadRequest(
            f"A password must be kept for {rules.minimum_password_age} day(s) before it can be changed. Try again in "
            f"{int(left // DAY)} day(s), or ask an administrator to reset it."
        )


def not_again(session: Session, user: User, rules: PasswordSettings) -> list[str]:
    """The hashes that the user's next own password must not have, the present one first."""
    count = rules.unique_last_password_count
    if not count or user.password_hash is None:
        return []
    former = session.scalars(
        select(FormerPassword.password_hash)
        .where(FormerPassword.user_id == user.id)
        .order_by(FormerPassword.id.desc())
        .limit(count - 1)
    )
    return [user.password_hash, *former]


def replace(session: Session, user: User, kept: str | None, now: float, rules: PasswordSettings, *, own: bool) -> None:
    """Store the hash of a new password, or None to take the password away; `own`: the user chose it. Every token of the
    user dies; call `authorization.touch`."""
    if user.password_hash is not None and rules.unique_last_password_count > 1:
        session.add(FormerPassword(user_id=user.id, password_hash=user.password_hash))
        session.flush()
    newest = (
        select(FormerPassword.id)
        .where(FormerPassword.user_id == user.id)
        .order_by(FormerPassword.id.desc())
        .limit(max(rules.unique_last_password_count - 1, 0))
    )
    session.execute(
        delete(FormerPassword).where(FormerPassword.user_id == user.id, FormerPassword.id.not_in(newest)),
        execution_options={"synchronize_session": False},
    )
    user.password_hash, user.password_changed_at, user.password_self_service = kept, now, own
    user.password_expires_at = None if kept is None else expiry(user.options, now, rules, own=own)
    user.generation += 1


def expiry(options: dict[str, Any], now: float, rules: PasswordSettings, *, own: bool) -> float | None:
    """When a password that is set now must be changed: at once, when someone else chose it and the rules say so."""
    first_use = rules.change_password_upon_first_use and not options.get("ignore_change_password_upon_first_use")
    if first_use and not own:
        return now
    if rules.password_expires_days and not options.get("ignore_password_expiry"):
        return float(int(now + rules.password_expires_days * DAY))
    return None
