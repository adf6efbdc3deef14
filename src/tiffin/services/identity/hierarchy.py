"""The trees that projects form inside their domains: what is above, what is below, how deep, and what they may be called."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest, Forbidden, Unauthorized
from tiffin.services.identity.authorization import ancestors, below
from tiffin.services.identity.schemas import DomainRef, ProjectRef, ScopeRef
from tiffin.services.identity.settings import HierarchySettings
from tiffin.services.identity.tables import Project

RESERVED = ":/?#[]@!$&'()*+,;="
"""The characters that mean something in a URL (RFC 3986, section 2.2)."""


def above(session: Session, row: Project) -> list[Project]:
    """The projects above one, nearest first; the last one is its domain."""
    return [session.get_one(Project, id) for id in ancestors(session, row)]


def subtree(session: Session, top: str) -> list[tuple[str, str]]:
    """(id, parent_id) of every project below one, level by level."""
    within = below([top])
    children: dict[str, list[tuple[str, str]]] = {}
    for id, parent in session.execute(select(within.c.id, within.c.parent_id).order_by(within.c.id)):
        children.setdefault(parent, []).append((id, parent))
    found = list(children.get(top, ()))
    for id, _ in found:  # which grows meanwhile
        found += children.get(id, ())
    return found


def check_parent(session: Session, parent: Project, domain_id: str, most: int) -> None:
    """Raises `BadRequest` or `Forbidden` when no project of this domain can be made below `parent`; `most` levels may be."""
    if (parent.id if parent.is_domain else parent.domain_id) != domain_id:
        raise BadRequest(f"The parent {parent.id} of a project must be in the same domain, which is {domain_id}.")
    levels = [parent, *above(session, parent)]
    for one in levels:
        if not one.enabled:
            raise BadRequest(f"Cannot create a project in a branch that contains a disabled project: {one.id}.")
    if len(levels) > most:
        raise Forbidden(f"Max hierarchy depth reached for {parent.id} branch: {most} levels of projects.")


def check_name(kind: str, name: str, safe: str) -> None:
    """Raises `BadRequest` when names of this kind, "Project" or "Domain", must be safe in URLs and this one is not."""
    found = _reserved(name)
    if safe != "off" and found:
        raise BadRequest(f"{kind} name cannot contain the following reserved characters: {found}")


def refuse_unsafe(scope: ScopeRef, settings: HierarchySettings) -> None:
    """Raises `Unauthorized` for a scope by a name that is not safe in URLs, where an operator is strict about names."""
    project = scope.project
    if project is not None and project.id is None:
        _refuse("Project", project, settings.project_name_url_safe)
        _refuse("Domain", project.domain, settings.domain_name_url_safe)
    _refuse("Domain", scope.domain, settings.domain_name_url_safe)


def _refuse(kind: str, ref: ProjectRef | DomainRef | None, safe: str) -> None:
    if safe == "strict" and ref is not None and ref.id is None and _reserved(ref.name or ""):
        raise Unauthorized(f"{kind} name cannot contain reserved characters.")


def _reserved(name: str) -> str:
    return "".join(character for character in name if character in RESERVED)
