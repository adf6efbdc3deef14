"""The service catalogue, as a token's bearer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Row, exists, null, select, type_coerce, union_all
from sqlalchemy.orm import Session

from tiffin.services.identity.catalog_tables import EndpointGroup, ProjectEndpoint, ProjectEndpointGroup
from tiffin.services.identity.rules import endpoint_url, personal
from tiffin.services.identity.tables import CatalogService, Endpoint

Entry = list[dict[str, Any]]
"""What a token's body says of services and their endpoints."""


def chosen(session: Session, project_id: str) -> tuple[set[str], list[dict[str, Any]]]:
    """What a project is said to see: the ids of endpoints, and the filters of groups of them."""
    one_by_one = select(ProjectEndpoint.endpoint_id, type_coerce(null(), JSON)).where(
        ProjectEndpoint.project_id == project_id
    )
    groups = (
        select(null(), EndpointGroup.filters)
        .join(ProjectEndpointGroup, ProjectEndpointGroup.endpoint_group_id == EndpointGroup.id)
        .where(ProjectEndpointGroup.project_id == project_id)
    )
    rows = session.execute(union_all(one_by_one, groups)).all()
    return {id for id, _ in rows if id is not None}, [filters for id, filters in rows if id is None]


def fits(filters: Mapping[str, Any], endpoint: Any) -> bool:
    """Whether an endpoint has all that the filters of a group name."""
    return all(getattr(endpoint, name) == value for name, value in filters.items())


class Catalog:
    """The catalogue as the rows are now. A process keeps it as long as they stay so; see `Identity.catalog`."""

    def __init__(self, session: Session) -> None:
        filtered = exists().where(ProjectEndpoint.project_id.is_not(None)) | exists().where(
            ProjectEndpointGroup.project_id.is_not(None)
        )
        statement = (
            select(
                CatalogService.id.label("service_id"), CatalogService.type, CatalogService.name,
                CatalogService.enabled.label("alive"), Endpoint.id, Endpoint.interface, Endpoint.region_id, Endpoint.url,
                Endpoint.enabled, Endpoint.extra, filtered.label("filtered"),
            )
            .outerjoin(Endpoint, Endpoint.service_id == CatalogService.id)
            .order_by(CatalogService.type, CatalogService.id, Endpoint.region_id, Endpoint.interface, Endpoint.id)
        )  # fmt: skip
        self._rows: list[Row[Any]] = list(session.execute(statement))
        self._filtered = any(row.filtered for row in self._rows)
        self._personal = any(personal(row.url or "") for row in self._rows)
        self._seen: dict[str, frozenset[str]] = {}  # by project: the ids of what it sees, empty where nothing was said
        self._shown: dict[frozenset[str], Entry] = {}  # by what is seen, where that is all it depends on

    def show(self, session: Session, project_id: str | None, user_id: str, *, unfiltered: bool) -> Entry:
        """What a token's body says; without endpoints whose URL needs a project that there is not.

        `unfiltered`: whether who has no filters sees everything, or nothing.
        """
        seen = self._seen_by(session, project_id) if project_id and self._filtered else frozenset()
        if not seen and not unfiltered:
            return []
        if self._personal:
            return self._show(seen, project_id, user_id)
        if seen not in self._shown:
            self._shown[seen] = self._show(seen, None, user_id)
        return self._shown[seen]

    def _seen_by(self, session: Session, project_id: str) -> frozenset[str]:
        found = self._seen.get(project_id)
        if found is None:
            ids, groups = chosen(session, project_id)
            ids |= {row.id for row in self._rows if row.id and any(fits(filters, row) for filters in groups)}
            found = self._seen[project_id] = frozenset(ids)
        return found

    def _show(self, seen: frozenset[str], project_id: str | None, user_id: str) -> Entry:
        facts = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
        found: dict[str, dict[str, Any]] = {}
        for row in self._rows:
            if not row.alive:
                continue
            service = found.setdefault(
                row.service_id, {"id": row.service_id, "type": row.type, "name": row.name, "endpoints": []}
            )
            if row.id is None or not row.enabled or (seen and row.id not in seen):
                continue
            url = endpoint_url(row.url, facts)
            if url:
                region = row.region_id
                told = {"id": row.id, "interface": row.interface, "region": region, "region_id": region, "url": url}
                service["endpoints"].append({**row.extra, **told} if row.extra else told)
        # a service without endpoints is shown, but not where endpoints are filtered: upstream's way
        return [service for service in found.values() if service["endpoints"] or not seen]
