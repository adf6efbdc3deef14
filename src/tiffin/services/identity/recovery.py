"""A lost administrator comes back: for who owns the state folder, whatever was done to the account through the API."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core import changes
from tiffin.core.world import World
from tiffin.services.identity import compliance
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.bootstrap import DEFAULT_DOMAIN
from tiffin.services.identity.settings import PasswordSettings
from tiffin.services.identity.tables import Project, User


def recover_admin(session: Session, world: World, kept: str, rules: PasswordSettings) -> str:
    """Let the user `admin` log in by the password of this hash, whatever kept it from that: a password nobody knows, a second
    factor, a lock, an account, project or domain that is disabled. To be called after `bootstrap`, which has it exist with
    its roles. Gives its id."""
    now = world.clock()
    in_default = select(Project).where(Project.domain_id == DEFAULT_DOMAIN, Project.name == "admin")
    for place in (session.get_one(Project, DEFAULT_DOMAIN), session.scalars(in_default).one()):
        if not place.enabled:
            before, place.enabled = changes.picture(place), True
            _record(session, world, ("identity.domain" if place.is_domain else "identity.project", place.id), before, place)
    user = session.scalars(select(User).where(User.domain_id == DEFAULT_DOMAIN, User.name == "admin")).one()
    before = changes.picture(user)
    user.enabled = True
    user.options = {name: value for name, value in user.options.items() if not name.startswith("multi_factor_auth")}
    compliance.open_again(user, now, rules)
    compliance.replace(session, user, kept, now, rules, own=True)
    _record(session, world, ("identity.user", user.id), before, user)
    touch(session)
    return user.id


def _record(
    session: Session, world: World, resource: tuple[str, str], before: dict[str, object] | None, row: User | Project
) -> None:
    session.flush()
    via = {"agent": "tiffin recover", "address": "local"}
    origin = changes.Origin(world.clock(), f"req-{world.new_id()}", None, None, via)
    changes.record(session, origin, "update", resource, before=before, after=changes.picture(row))
