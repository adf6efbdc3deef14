"""Grants of roles, and the list of assignments."""

from __future__ import annotations

from collections.abc import Iterator

from api.identity.asked.projects import MANAGERS, SEERS
from api.identity.personas import ADMINS, READERS, Row, Scene, thing

PLACES = {
    "project": "/projects/{P}",
    "domain": "/domains/{D}",
    "system": "/system",
    "project_heir": "/OS-INHERIT/projects/{P}",
    "domain_heir": "/OS-INHERIT/domains/{D}",
}


def _rows(kind: str, place: str, actor: str) -> Iterator[Row]:
    managers, seers = (ADMINS, READERS) if kind == "system" else (MANAGERS, SEERS)
    tail = "/inherited_to_projects" if kind.endswith("_heir") else ""

    def path(who: str, role: str = "") -> str:
        return f"/v3{place}/{actor}s/{{{who}}}/roles{role}{tail}"

    known = f"{kind}_{actor}"
    if kind != "project_heir":  # upstream has no such list
        yield Row("GET", path(known), seers)
    yield Row("GET", path(known, "/{member_role}"), seers)
    yield Row("PUT", path(actor, "/{member_role}"), managers)
    yield Row("PUT", path(actor, "/{role}"), ADMINS)
    yield Row("DELETE", path(known, "/{member_role}"), managers)

    @thing(known)
    def make(scene: Scene) -> str:
        """One who was granted the role member there."""
        id = scene.new(actor)
        where = scene.fill(place, {"P": scene.project, "D": scene.domain})
        granted = scene.cloud.do("PUT", f"{where}/{actor}s/{id}/roles/{scene.cloud.role('member')}{tail}")
        assert granted.status == 204, granted.body
        return id


ROWS = [row for kind, place in PLACES.items() for actor in ("user", "group") for row in _rows(kind, place, actor)]
ROWS += [
    Row("GET", "/v3/role_assignments", SEERS),
    Row("GET", "/v3/role_assignments?include_subtree&scope.project.id={P}", SEERS),
]
