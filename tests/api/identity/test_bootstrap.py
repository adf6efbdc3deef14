"""What every cloud has before its first login, and how an administrator who is locked out gets in again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, URL, IdentityCloud
from tiffin.services.identity.public import BootstrapOptions, IdentitySettings, bootstrap, let_in
from tiffin.services.identity.settings import PasswordSettings

PATHS = (
    "/domains", "/projects", "/users", "/roles", "/role_inferences", "/role_assignments", "/services", "/endpoints", "/regions",
)  # fmt: skip


def everything(cloud: IdentityCloud) -> dict[str, Any]:
    return {path: cloud.do("GET", path).json for path in PATHS}


def again(cloud: IdentityCloud, url: str = URL) -> None:
    with cloud.cloud.database.write() as session:
        bootstrap(session, cloud.cloud.world, "another", "RegionOne", url, BootstrapOptions(rounds=4))


def mend(cloud: IdentityCloud) -> list[str]:
    return let_in(cloud.cloud.database, cloud.cloud.world, ADMIN_PASSWORD, cloud.identity.settings)


def administrator(cloud: IdentityCloud) -> None:
    """Log in again, for the project and for the system."""
    cloud.admin = cloud.token("admin", ADMIN_PASSWORD, "admin")
    cloud.token("admin", ADMIN_PASSWORD, scope={"system": {"all": True}})


def test_the_personas(cloud: IdentityCloud) -> None:
    roles = cloud.do("GET", "/roles").json["roles"]
    assert [r["name"] for r in roles] == ["admin", "manager", "member", "reader", "service"]
    assert all(r["options"] == {"immutable": True} for r in roles)
    rules = cloud.do("GET", "/role_inferences").json["role_inferences"]
    assert {r["prior_role"]["name"]: [i["name"] for i in r["implies"]] for r in rules} == {
        "admin": ["manager"], "manager": ["member"], "member": ["reader"],
    }  # fmt: skip
    administrator(cloud)


def test_once_more_changes_nothing(cloud: IdentityCloud) -> None:
    before = everything(cloud)
    again(cloud)
    assert everything(cloud) == before
    again(cloud, "http://127.0.0.1:9000")
    moved = everything(cloud)
    assert {e["url"].partition("/identity")[0] for e in moved.pop("/endpoints")["endpoints"]} >= {"http://127.0.0.1:9000"}
    assert moved == {path: found for path, found in before.items() if path != "/endpoints"}


def test_what_operators_changed_stays(cloud: IdentityCloud) -> None:
    role = cloud.role("member")
    cloud.do("PATCH", f"/roles/{role}", {"role": {"options": {"immutable": False}}})
    cloud.do("PATCH", f"/roles/{role}", {"role": {"description": "own words"}})
    other = cloud.make("role", "/roles", name="auditor")["id"]
    cloud.do("PUT", f"/roles/{cloud.role('admin')}/implies/{other}")
    endpoint = cloud.do("GET", "/endpoints").json["endpoints"][0]["id"]
    cloud.do("PATCH", f"/endpoints/{endpoint}", {"endpoint": {"url": "https://outside.example/identity"}})
    cloud.do("DELETE", f"/endpoints/{cloud.do('GET', '/endpoints').json['endpoints'][1]['id']}")
    before = everything(cloud)
    assert mend(cloud) == []
    assert everything(cloud) == before


@pytest.mark.parametrize(("path", "kind", "fields"), [
    ("/users/{admin}", "user", {"enabled": False}), ("/users/{admin}", "user", {"password": "forgotten"}),
    ("/users/{admin}", "user", {"options": {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["token"]]}}),
    ("/projects/{project}", "project", {"enabled": False}), ("/domains/default", "domain", {"enabled": False}),
])  # fmt: skip
def test_who_locked_himself_out_is_let_in(cloud: IdentityCloud, path: str, kind: str, fields: dict[str, Any]) -> None:
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    project = cloud.do("GET", "/projects?name=admin").json["projects"][0]["id"]
    where = path.replace("{admin}", admin).replace("{project}", project)
    assert cloud.do("PATCH", where, {kind: fields}).status == 200
    with pytest.raises(AssertionError):
        administrator(cloud)
    assert len(mend(cloud)) == 1
    administrator(cloud)
    assert mend(cloud) == []


@pytest.mark.parametrize("what", ["grants", "implications", "role", "user", "project"])
def test_what_was_taken_away_comes_back(cloud: IdentityCloud, what: str) -> None:
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    project = cloud.do("GET", "/projects?name=admin").json["projects"][0]["id"]
    role, manager = cloud.role("admin"), cloud.role("manager")
    if what == "grants":  # the last one ends the token with which it is asked
        assert cloud.do("DELETE", f"/system/users/{admin}/roles/{role}").status == 204
        assert cloud.do("DELETE", f"/projects/{project}/users/{admin}/roles/{role}").status == 204
    elif what == "implications":
        assert cloud.do("DELETE", f"/roles/{role}/implies/{manager}").status == 204
    elif what == "role":
        cloud.do("PATCH", f"/roles/{role}", {"role": {"options": {"immutable": False}}})
        assert cloud.do("DELETE", f"/roles/{role}").status == 204
    else:
        assert cloud.do("DELETE", f"/users/{admin}" if what == "user" else f"/projects/{project}").status == 204
    assert any("Made what was missing" in sentence for sentence in mend(cloud))
    administrator(cloud)
    rules = cloud.do("GET", "/role_inferences").json["role_inferences"]
    assert [r["prior_role"]["name"] for r in rules] == ["admin", "manager", "member"]
    assert mend(cloud) == []


def test_a_replaced_password_ends_the_tokens(cloud: IdentityCloud) -> None:
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    cloud.do("PATCH", f"/users/{admin}", {"user": {"password": "stolen"}})
    thief = cloud.token("admin", "stolen", "admin")
    assert mend(cloud) == ["Gave admin the password that clouds.yaml has."]
    assert cloud.do("GET", "/users", token=thief).status == 401
    administrator(cloud)


@pytest.mark.parametrize("kept_out", ["wrong passwords", "idleness"])
def test_a_closed_account_is_opened(tmp_path: Path, kept_out: str) -> None:
    rules = PasswordSettings(lockout_failure_attempts=2, lockout_duration=0, disable_user_account_days_inactive=30)
    cloud = IdentityCloud(tmp_path / "keys", IdentitySettings(passwords=rules))
    try:
        if kept_out == "idleness":
            cloud.clock.now += 40 * 86_400
        for _ in range(2):
            cloud.login("admin", "wrong")
        assert cloud.login("admin", ADMIN_PASSWORD).status == 401
        assert mend(cloud) == ["Opened the account of admin, which was locked or had been idle for too long."]
        administrator(cloud)
        assert mend(cloud) == []
    finally:
        cloud.close()
