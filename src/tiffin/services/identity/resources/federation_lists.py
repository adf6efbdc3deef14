"""Where somebody's token may be scoped to, under the paths that federation had before they moved to /v3/auth."""

from __future__ import annotations

from tiffin.core.resource import Resource
from tiffin.services.identity.resources.auth import list_domains, list_projects
from tiffin.services.identity.resources.domains import view as domain_view
from tiffin.services.identity.resources.projects import view as project_view

federation_projects = Resource("project", "projects", "/v3/OS-FEDERATION/projects", project_view)
federation_domains = Resource("domain", "domains", "/v3/OS-FEDERATION/domains", domain_view)

federation_projects.operation("GET", policy=("identity:get_auth_projects", ""))(list_projects)
federation_domains.operation("GET", policy=("identity:get_auth_domains", ""))(list_domains)
