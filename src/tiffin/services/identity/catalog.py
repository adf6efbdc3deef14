"""The service catalogue, as a token's bearer sees it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import JSON, Row, exists, null, select, type_coerce, union_all
from sqlalchemy.orm import Session

from tiffin.services.identity.catalog_tables import EndpointGroup, ProjectEndpoint, ProjectEndpointGroup
from tiffin.services.identity.federation_tables import ServiceProvider
from tiffin.services.identity.rules import Template, fill, url_template
from tiffin.services.identity.tables import CatalogService, Endpoint

Shown = list[dict[str, Any]]
"""What a token's body says of services and their endpoints."""
MOST_REMEMBERED = 10_000


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


class _Listed:
    """An endpoint, and what a catalogue tells of it."""

    __slots__ = ("enabled", "id", "interface", "region_id", "service_id", "told", "url")

    def __init__(self, row: Row[Any]) -> None:
        self.id, self.service_id, self.enabled = row.id, row.service_id, row.enabled
        self.interface, self.region_id = row.interface, row.region_id
        self.url: Template = url_template(row.url)
        told = {"id": row.id, "interface": row.interface, "region": row.region_id, "region_id": row.region_id}
        self.told: dict[str, Any] = {**row.extra, **told, "url": self.url[0]}

    def fill(self, facts: Mapping[str, str | None]) -> dict[str, Any] | None:
        """With its URL for a user on a project; None when that needs what there is not."""
        url = fill(self.url, facts)
        return {**self.told, "url": url} if url else None


class Catalog:
    """The catalogue as the rows are now. A process keeps it as long as they stay so; see `Identity.shown_catalog`."""

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
        rows = session.execute(statement).all()
        self._services = {
            row.service_id: {"id": row.service_id, "type": row.type, "name": row.name} for row in rows if row.alive
        }
        self._endpoints = [_Listed(row) for row in rows if row.id is not None]
        self._filtered = any(row.filtered for row in rows)
        self._personal = any(len(listed.url) > 1 for listed in self._endpoints)
        self._seen: dict[str, frozenset[str]] = {}  # by project: the ids of what it sees, empty where nothing was said
        self._shown: dict[frozenset[str], Shown] = {}  # by what is seen, where that is all it depends on

    def show(self, session: Session, project_id: str | None, user_id: str, *, unfiltered: bool) -> Shown:
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
            ids |= {listed.id for listed in self._endpoints if any(fits(filters, listed) for filters in groups)}
            if len(self._seen) >= MOST_REMEMBERED:
                self._seen, self._shown = {}, {}
            found = self._seen[project_id] = frozenset(ids)
        return found

    def _show(self, seen: frozenset[str], project_id: str | None, user_id: str) -> Shown:
        facts = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
        found: dict[str, Shown] = {id: [] for id in self._services}
        for listed in self._endpoints:
            if listed.enabled and listed.service_id in found and (not seen or listed.id in seen):
                told = listed.told if len(listed.url) == 1 else listed.fill(facts)
                if told is not None:
                    found[listed.service_id].append(told)
        # a service without endpoints is shown, but not where endpoints are filtered: upstream's way
        return [{**self._services[id], "endpoints": ends} for id, ends in found.items() if ends or not seen]


def service_providers(session: Session) -> list[dict[str, str]]:
    """The other clouds that trust this one, as every token's body lists them."""
    statement = select(ServiceProvider.id, ServiceProvider.auth_url, ServiceProvider.sp_url)
    enabled = statement.where(ServiceProvider.enabled).order_by(ServiceProvider.id)
    return [dict(row._mapping) for row in session.execute(enabled)]
