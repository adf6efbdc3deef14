"""Lists of users: filters, order, pages."""

from __future__ import annotations

import msgspec
import pytest
from sqlalchemy import insert

from api.identity.conftest import IdentityCloud
from tiffin.services.identity.settings import PasswordSettings
from tiffin.services.identity.tables import User

HERE = "http://127.0.0.1:8000/identity/v3"


def names(cloud: IdentityCloud, query: str) -> list[str]:
    reply = cloud.do("GET", f"/users?{query}")
    assert reply.status == 200, reply.body
    return [u["name"] for u in reply.json["users"]]


def test_filters(cloud: IdentityCloud) -> None:
    for name in ("a%1", "a_2", "b3", "Ab4"):
        cloud.make("user", "/users", name=name, enabled=name != "b3")
    assert names(cloud, "name=b3") == ["b3"]
    assert names(cloud, "name=B3") == []
    assert names(cloud, "name__startswith=a") == ["a%1", "a_2", "admin"]
    assert names(cloud, "name__istartswith=a") == ["Ab4", "a%1", "a_2", "admin"]
    assert names(cloud, "name__contains=%25") == ["a%1"]
    assert names(cloud, "name__contains=B") == []
    assert names(cloud, "name__icontains=_") == ["a_2"]
    assert names(cloud, "name__icontains=B") == ["Ab4", "b3"]
    assert names(cloud, "name__iexact=B3") == ["b3"]
    assert names(cloud, "name__endswith=2&unknown=1&name__unknown=1") == ["a_2"]
    assert names(cloud, "name__endswith=longer+than+any") == []
    assert names(cloud, "name__iendswith=B4") == ["Ab4"]
    assert names(cloud, "name__contains=") == ["Ab4", "a%1", "a_2", "admin", "b3"]
    assert [names(cloud, f"enabled={no}") for no in ("false", "0", "n", "False", "no", "off")] == [["b3"]] * 6
    assert names(cloud, "enabled=True&domain_id=default") == ["Ab4", "a%1", "a_2", "admin"]
    assert names(cloud, "domain_id=none") == []
    assert len(names(cloud, "default_project_id=x")) == 5  # no filter upstream


def test_pages(cloud: IdentityCloud) -> None:
    for name in ("a", "b", "c"):
        cloud.make("user", "/users", name=name)
    first = cloud.do("GET", "/users?limit=3").json
    assert first["links"] == {"self": f"{HERE}/users?limit=3", "previous": None,
                              "next": f"{HERE}/users?limit=3&marker={first['users'][2]['id']}"}  # fmt: skip
    last = cloud.do("GET", first["links"]["next"].removeprefix(HERE)).json
    assert [u["name"] for u in first["users"] + last["users"]] == ["a", "admin", "b", "c"]
    assert (last["links"]["next"], last["links"]["previous"]) == (None, None)


def test_orders(cloud: IdentityCloud) -> None:
    ids = {name: cloud.make("user", "/users", name=name)["id"] for name in ("a", "b", "c")}
    assert names(cloud, "sort_dir=desc") == ["c", "b", "admin", "a"]
    assert names(cloud, f"sort_dir=desc&marker={ids['b']}") == ["admin", "a"]
    everyone = [u["id"] for u in cloud.do("GET", "/users?sort_key=id").json["users"]]
    assert everyone == sorted(everyone)
    paged = cloud.do("GET", f"/users?sort_key=id&limit=2&marker={everyone[1]}").json["users"]
    assert [u["id"] for u in paged] == everyone[2:]
    assert names(cloud, "sort_key=nothing") == ["a", "admin", "b", "c"]


@pytest.mark.parametrize("query", [
    "limit=x", "limit=-1", "marker=none", "enabled=maybe", "domain_id=", "domain_id=a/b", "name=", "name=%20",
    "sort_dir=up", f"name={'x' * 256}", "password_expires_at=x", "password_expires_at=ge:2020-01-01T00:00:00Z",
    "password_expires_at=lt:", "password_expires_at=lt:9999999"])  # fmt: skip
def test_wrong_parameters(cloud: IdentityCloud, query: str) -> None:
    assert cloud.do("GET", f"/users?{query}").status == 400


def test_by_the_end_of_the_password(cloud: IdentityCloud) -> None:
    for days, name in ((1, "one"), (3, "three"), (2, "two")):
        rules = PasswordSettings(password_expires_days=days)
        cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, passwords=rules)
        cloud.make("user", "/users", name=name, password="pw")
    cloud.make("user", "/users", name="bare")
    at = "2027-01-17T08:00:00Z"
    expected = {
        "lt:": ["one"], "lte:": ["one", "two"], "eq:": ["two"], "": ["two"], "neq:": ["one", "three"],
        "gt:": ["three"], "gte:": ["two", "three"],
    }  # fmt: skip
    for comparator, found_names in expected.items():
        assert names(cloud, f"password_expires_at={comparator}{at}") == found_names
    found = cloud.do("GET", f"/users?limit=1&password_expires_at=lte:{at}").json
    following = found["links"]["next"].removeprefix(f"{HERE}/users?")
    assert names(cloud, following) == ["two"]
    assert names(cloud, f"password_expires_at=gt:2027-01-16T08:00:00Z&password_expires_at=lt:{at}") == []
    assert names(cloud, f"password_expires_at=lt:{at}&name=two") == []


def test_every_user_is_on_one_page(cloud: IdentityCloud) -> None:
    """Names that are the same in several domains, and pages that end between them."""
    domains = [cloud.make("domain", "/domains", name=f"d{n}")["id"] for n in range(4)]
    with cloud.cloud.database.write() as session:
        rows = [{"id": f"{d}{n}", "domain_id": domain, "name": f"n{n}", "enabled": True, "created_at": 0.0,
                 "options": {}, "extra": {}, "generation": 0} for d, domain in enumerate(domains) for n in range(5)]  # fmt: skip
        session.execute(insert(User), rows)
    for query in ("limit=3", "limit=3&sort_dir=desc", "limit=7&sort_key=id", "limit=3&enabled=true"):
        found: list[str] = []
        path: str | None = f"/users?{query}"
        while path:
            page = cloud.do("GET", path).json
            found += [u["id"] for u in page["users"]]
            path = (page["links"]["next"] or "").removeprefix(HERE)
        assert len(found) == len(set(found)) == 21, query


def test_head_answers_as_get(cloud: IdentityCloud) -> None:
    id = cloud.make("user", "/users", name="ann")["id"]
    for path in ("/users", f"/users/{id}", f"/users/{id}/groups", f"/users/{id}/projects"):
        assert (cloud.do("HEAD", path).status, cloud.do("HEAD", path).body) == (200, b"")
    assert cloud.do("GET", f"/users/{id}/password").status == 405
