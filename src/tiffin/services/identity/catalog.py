"""The service catalogue, as a token's bearer sees it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.services.identity.federation_tables import ServiceProvider
from tiffin.services.identity.rules import endpoint_url
from tiffin.services.identity.tables import CatalogService, Endpoint


def load(session: Session) -> list[Any]:
    """Every enabled service with each of its enabled endpoints, as rows."""
    statement = (
        select(
            CatalogService.id, CatalogService.type, CatalogService.name,
            Endpoint.id, Endpoint.interface, Endpoint.region_id, Endpoint.url,
        )
        .outerjoin(Endpoint, (Endpoint.service_id == CatalogService.id) & Endpoint.enabled)
        .where(CatalogService.enabled)
        .order_by(CatalogService.type, CatalogService.id, Endpoint.region_id, Endpoint.interface, Endpoint.id)
    )  # fmt: skip
    return [tuple(row) for row in session.execute(statement)]


def service_providers(session: Session) -> list[dict[str, str]]:
    """The other clouds that trust this one, as every token's body lists them."""
    statement = select(ServiceProvider.id, ServiceProvider.auth_url, ServiceProvider.sp_url)
    enabled = statement.where(ServiceProvider.enabled).order_by(ServiceProvider.id)
    return [dict(row._mapping) for row in session.execute(enabled)]


def show(rows: Iterable[Any], project_id: str | None, user_id: str) -> list[dict[str, Any]]:
    """What a token's body says; without endpoints whose URL needs a project that there is not."""
    facts = {"project_id": project_id, "tenant_id": project_id, "user_id": user_id}
    found: dict[str, dict[str, Any]] = {}
    for service_id, type, name, id, interface, region, url in rows:
        service = found.setdefault(service_id, {"id": service_id, "type": type, "name": name, "endpoints": []})
        filled = endpoint_url(url, facts) if id else None
        if filled is not None:
            service["endpoints"].append(
                {"id": id, "interface": interface, "region": region, "region_id": region, "url": filled}
            )
    return list(found.values())
