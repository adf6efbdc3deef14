"""The unified limits, as the quotas of the other services read them, and the models of how limits of a tree relate."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from sqlalchemy import CTE, CompoundSelect, Row, Select, and_, case, func, literal, or_, select
from sqlalchemy.orm import Session

from tiffin.core.quota import Bound, Unified
from tiffin.core.settings import SettingsError
from tiffin.services.identity.authorization import below
from tiffin.services.identity.tables import CatalogService, Limit, Project, RegisteredLimit

FLAT, STRICT = "flat", "strict_two_level"
MODELS = {
    FLAT: "A limit bounds one project or domain. Where that is in the hierarchy of projects does not matter.",
    STRICT: "A limit bounds all that is below a project or domain together. In a domain are at most two levels of projects.",
}
STRICT_LEVELS = 2
"""Projects on the way from a domain to a leaf in a model that looks at them."""


def most_levels(model: str, otherwise: int) -> int:
    """How many levels of projects a domain may have."""
    return min(STRICT_LEVELS, otherwise) if model == STRICT else otherwise


def _with_all_below(project_id: str) -> CompoundSelect[Any]:
    """The ids of a project, or a domain, and of all projects below it."""
    return select(literal(project_id).label("id")).union(select(below([project_id]).c.id))


def _path(project_id: str) -> CTE:
    """A project and all above it up to the domain, with the distance; also when there is no such project."""
    parent = select(Project.parent_id).where(Project.id == project_id).scalar_subquery()
    start = select(literal(project_id).label("id"), parent.label("parent_id"), literal(0).label("distance"))
    path = start.cte("path", recursive=True)
    return path.union_all(
        select(Project.id, Project.parent_id, path.c.distance + 1).join(path, Project.id == path.c.parent_id)
    )


def _alone(project_id: str) -> CTE:
    return select(literal(project_id).label("id"), literal(0).label("distance")).cte("path")


class KeptLimits:
    """Limits of every service, of the projects and domains here. `region`: where this cloud is."""

    def __init__(self, region: str, model: str) -> None:
        self.region, self.model = region, model

    def find(
        self, session: Session, service: str, names: Collection[str], project_id: str | None
    ) -> Mapping[str, Unified]:
        """See `core.quota.UnifiedLimits`. One statement."""
        rows: dict[str, list[Row[Any]]] = {}
        for row in session.execute(self._statement(service, names, project_id)):
            of_name = rows.setdefault(row.resource_name, [])
            if not of_name or of_name[0].id == row.id:  # the best registered limit comes first
                of_name.append(row)
        return {name: self._unified(found) for name, found in rows.items()}

    def _statement(self, service: str, names: Collection[str], project_id: str | None) -> Select[Any]:
        registered = RegisteredLimit
        path = _path(project_id or "") if self.model == STRICT else _alone(project_id or "")
        ours_first = case((registered.region_id.is_(None), 1), else_=0)
        return (
            select(
                registered.id, registered.resource_name, registered.default_limit, path.c.id.label("owner_id"),
                func.coalesce(Limit.resource_limit, registered.default_limit).label("most"),
            )
            .join(CatalogService, CatalogService.id == registered.service_id)
            .join(path, literal(True))
            .outerjoin(Limit, and_(Limit.registered_limit_id == registered.id, Limit.owner_id == path.c.id))
            .where(
                CatalogService.type == service,
                registered.resource_name.in_(list(names)),
                or_(registered.region_id.is_(None), registered.region_id == self.region),
            )
            .order_by(ours_first, registered.id, path.c.distance)
        )  # fmt: skip

    def _unified(self, rows: list[Row[Any]]) -> Unified:
        def owners(row: Row[Any]) -> Any:
            return _with_all_below(row.owner_id) if self.model == STRICT else row.owner_id

        bounds = tuple(Bound(row.most, owners(row)) for row in rows)
        return Unified(rows[0].default_limit, bounds)

    def check(self, session: Session) -> None:
        """Raises `SettingsError` when there are deeper trees than the model has levels for."""
        if self.model != STRICT:
            return
        tree = select(Project.id, literal(0).label("level")).where(Project.is_domain).cte("tree", recursive=True)
        tree = tree.union_all(select(Project.id, tree.c.level + 1).join(tree, Project.parent_id == tree.c.id))
        deep = session.scalar(select(tree.c.id).where(tree.c.level > STRICT_LEVELS).limit(1))
        if deep is not None:
            raise SettingsError(
                f"[identity.shares]: enforcement_model: {STRICT} allows {STRICT_LEVELS} levels of projects in a domain, and "
                f"project {deep} is deeper."
            )


def above(limit: int, other: int) -> bool:
    """Whether a limit allows more than another; -1 allows any number."""
    return other >= 0 and (limit < 0 or limit > other)


def breaks_tree(session: Session, row: Limit) -> bool:
    """Whether a limit is above that of the owner's parent (the registered one where that has none), or below one of a
    project further down."""
    registered = session.get_one(RegisteredLimit, row.registered_limit_id)
    owner = session.get_one(Project, row.owner_id)
    limits = select(Limit.resource_limit).where(Limit.registered_limit_id == registered.id)
    if owner.parent_id is not None:
        own = session.scalar(limits.where(Limit.owner_id == owner.parent_id))
        if above(row.resource_limit, registered.default_limit if own is None else own):
            return True
    further = session.scalars(limits.where(Limit.owner_id.in_(select(below([owner.id]).c.id))))
    return any(above(limit, row.resource_limit) for limit in further)
