"""Who sees which endpoints: groups of them, associations with projects, and catalogues that are narrower for it."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import event

from api.identity.conftest import IdentityCloud

GROUPS = "/OS-EP-FILTER/endpoint_groups"


class Place:
    """Two services with two endpoints each, and a project."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        self.dns, self.mail = (cloud.make("service", "/services", type=type)["id"] for type in ("dns", "mail"))
        self.ends = {
            f"{type} {interface}": cloud.make(
                "endpoint", "/endpoints", service_id=id, interface=interface, url=f"http://{type}", region="west"
            )["id"]
            for type, id in (("dns", self.dns), ("mail", self.mail))
            for interface in ("public", "internal")
        }
        _, self.project, self.token = cloud.member("ann", "p")

    def group(self, **filters: Any) -> str:
        return str(self.cloud.make("endpoint_group", GROUPS, name="g", filters=filters)["id"])

    def seen(self) -> set[str]:
        """The names of those endpoints of ours that the project's catalogue shows."""
        ids = {e["id"] for s in self.catalog() for e in s["endpoints"]}
        return {name for name, id in self.ends.items() if id in ids}

    def catalog(self) -> list[dict[str, Any]]:
        found = self.cloud.do("GET", "/auth/catalog", token=self.token).json["catalog"]
        assert self.cloud.do("GET", "/auth/tokens", x_subject_token=self.token).json["token"]["catalog"] == found
        return list(found)


@pytest.fixture
def place(cloud: IdentityCloud) -> Place:
    return Place(cloud)


def test_endpoint_groups(cloud: IdentityCloud) -> None:
    fields = {"name": "g", "filters": {"interface": "admin", "service_id": "1b501a"}}
    made = cloud.make("endpoint_group", GROUPS, **fields)
    path = f"{GROUPS}/{made['id']}"
    links = {"self": f"http://127.0.0.1/identity/v3{path}"}
    assert made == {**fields, "description": None, "id": made["id"], "links": made["links"]}
    assert made["links"]["self"].endswith(links["self"].removeprefix("http://127.0.0.1"))
    assert cloud.do("GET", path).json == {"endpoint_group": made}
    assert cloud.do("HEAD", path).status == 200
    other = cloud.make("endpoint_group", GROUPS, name="h", filters={"region_id": None}, description="d")
    assert cloud.do("GET", f"{GROUPS}?name=h").json["endpoint_groups"] == [other]
    assert len(cloud.do("GET", GROUPS).json["endpoint_groups"]) == 2
    changed = cloud.do("PATCH", path, {"endpoint_group": {"filters": {"interface": "public"}, "description": "e"}})
    assert changed.json["endpoint_group"] == {**made, "filters": {"interface": "public"}, "description": "e"}
    same = cloud.do("PATCH", path, {"endpoint_group": {"name": None, "filters": None, "description": "e"}})
    assert same.json == changed.json
    assert cloud.do("PATCH", path, {"endpoint_group": {"filters": {}}}).json["endpoint_group"]["filters"] == {}
    assert cloud.do("DELETE", path).status == 204
    for method, body in (("GET", None), ("PATCH", {"endpoint_group": {"name": "x"}}), ("DELETE", None)):
        assert cloud.do(method, path, body).status == 404


@pytest.mark.parametrize(
    "change",
    [
        {"name": ""}, {"name": "x" * 256}, {"filters": {"color": "red"}}, {"filters": {"enabled": True}},
        {"filters": {"interface": "other"}}, {"filters": {"service_id": None}}, {"filters": []}, {"description": 5},
        {"id": "x"},
    ],
)  # fmt: skip
def test_bad_groups(cloud: IdentityCloud, change: dict[str, Any]) -> None:
    fields = {"name": "g", "filters": {"interface": "admin"}}
    assert cloud.do("POST", GROUPS, {"endpoint_group": {**fields, **change}}).status == 400
    path = f"{GROUPS}/{cloud.make('endpoint_group', GROUPS, **fields)['id']}"
    assert cloud.do("PATCH", path, {"endpoint_group": change}).status == 400


def test_a_group_needs_a_filter_and_a_list_knows_names_only(cloud: IdentityCloud) -> None:
    assert cloud.do("POST", GROUPS, {"endpoint_group": {"name": "g", "filters": {}}}).status == 400
    assert cloud.do("POST", GROUPS, {"endpoint_group": {"name": "g"}}).status == 400
    made = cloud.make("endpoint_group", GROUPS, name="g", filters={"interface": "admin"})["id"]
    assert cloud.do("PATCH", f"{GROUPS}/{made}", {"endpoint_group": {}}).status == 400
    assert cloud.do("GET", f"{GROUPS}?filters=x").status == 400
    assert cloud.do("GET", f"{GROUPS}?name=").status == 400


def test_single_endpoints(cloud: IdentityCloud, place: Place) -> None:
    one = place.ends["dns public"]
    path = f"/OS-EP-FILTER/projects/{place.project}/endpoints/{one}"
    assert cloud.do("GET", path).status == 404
    assert cloud.do("DELETE", path).status == 404
    assert place.seen() == set(place.ends)
    assert cloud.do("PUT", path).status == 204
    assert cloud.do("PUT", path).status == 409
    assert (cloud.do("GET", path).status, cloud.do("HEAD", path).status) == (204, 204)
    assert (place.seen(), len(place.catalog())) == ({"dns public"}, 1)
    of_project = cloud.do("GET", f"/OS-EP-FILTER/projects/{place.project}/endpoints").json
    assert [e["id"] for e in of_project["endpoints"]] == [one]
    assert of_project["endpoints"] == [cloud.do("GET", f"/endpoints/{one}").json["endpoint"]]
    of_endpoint = cloud.do("GET", f"/OS-EP-FILTER/endpoints/{one}/projects").json
    assert of_endpoint["projects"] == [cloud.do("GET", f"/projects/{place.project}").json["project"]]
    assert of_endpoint["links"]["self"].endswith(f"/identity/v3/OS-EP-FILTER/endpoints/{one}/projects")
    assert cloud.do("DELETE", path).status == 204
    assert place.seen() == set(place.ends)


