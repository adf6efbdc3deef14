"""Tags: short words on a project or a domain."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest
from tiffin.core.sql import children
from tiffin.services.identity.tables import Project, ProjectTag

Tag = Annotated[str, Meta(min_length=1, max_length=255, pattern="^[^,/]*$")]
Tags = Annotated[list[Tag], Meta(max_length=80)]

tags_column = children(
    select(ProjectTag.name).where(ProjectTag.project_id == Project.id).correlate(Project), name=ProjectTag.name
).label("tags")
"""The tags of a project or domain in a list statement."""


def tags_of(session: Session, project_id: str) -> list[str]:
    return list(
        session.scalars(select(ProjectTag.name).where(ProjectTag.project_id == project_id).order_by(ProjectTag.name))
    )


def set_tags(session: Session, project_id: str, tags: list[str]) -> None:
    """Have exactly these tags. Raises `BadRequest` for doubles."""
    if len(set(tags)) != len(tags):
        raise BadRequest("Invalid input for field/attribute tags: each tag may be there only once.")
    kept = set(tags_of(session, project_id))
    for name in kept - set(tags):
        session.delete(session.get_one(ProjectTag, (project_id, name)))
    session.add_all(ProjectTag(project_id=project_id, name=name) for name in set(tags) - kept)
    session.flush()
