"""Whatever was done to the administrator's account, who owns the machine gets it back."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from api.identity.conftest import ADMIN_PASSWORD, URL, IdentityCloud
from tiffin.core.tables import Change
from tiffin.services.identity.public import BootstrapOptions, bootstrap, hash_password, recover_admin

PROJECT = {"project": {"name": "admin", "domain": {"id": "default"}}}


def recover(cloud: IdentityCloud, password: str) -> None:
    with cloud.cloud.database.write() as session:
        bootstrap(session, cloud.cloud.world, password, "RegionOne", URL, BootstrapOptions(rounds=4))
        recover_admin(session, cloud.cloud.world, hash_password(password, 4), cloud.identity.settings.passwords)


def admins(cloud: IdentityCloud) -> tuple[str, str]:
    """The ids of the user and the project `admin`."""
    found = [cloud.do("GET", f"/{kind}?name=admin&domain_id=default").json[kind][0]["id"] for kind in ("users", "projects")]
    return found[0], found[1]


def statuses(cloud: IdentityCloud, password: str) -> list[int]:
    return [cloud.login("admin", password, scope).status for scope in (None, PROJECT, {"system": {"all": True}})]


def test_a_forgotten_password(cloud: IdentityCloud) -> None:
    user_id, _ = admins(cloud)
    assert cloud.do("PATCH", f"/users/{user_id}", {"user": {"password": "whatever"}}).status == 200
    assert statuses(cloud, ADMIN_PASSWORD) == [401, 401, 401]
    recover(cloud, "found again")
    assert statuses(cloud, "found again") == [201, 201, 201]
    assert statuses(cloud, "whatever") == [401, 401, 401]
    with cloud.cloud.database.read() as session:
        changed = session.scalars(select(Change).where(Change.resource_id == user_id).order_by(Change.sequence.desc()))
        recovered = next(change for change in changed if change.kind == "update")
    assert recovered.via == {"agent": "tiffin recover", "address": "local"}


def test_an_account_that_was_shut(cloud: IdentityCloud) -> None:
    """One thing after the other, each of which would keep the administrator out."""
    user_id, project_id = admins(cloud)
    cloud.do("POST", "/domains", {"domain": {"name": "other"}})
    for path, change in (
        (f"/users/{user_id}", {"user": {"options": {"multi_factor_auth_enabled": True,
                                                    "multi_factor_auth_rules": [["password", "totp"]]}}}),
        (f"/projects/{project_id}", {"project": {"enabled": False}}),
        (f"/users/{user_id}", {"user": {"enabled": False}}),
    ):  # fmt: skip
        spare, _, token = spare_admin(cloud)
        assert cloud.do("PATCH", path, change, token=token).status == 200, spare
        assert 201 not in statuses(cloud, ADMIN_PASSWORD)[1:2]
        recover(cloud, ADMIN_PASSWORD)
        assert statuses(cloud, ADMIN_PASSWORD) == [201, 201, 201], path
        cloud.admin = cloud.token("admin", ADMIN_PASSWORD, "admin")


def spare_admin(cloud: IdentityCloud) -> tuple[Any, ...]:
    name = f"spare-{cloud.cloud.world.new_id()}"
    return cloud.member(name, name, "admin")


def test_an_account_that_is_gone(cloud: IdentityCloud) -> None:
    user_id, project_id = admins(cloud)
    *_, token = spare_admin(cloud)
    role = cloud.role("admin")
    assert cloud.do("DELETE", f"/projects/{project_id}/users/{user_id}/roles/{role}", token=token).status == 204
    assert cloud.login("admin", ADMIN_PASSWORD, PROJECT).status == 401
    recover(cloud, ADMIN_PASSWORD)
    assert statuses(cloud, ADMIN_PASSWORD) == [201, 201, 201]
    assert cloud.do("DELETE", f"/users/{user_id}", token=token).status == 204
    assert cloud.do("DELETE", f"/projects/{project_id}", token=token).status == 204
    recover(cloud, ADMIN_PASSWORD)
    assert statuses(cloud, ADMIN_PASSWORD) == [201, 201, 201]
