"""What an operator needs who has locked himself out: the administrator can log in again, and may do everything again."""

from __future__ import annotations

from collections import Counter
from typing import Any

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.database import Database
from tiffin.core.world import World
from tiffin.services.identity import compliance
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bootstrap import DEFAULT_DOMAIN, BootstrapOptions, bootstrap
from tiffin.services.identity.passwords import Passwords, hash_password
from tiffin.services.identity.settings import IdentitySettings
from tiffin.services.identity.tables import Assignment, ImpliedRole, Project, Role, User

MADE: dict[str, Any] = {
    "role": Role, "implied role": ImpliedRole, "project": Project, "user": User, "role assignment": Assignment,
}  # fmt: skip
_ADMIN = (User.domain_id == DEFAULT_DOMAIN, User.name == "admin")


def let_in(database: Database, world: World, password: str, settings: IdentitySettings) -> list[str]:
    """Have the roles, projects and grants of `bootstrap`, and `admin` enabled with this password. Says in sentences what was
    amiss.

    What operators added or changed beyond that stays, and so does the catalogue. Tokens of a password that is replaced end.
    """
    with database.read() as session:
        known = session.scalar(select(User.password_hash).where(*_ADMIN))
    right = known is not None and Passwords(world, settings).check(password, known)
    fresh = None if right else hash_password(password, settings.password_rounds)
    with database.write() as session:
        before = _count(session)
        bootstrap(session, world, password, "", "", BootstrapOptions(services=(), rounds=settings.password_rounds))
        mended = [f"Made what was missing: {n} x {kind}." for kind, n in (_count(session) - before).items()]
        admin = session.scalars(select(User).where(*_ADMIN)).one()
        mended += _open(session, admin, fresh, world.clock())
        if compliance.barred(admin, world.clock(), settings.passwords):
            compliance.open_again(admin, world.clock(), settings.passwords)
            mended.append("Opened the account of admin, which was locked or had been idle for too long.")
        if mended:
            touch(session)
            origin = changes.Origin(world.clock(), f"req-{world.new_id()}", None, None)
            changes.record(session, origin, "recover", ("identity.user", admin.id), after={"mended": mended})
    return mended


def _count(session: Session) -> Counter[str]:
    return Counter({kind: session.scalar(select(func.count()).select_from(table)) or 0 for kind, table in MADE.items()})


def _open(session: Session, admin: User, fresh: str | None, now: float) -> list[str]:
    """Undo what keeps the administrator from a token of the project `admin`. `fresh`: the hash of a password, unless the
    kept one is right."""
    mended = []
    project = Project.name == "admin"
    closed = ~Project.enabled & ((Project.id == DEFAULT_DOMAIN) | (project & (Project.domain_id == DEFAULT_DOMAIN)))
    for row in session.scalars(select(Project).where(closed)):
        row.enabled = True
        mended.append(f"Enabled the {'domain' if row.is_domain else 'project'} {row.name}.")
    if not admin.enabled:
        admin.enabled = True
        mended.append("Enabled the user admin.")
    if admin.options.get("multi_factor_auth_rules") and admin.options.get("multi_factor_auth_enabled", True):
        admin.options = {**admin.options, "multi_factor_auth_enabled": False}
        mended.append("The user admin needs one proof of who he is, and no longer several.")
    if admin.password_expires_at is not None and admin.password_expires_at <= now:
        admin.password_expires_at = None
        mended.append("The password of admin had expired.")
    if fresh is not None and admin.password_hash != fresh:
        admin.password_hash, admin.password_changed_at, admin.password_expires_at = fresh, now, None
        admin.generation += 1
        mended.append("Gave admin the password that clouds.yaml has.")
    return mended
