"""The list of projects: filters, tags, pages; and the tags of one project."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import IdentityCloud


def names(cloud: IdentityCloud, query: str) -> list[str]:
    reply = cloud.do("GET", f"/projects?{query}")
    assert reply.status == 200, reply.body
    return [project["name"] for project in reply.json["projects"]]


@pytest.mark.parametrize(("query", "found"), [
    ("name=Alpha", "Alpha"), ("name=alpha", ""), ("name__contains=lph", "Alpha alphabet"), ("name__contains=LPH", ""),
    ("name__icontains=LPH", "Alpha alphabet"), ("name__startswith=Al", "Alpha"), ("name__istartswith=AL", "Alpha alphabet"),
    ("name__endswith=bet", "alphabet"), ("name__endswith=Bet", ""), ("name__iendswith=BET", "alphabet"),
    ("name__contains=", "Alpha admin alphabet beta service"), ("name__sounds=x", "Alpha admin alphabet beta service"),
    ("name__contains=%25", ""), ("name__contains=_", ""), ("color=red", "Alpha admin alphabet beta service"),
    ("enabled=false", "beta"), ("enabled=0", "beta"), ("enabled=no", "beta"), ("enabled", "Alpha admin alphabet service"),
    ("enabled=true&name=beta", ""), ("domain_id=default", "Alpha admin alphabet service"), ("domain_id=none", ""),
    ("parent_id={alpha}", "alphabet"), ("parent_id=none", ""), ("is_domain=true", "Default dom"), ("is_domain", "Default dom"),
    ("is_domain=false&name=dom", ""), ("is_domain=1&name=dom", "dom"),
])  # fmt: skip
def test_filters(cloud: IdentityCloud, query: str, found: str) -> None:
    alpha = cloud.make("project", "/projects", name="Alpha", color="red")["id"]
    cloud.make("project", "/projects", name="alphabet", parent_id=alpha)
    domain = cloud.make("domain", "/domains", name="dom")["id"]
    cloud.make("project", "/projects", name="beta", domain_id=domain, enabled=False)
    assert names(cloud, query.replace("{alpha}", alpha)) == found.split()


@pytest.mark.parametrize(("query", "found"), [
    ("tags=a,b", "one"), ("tags=b", "one two"), ("tags-any=a,c", "one three"), ("not-tags=a,b", "three two"),
    ("not-tags-any=a,c", "two"), ("tags=b&not-tags=a", "two"), ("tags-any=a,b&not-tags-any=a", "two"), ("tags=a&not-tags=a", ""),
    ("tags-any=a&name=two", ""), ("tags=none", ""), ("tags=a,none", ""), ("tags-any=none,c", "three"), ("tags=B", ""),
])  # fmt: skip
def test_filters_by_tags(cloud: IdentityCloud, query: str, found: str) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    for name, tags in (("one", ["a", "b"]), ("two", ["b"]), ("three", ["c"])):
        cloud.make("project", "/projects", name=name, tags=tags, domain_id=domain)
    assert names(cloud, f"{query}&domain_id={domain}") == found.split()


@pytest.mark.parametrize("query", ["", "&name__contains=p", "&domain_id=default", "&tags=t"])
def test_pages(cloud: IdentityCloud, query: str) -> None:
    for number in range(7):
        cloud.make("project", "/projects", name=f"p{number}", tags=["t"])
    whole = names(cloud, query)
    for size in (1, 2, 7, 50):
        path: str | None = f"/projects?limit={size}{query}"
        seen: list[str] = []
        while path:
            page = cloud.do("GET", path).json
            assert 0 < len(page["projects"]) <= size
            seen += [p["name"] for p in page["projects"]]
            path = page["links"]["next"] and page["links"]["next"].partition("/identity/v3")[2]
        assert seen == whole


@pytest.mark.parametrize("query", ["limit=x", "limit=-1", "limit=1&marker=none", "marker=none"])
def test_bad_pages(cloud: IdentityCloud, query: str) -> None:
    assert cloud.do("GET", f"/projects?{query}").status == 400


def test_a_domain_sees_its_own(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    user = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain)["id"]
    cloud.make("project", "/projects", name="p", domain_id=domain)
    cloud.do("PUT", f"/domains/{domain}/users/{user}/roles/{cloud.role('reader')}")
    token = cloud.login("ann", "pw", {"domain": {"id": domain}}, domain).headers["x-subject-token"]
    for query in ("", "?domain_id=default", "?is_domain=true"):
        listed = cloud.do("GET", f"/projects{query}", token=token).json["projects"]
        assert [p["name"] for p in listed] == ([] if query else ["p"])


# --- the tags of one project -------------------------------------------------------------------------------------------


def test_tags(cloud: IdentityCloud) -> None:
    path = f"/projects/{cloud.make('project', '/projects', name='p', tags=['b', 'a'])['id']}/tags"
    url = f"http://127.0.0.1:8000/identity/v3{path}"
    assert cloud.do("GET", path).json == {"tags": ["a", "b"], "links": {"self": url}}
    made = cloud.do("PUT", f"{path}/c")
    assert (made.status, made.body, made.headers["location"]) == (201, b"", f"{url}/c")
    assert [cloud.do(method, f"{path}/c").status for method in ("GET", "HEAD")] == [204, 204]
    assert cloud.do("PUT", f"{path}/c").status == 400, "it is there already"
    assert cloud.do("PUT", f"{path}/C").status == 201
    assert cloud.do("PUT", f"{path}/ € ").headers["location"] == f"{url}/%20%E2%82%AC%20"
    assert cloud.do("GET", path).json["tags"] == ["C", "a", "b", "c", "€"]
    assert [cloud.do(method, f"{path}/x").status for method in ("GET", "HEAD", "DELETE")] == [404, 404, 404]
    assert [cloud.do("DELETE", f"{path}/c").status for _ in range(2)] == [204, 404]
    assert cloud.do("PUT", path, {"tags": ["z", " a "]}).json == {"tags": ["a", "z"], "links": {"self": url}}
    assert cloud.do("DELETE", path).status == 204
    assert cloud.do("HEAD", path).status == 200
    assert cloud.do("GET", path).json["tags"] == []


@pytest.mark.parametrize("body", [
    {"tags": ["z/z"]}, {"tags": ["a,b"]}, {"tags": [""]}, {"tags": ["a", "a"]}, {"tags": ["a", " a"]}, {"tags": "a"},
    {"tags": [1]}, {"tags": ["x" * 256]}, {"tags": [str(n) for n in range(81)]}, {}, {"tags": ["a"], "more": 1},
])  # fmt: skip
def test_bad_tags(cloud: IdentityCloud, body: Any) -> None:
    made = cloud.make("project", "/projects", name="p", tags=["kept"])
    assert cloud.do("PUT", f"/projects/{made['id']}/tags", body).status == 400
    assert cloud.do("GET", f"/projects/{made['id']}").json["project"] == made


@pytest.mark.parametrize("tag", ["a,b", "x" * 256, " "])
def test_bad_tag(cloud: IdentityCloud, tag: str) -> None:
    path = f"/projects/{cloud.make('project', '/projects', name='p')['id']}/tags"
    assert cloud.do("PUT", f"{path}/{tag}").status == 400
    assert cloud.do("GET", path).json["tags"] == []


def test_eighty_tags(cloud: IdentityCloud) -> None:
    path = f"/projects/{cloud.make('project', '/projects', name='p', tags=[str(n) for n in range(79)])['id']}/tags"
    assert [cloud.do("PUT", f"{path}/{tag}").status for tag in ("x", "y")] == [201, 400]
    assert cloud.do("DELETE", f"{path}/0").status == 204
    assert cloud.do("PUT", f"{path}/y").status == 201


@pytest.mark.parametrize(("method", "tail"), [
    ("GET", ""), ("PUT", ""), ("DELETE", ""), ("GET", "/t"), ("PUT", "/t"), ("DELETE", "/t"),
])  # fmt: skip
def test_tags_of_nothing_and_of_what_is_immutable(cloud: IdentityCloud, method: str, tail: str) -> None:
    body = {"tags": []} if (method, tail) == ("PUT", "") else None
    assert cloud.do(method, f"/projects/none/tags{tail}", body).status == 404
    made = cloud.make("project", "/projects", name="p", tags=["t"], options={"immutable": True})
    refused = cloud.do(method, f"/projects/{made['id']}/tags{tail}", body)
    assert refused.status == ((204 if tail else 200) if method == "GET" else 403)
    assert cloud.do("GET", f"/projects/{made['id']}").json["project"] == made
