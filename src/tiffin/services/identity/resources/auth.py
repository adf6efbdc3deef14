"""What the bearer of a token may do with it: where it may be scoped to, and the catalogue."""

from __future__ import annotations

from sqlalchemy import select

from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Page, Resource
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.authorization import SYSTEM, domains_of, of_user, project_ids_of
from tiffin.services.identity.filters import listing, narrow
from tiffin.services.identity.resources.domains import view as domain_view
from tiffin.services.identity.resources.projects import columns
from tiffin.services.identity.resources.projects import view as project_view
from tiffin.services.identity.tables import Assignment, Project, User
from tiffin.services.identity.tags import tags_column

OF_USER = (
    "(rule:admin_required) or (role:reader and system_scope:all) or (role:reader and "
    "domain_id:%(target.user.domain_id)s) or user_id:%(target.user.id)s"
)

auth = Resource("auth", "auth", "/v3/auth")
auth_projects = Resource("project", "projects", "/v3/auth/projects", project_view)
auth_domains = Resource("domain", "domains", "/v3/auth/domains", domain_view)
user_projects = Resource("project", "projects", "/v3/users/{id}/projects", project_view)


@auth.operation("GET", "/catalog", policy=("identity:get_auth_catalog", ""))
def show_catalog(call: Call) -> Answer:
    if call.actor.project_id is None:
        raise Forbidden("A project-scoped token is required to produce a service catalog.")
    found = call.part(Identity).shown_catalog(call.db, call.actor.project_id, call.actor.user_id)
    return Answer({"catalog": found, "links": {"self": f"{call.base_url}/v3/auth/catalog"}})


@auth.operation("GET", "/system", policy=("identity:get_auth_system", ""))
def list_systems(call: Call) -> Answer:
    held = call.db.scalar(select(Assignment.id).where(of_user(call.actor.user_id), Assignment.scope == SYSTEM).limit(1))
    links = {"self": f"{call.base_url}/v3/auth/system"}
    return Answer({"system": [{"all": True}] if held else [], "links": links})


def _projects(call: Call, user_id: str, *, enabled_only: bool) -> Page:
    statement = select(*columns()).where(Project.id.in_(project_ids_of(user_id)))
    if enabled_only:
        statement = statement.where(Project.enabled)
    known = {"name": Project.name, "enabled": Project.enabled, "domain_id": Project.domain_id}
    return listing(call, narrow(call, statement, known), Project.id, sort=Project.name)


@auth_projects.operation("GET", policy=("identity:get_auth_projects", ""))
def list_projects(call: Call) -> Page:
    return _projects(call, call.actor.user_id, enabled_only=True)


@auth_domains.operation("GET", policy=("identity:get_auth_domains", ""))
def list_domains(call: Call) -> Page:
    statement = narrow(
        call,
        domains_of(call.actor.user_id).add_columns(tags_column),
        {"name": Project.name, "enabled": Project.enabled},
    )
    return listing(call, statement, Project.id, sort=Project.name)


def about_user(call: Call, id: str) -> Target:
    return targets.about("user", User)(call, id)


@user_projects.operation("GET", policy=("identity:list_user_projects", OF_USER), about=about_user)
def list_of_user(call: Call, id: str) -> Page:
    targets.found(call, "user", User, id)
    return _projects(call, id, enabled_only=False)