def test_what_is_not_there(cloud: IdentityCloud, place: Place) -> None:
    one, group, base = place.ends["dns public"], place.group(interface="public"), "/OS-EP-FILTER"
    for path in (
        f"{base}/projects/none/endpoints/{one}",
        f"{base}/projects/{place.project}/endpoints/none",
        f"{GROUPS}/none/projects/{place.project}",
        f"{GROUPS}/{group}/projects/none",
    ):
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            assert cloud.do(method, path).status == 404, (method, path)
    for path in (
        f"{base}/endpoints/none/projects", f"{base}/projects/none/endpoints", f"{base}/projects/none/endpoint_groups",
        f"{GROUPS}/none/projects", f"{GROUPS}/none/endpoints",
    ):  # fmt: skip
        assert cloud.do("GET", path).status == 404, path


def test_groups_of_endpoints(cloud: IdentityCloud, place: Place) -> None:
    group = place.group(service_id=place.dns, region_id="west")
    path = f"{GROUPS}/{group}/projects/{place.project}"
    assert (cloud.do("GET", path).status, cloud.do("DELETE", path).status) == (404, 404)
    assert cloud.do("PUT", path).status == 204
    assert cloud.do("PUT", path).status == 409
    told = cloud.do("GET", path).json["project_endpoint_group"]
    assert (told["project_id"], told["endpoint_group_id"]) == (place.project, group)
    assert told["links"]["self"].endswith(path)
    assert place.seen() == {"dns public", "dns internal"}
    cloud.do("PUT", f"/OS-EP-FILTER/projects/{place.project}/endpoints/{place.ends['mail public']}")
    assert place.seen() == {"dns public", "dns internal", "mail public"}
    listed = cloud.do("GET", f"/OS-EP-FILTER/projects/{place.project}/endpoints").json["endpoints"]
    assert {e["id"] for e in listed} == {id for name, id in place.ends.items() if name != "mail internal"}
    groups = cloud.do("GET", f"/OS-EP-FILTER/projects/{place.project}/endpoint_groups").json["endpoint_groups"]
    assert groups == [cloud.do("GET", f"{GROUPS}/{group}").json["endpoint_group"]]
    assert [p["id"] for p in cloud.do("GET", f"{GROUPS}/{group}/projects").json["projects"]] == [place.project]
    inside = cloud.do("GET", f"{GROUPS}/{group}/endpoints").json["endpoints"]
    assert {e["id"] for e in inside} == {place.ends["dns public"], place.ends["dns internal"]}
    cloud.do("PATCH", f"{GROUPS}/{group}", {"endpoint_group": {"filters": {"interface": "internal", "region_id": "west"}}})
    assert place.seen() == {"dns internal", "mail internal", "mail public"}
    assert cloud.do("DELETE", path).status == 204
    assert place.seen() == {"mail public"}


def test_what_is_deleted_narrows_nothing(cloud: IdentityCloud, place: Place) -> None:
    group = place.group(interface="internal", region_id="west")
    cloud.do("PUT", f"{GROUPS}/{group}/projects/{place.project}")
    cloud.do("PUT", f"/OS-EP-FILTER/projects/{place.project}/endpoints/{place.ends['mail public']}")
    assert cloud.do("DELETE", f"/endpoints/{place.ends.pop('mail public')}").status == 204
    assert place.seen() == {"dns internal", "mail internal"}
    assert cloud.do("DELETE", f"{GROUPS}/{group}").status == 204
    assert place.seen() == set(place.ends)
    assert cloud.do("GET", f"/OS-EP-FILTER/projects/{place.project}/endpoint_groups").json["endpoint_groups"] == []


def test_only_disabled_endpoints_leave_an_empty_catalogue(cloud: IdentityCloud, place: Place) -> None:
    one = place.ends["dns public"]
    cloud.do("PUT", f"/OS-EP-FILTER/projects/{place.project}/endpoints/{one}")
    cloud.do("PATCH", f"/endpoints/{one}", {"endpoint": {"enabled": False}})
    assert place.catalog() == []
    nothing = place.group(interface="admin", region_id="west")
    cloud.do("DELETE", f"/OS-EP-FILTER/projects/{place.project}/endpoints/{one}")
    cloud.do("PUT", f"{GROUPS}/{nothing}/projects/{place.project}")
    assert place.seen() == set(place.ends) - {"dns public"}  # a group of nothing counts for nothing


def test_a_catalogue_is_read_once(cloud: IdentityCloud, place: Place) -> None:
    """Two statements the first time, the catalogue's and the project's; then none but what looks at the epoch."""
    cloud.do("PUT", f"/OS-EP-FILTER/projects/{place.project}/endpoints/{place.ends['dns public']}")
    said: list[str] = []

    def hear(*args: Any) -> None:
        said.append(args[2])

    with cloud.cloud.database.read() as session:
        engine = session.get_bind()
        event.listen(engine, "before_cursor_execute", hear)
        for _ in range(3):
            cloud.identity.shown_catalog(session, place.project, "u")
        event.remove(engine, "before_cursor_execute", hear)
    assert sum("FROM identity_service" in statement for statement in said) == 1
    assert sum("SELECT" in statement and "FROM identity_epoch" not in statement for statement in said) == 2
