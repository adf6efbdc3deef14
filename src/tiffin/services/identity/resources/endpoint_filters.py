"""Which endpoints a project sees: single ones, and groups of them (OS-EP-FILTER)."""

from __future__ import annotations

from typing import Any, TypeVar

from sqlalchemy import ColumnElement, Select, and_, false, or_, select, true

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.core.tables import Table
from tiffin.services.identity import catalog, targets
from tiffin.services.identity.authorization import touch
from tiffin.services.identity.catalog_tables import EndpointGroup, ProjectEndpoint, ProjectEndpointGroup
from tiffin.services.identity.catalog_words import ADMIN, READ
from tiffin.services.identity.filters import listing
from tiffin.services.identity.resources.endpoint_groups import view as group_view
from tiffin.services.identity.resources.endpoints import endpoint_view
from tiffin.services.identity.resources.projects import columns
from tiffin.services.identity.resources.projects import view as project_view
from tiffin.services.identity.tables import Endpoint, Project

T = TypeVar("T", bound=Table)
PATH = "/v3/OS-EP-FILTER"
GROUP, MEMBER = "/endpoint_groups/{endpoint_group_id}", "/projects/{project_id}/endpoints/{endpoint_id}"
OF_GROUP = f"{GROUP}/projects/{{project_id}}"

seen_endpoints = Resource("endpoint", "endpoints", PATH, endpoint_view)
seeing_projects = Resource("project", "projects", PATH, project_view)
seen_groups = Resource("endpoint_group", "endpoint_groups", PATH, group_view)
project_endpoints = Resource("project_endpoint", "project_endpoints", PATH)
project_groups = Resource("project_endpoint_group", "project_endpoint_groups", PATH)


def _get(call: Call, kind: str, table: type[T], id: str) -> T:
    row = call.db.get(table, id)
    if row is None:
        raise targets.missing(kind, id)
    return row


def _like(filters: dict[str, Any]) -> ColumnElement[bool]:
    """The condition that an endpoint fits the filters of a group."""
    return and_(true(), *(getattr(Endpoint, name).is_not_distinct_from(value) for name, value in filters.items()))


def _endpoints(condition: ColumnElement[bool]) -> Select[Any]:
    return select(*Endpoint.__table__.columns).where(condition)


# --- lists -----------------------------------------------------------------------------------------------------------


@seeing_projects.operation(
    "GET", "/endpoints/{endpoint_id}/projects", policy=("identity:list_projects_for_endpoint", READ)
)
def projects_of_endpoint(call: Call, endpoint_id: str) -> Page:
    _get(call, "endpoint", Endpoint, endpoint_id)
    seeing = select(ProjectEndpoint.project_id).where(ProjectEndpoint.endpoint_id == endpoint_id)
    return listing(call, select(*columns()).where(Project.id.in_(seeing)), Project.id, sort=Project.name)


@seeing_projects.operation(
    "GET", f"{GROUP}/projects", policy=("identity:list_projects_associated_with_endpoint_group", READ)
)
def projects_of_group(call: Call, endpoint_group_id: str) -> Page:
    _get(call, "Endpoint Group", EndpointGroup, endpoint_group_id)
    seeing = select(ProjectEndpointGroup.project_id).where(ProjectEndpointGroup.endpoint_group_id == endpoint_group_id)
    return listing(call, select(*columns()).where(Project.id.in_(seeing)), Project.id, sort=Project.name)


@seen_endpoints.operation(
    "GET", "/projects/{project_id}/endpoints", policy=("identity:list_endpoints_for_project", READ)
)
def endpoints_of_project(call: Call, project_id: str) -> Page:
    """Single ones and those of groups."""
    _get(call, "project", Project, project_id)
    ids, groups = catalog.chosen(call.db, project_id)
    return listing(call, _endpoints(or_(false(), Endpoint.id.in_(ids), *map(_like, groups))), Endpoint.id)


@seen_endpoints.operation(
    "GET", f"{GROUP}/endpoints", policy=("identity:list_endpoints_associated_with_endpoint_group", READ)
)
def endpoints_of_group(call: Call, endpoint_group_id: str) -> Page:
    group = _get(call, "Endpoint Group", EndpointGroup, endpoint_group_id)
    return listing(call, _endpoints(_like(group.filters)), Endpoint.id)


@seen_groups.operation(
    "GET", "/projects/{project_id}/endpoint_groups", policy=("identity:list_endpoint_groups_for_project", READ)
)
def groups_of_project(call: Call, project_id: str) -> Page:
    _get(call, "project", Project, project_id)
    seen = select(ProjectEndpointGroup.endpoint_group_id).where(ProjectEndpointGroup.project_id == project_id)
    statement = select(*EndpointGroup.__table__.columns).where(EndpointGroup.id.in_(seen))
    return listing(call, statement, EndpointGroup.id)


