"""Granting roles: to whom, where, by whom, and what follows."""

from __future__ import annotations

import pytest

from api.identity.conftest import IdentityCloud

PLACES = {
    "projects": "/projects/{project}",
    "domains": "/domains/default",
    "system": "/system",
    "projects inherited": "/OS-INHERIT/projects/{project}",
    "domains inherited": "/OS-INHERIT/domains/default",
}


class Place:
    """Somewhere a role can be granted, with somebody who may get it."""

    def __init__(self, cloud: IdentityCloud, kind: str, actor: str) -> None:
        self.cloud, self.kind, self.actor = cloud, kind, actor
        self.tail = "/inherited_to_projects" if kind.endswith("inherited") else ""
        self.project = cloud.make("project", "/projects", name="place")["id"]
        self.who = cloud.make(actor, f"/{actor}s", name="somebody")["id"]

    def path(self, role: str | None, who: str | None = None, project: str | None = None) -> str:
        where = PLACES[self.kind].replace("{project}", project or self.project)
        one = f"/{role}" if role else ""
        return f"{where}/{self.actor}s/{who or self.who}/roles{one}{self.tail}"

    def do(self, method: str, role: str | None, token: str | None = None) -> int:
        return self.cloud.do(method, self.path(role), token=token).status


@pytest.fixture(params=[f"{actor} {kind}" for kind in PLACES for actor in ("user", "group")])
def place(cloud: IdentityCloud, request: pytest.FixtureRequest) -> Place:
    actor, _, kind = request.param.partition(" ")
    return Place(cloud, kind, actor)


def test_a_grant_lives_and_dies(place: Place) -> None:
    cloud, role = place.cloud, place.cloud.role("member")
    listed = place.kind != "projects inherited"  # upstream lists those by /role_assignments alone

    def names() -> list[str]:
        reply = cloud.do("GET", place.path(None))
        assert reply.json["links"]["self"].endswith(place.path(None))
        return [found["name"] for found in reply.json["roles"]]

    assert not listed or names() == []
    assert [place.do(method, role) for method in ("GET", "HEAD", "DELETE")] == [404, 404, 404]
    assert [place.do("PUT", role) for _ in range(2)] == [204, 204]
    assert [place.do(method, role) for method in ("GET", "HEAD")] == [204, 204]
    place.do("PUT", cloud.role("admin"))
    assert not listed or names() == ["admin", "member"]
    assert not listed or cloud.do("HEAD", place.path(None)).status == 200
    assert [place.do("DELETE", role) for _ in range(2)] == [204, 404]
    assert not listed or names() == ["admin"]
    assert listed or cloud.do("GET", place.path(None)).status == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE"])
def test_what_is_missing(place: Place, method: str) -> None:
    cloud, role = place.cloud, place.cloud.role("member")
    paths = [place.path("none"), place.path(role, who="none")]
    if place.kind.startswith("projects"):
        paths.append(place.path(role, project="none"))
    if place.kind.startswith("domains"):
        paths += [place.path(role).replace("/default/", f"/{id}/") for id in ("none", place.project)]
    for path in paths:
        assert cloud.do(method, path).status == 404, path
        _, _, token = cloud.member(f"u{len(path)}{paths.index(path)}", f"p{paths.index(path)}", "manager")
        assert cloud.do(method, path, token=token).status == 403, "nobody learns what is missing"


def test_a_role_of_a_domain_stays_there(place: Place) -> None:
    cloud = place.cloud
    other = cloud.make("domain", "/domains", name="d")["id"]
    here = cloud.make("role", "/roles", name="x", domain_id="default")["id"]
    there = cloud.make("role", "/roles", name="x", domain_id=other)["id"]
    wanted = {"projects": (204, 403), "system": (400, 400), "domains": (204, 204)}[place.kind.split()[0]]
    assert (place.do("PUT", here), place.do("PUT", there)) == wanted
    assert (place.do("GET", here), place.do("GET", there)) == tuple(204 if status == 204 else 404 for status in wanted)


def test_what_a_manager_of_a_domain_may_grant(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    boss = cloud.make("user", "/users", name="boss", password="pw", domain_id=domain)["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{boss}/roles/{cloud.role('manager')}")
    token = cloud.login("boss", "pw", {"domain": {"id": domain}}, domain).headers["x-subject-token"]
    project = cloud.make("project", "/projects", name="p", domain_id=domain)["id"]
    own = cloud.make("user", "/users", name="ann", domain_id=domain)["id"]
    stranger = cloud.make("user", "/users", name="bob")["id"]
    abroad = cloud.make("project", "/projects", name="q")["id"]

    def put(where: str, who: str, role: str, tail: str = "") -> int:
        path = f"{where}/users/{who}/roles/{role}{tail}"
        statuses = [cloud.do(method, path, token=token).status for method in ("PUT", "DELETE")]
        assert len(set(statuses)) == 1, statuses
        return statuses[0]

    places = (f"/projects/{project}", f"/domains/{domain}", f"/OS-INHERIT/domains/{domain}", f"/OS-INHERIT/projects/{project}")
    for where in places:
        tail = "/inherited_to_projects" if "INHERIT" in where else ""
        for name in ("manager", "member", "reader"):
            assert put(where, own, cloud.role(name), tail) == 204
        for name in ("admin", "service"):
            assert put(where, own, cloud.role(name), tail) == 403
        assert put(where, stranger, cloud.role("member"), tail) == 403
    own_role = cloud.make("role", "/roles", name="member", domain_id=domain)["id"]
    assert put(f"/projects/{project}", own, own_role) == 204, "the rule asks for the name"
    assert put(f"/projects/{abroad}", own, cloud.role("member")) == 403
    assert put("/system", own, cloud.role("reader")) == 403


def test_inherited_roles(cloud: IdentityCloud) -> None:
    top = cloud.make("project", "/projects", name="top")["id"]
    low = cloud.make("project", "/projects", name="low", parent_id=top)["id"]
    user = cloud.make("user", "/users", name="ann", password="pw")["id"]
    path = f"/OS-INHERIT/projects/{top}/users/{user}/roles/{cloud.role('member')}/inherited_to_projects"
    assert cloud.do("PUT", path).status == 204
    assert cloud.login("ann", "pw", {"project": {"id": top}}).status == 401
    assert cloud.login("ann", "pw", {"project": {"id": low}}).status == 201
    assert [p["id"] for p in cloud.do("GET", f"/users/{user}/projects").json["projects"]] == [low]
    assert cloud.do("DELETE", path).status == 204
    domain = f"/OS-INHERIT/domains/default/users/{user}/roles/{cloud.role('reader')}/inherited_to_projects"
    assert cloud.do("PUT", domain).status == 204
    token = cloud.login("ann", "pw", {"project": {"id": low}}).json["token"]
    assert [r["name"] for r in token["roles"]] == ["reader"]
    assert cloud.login("ann", "pw", {"domain": {"id": "default"}}).status == 401
    assert len(cloud.do("GET", f"/users/{user}/projects").json["projects"]) == 4


def test_a_revoked_role_is_gone_at_once(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    base = f"/projects/{project}/users/{user}/roles"
    cloud.do("PUT", f"{base}/{cloud.role('manager')}")
    roles = cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json["token"]["roles"]
    assert [r["name"] for r in roles] == ["manager", "member", "reader"]
    cloud.do("DELETE", f"{base}/{cloud.role('manager')}")
    cloud.do("DELETE", f"{base}/{cloud.role('member')}")
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
