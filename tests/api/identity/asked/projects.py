"""Projects and their tags."""

from __future__ import annotations

from api.identity.personas import ADMINS, READERS, Row, Scene, thing

MANAGERS = f"{ADMINS} domain_manager"
"""Who may change what is in the domain D."""
SEERS = f"{READERS} domain_manager domain_member domain_reader"
"""Who may see it."""
_OWN = f"{SEERS} manager member reader service"
_TAGS, _TAG = "/v3/projects/{tagged}/tags", "/v3/projects/{id}/tags/{tag}"

ROWS = [
    Row("POST", "/v3/projects", MANAGERS, {"project": {"name": "{name}", "domain_id": "{D}"}}),
    Row("POST", "/v3/projects", ADMINS, {"project": {"name": "{name}", "is_domain": True}}),
    Row("POST", "/v3/projects", ADMINS, {"project": {"name": "{name}", "domain_id": "default"}}),
    Row("GET", "/v3/projects", SEERS),
    Row("GET", "/v3/projects/{P}", _OWN),
    Row("GET", "/v3/projects/{project}", SEERS),
    Row("PATCH", "/v3/projects/{project}", MANAGERS, {"project": {"description": "x"}}),
    Row("DELETE", "/v3/projects/{project}", MANAGERS),
    Row("GET", "/v3/projects/{P}/tags", _OWN),
    Row("GET", _TAGS, SEERS),
    Row("PUT", _TAGS, MANAGERS, {"tags": ["x"]}),
    Row("DELETE", _TAGS, MANAGERS),
    Row("GET", f"{_TAGS}/t", SEERS, route=_TAG),
    Row("PUT", f"{_TAGS}/{{name}}", MANAGERS, route=_TAG),
    Row("DELETE", f"{_TAGS}/t", MANAGERS, route=_TAG),
]


@thing("tagged")
def _tagged(scene: Scene) -> str:
    made = scene.cloud.make("project", "/projects", name=scene.name(), domain_id=scene.domain, tags=["t"])
    return str(made["id"])