def _change(call: Call, kind: str, row: ProjectEndpoint | ProjectEndpointGroup) -> None:
    """Add or delete an association: what its project sees is another catalogue from now on."""
    ids, name = changes.picture(row) or {}, "project_endpoint"
    if isinstance(row, ProjectEndpointGroup):
        name = "project_endpoint_group"
    if kind == "create":
        call.db.add(row)
        call.record(kind, (f"identity.{name}", ids["project_id"]), after=ids)
    else:
        call.db.delete(row)
        call.record(kind, (f"identity.{name}", ids["project_id"]), before=ids)
    touch(call.db)


# --- single endpoints ------------------------------------------------------------------------------------------------


def _seen(call: Call, project_id: str, endpoint_id: str) -> ProjectEndpoint:
    row = call.db.get(ProjectEndpoint, (project_id, endpoint_id))
    if row is None:
        raise NotFound(f"Endpoint {endpoint_id[:64]} not found in project {project_id[:64]}.")
    return row


@project_endpoints.operation("GET", MEMBER, policy=("identity:check_endpoint_in_project", READ), ok=204)
def check(call: Call, project_id: str, endpoint_id: str) -> None:
    _seen(call, project_id, endpoint_id)


@project_endpoints.operation("PUT", MEMBER, policy=("identity:add_endpoint_to_project", ADMIN), ok=204)
def add(call: Call, project_id: str, endpoint_id: str) -> None:
    _get(call, "endpoint", Endpoint, endpoint_id)
    _get(call, "project", Project, project_id)
    if call.db.get(ProjectEndpoint, (project_id, endpoint_id)) is not None:
        raise Conflict(f"Conflict occurred attempting to store project_endpoint - {endpoint_id} is in {project_id}.")
    _change(call, "create", ProjectEndpoint(project_id=project_id, endpoint_id=endpoint_id))


@project_endpoints.operation("DELETE", MEMBER, policy=("identity:remove_endpoint_from_project", ADMIN))
def remove(call: Call, project_id: str, endpoint_id: str) -> None:
    _change(call, "delete", _seen(call, project_id, endpoint_id))


# --- groups ----------------------------------------------------------------------------------------------------------


def _both(call: Call, endpoint_group_id: str, project_id: str) -> Target:
    """The association, when both sides are there."""
    target = Target(None)
    target.row = {
        "project": call.db.get(Project, project_id),
        "Endpoint Group": call.db.get(EndpointGroup, endpoint_group_id),
        "association": call.db.get(ProjectEndpointGroup, (project_id, endpoint_group_id)),
    }
    return target


def _association(call: Call, endpoint_group_id: str, project_id: str) -> ProjectEndpointGroup:
    targets.needed(call, "project", project_id)
    targets.needed(call, "Endpoint Group", endpoint_group_id)
    row = call.subject.row["association"]
    if not isinstance(row, ProjectEndpointGroup):
        raise NotFound("Endpoint Group Project Association not found.")
    return row


@project_groups.operation("GET", OF_GROUP, policy=("identity:get_endpoint_group_in_project", READ), about=_both)
def show_association(call: Call, endpoint_group_id: str, project_id: str) -> Answer:
    row = _association(call, endpoint_group_id, project_id)
    link = f"{call.base_url}{PATH}/endpoint_groups/{row.endpoint_group_id}/projects/{row.project_id}"
    body = {"endpoint_group_id": row.endpoint_group_id, "project_id": row.project_id, "links": {"self": link}}
    return Answer({"project_endpoint_group": body})


@project_groups.operation(
    "PUT", OF_GROUP, policy=("identity:add_endpoint_group_to_project", ADMIN), about=_both, ok=204
)
def add_group(call: Call, endpoint_group_id: str, project_id: str) -> None:
    targets.needed(call, "project", project_id)
    targets.needed(call, "Endpoint Group", endpoint_group_id)
    if call.subject.row["association"] is not None:
        raise Conflict(
            f"Conflict occurred attempting to store project_endpoint_group - {endpoint_group_id} is in {project_id}."
        )
    _change(call, "create", ProjectEndpointGroup(project_id=project_id, endpoint_group_id=endpoint_group_id))


@project_groups.operation(
    "DELETE", OF_GROUP, policy=("identity:remove_endpoint_group_from_project", ADMIN), about=_both
)
def remove_group(call: Call, endpoint_group_id: str, project_id: str) -> None:
    _change(call, "delete", _association(call, endpoint_group_id, project_id))
