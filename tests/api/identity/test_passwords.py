"""What operators demand of passwords: strength, history, age, expiry."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import func, select

from api.identity.conftest import IdentityCloud
from api.identity.password_rules import DAY, change, demand, expires, login, make, update
from tiffin.core.settings import SettingsError, section
from tiffin.services.identity.compliance import FormerPassword
from tiffin.services.identity.settings import IdentitySettings, PasswordSettings

# --- the rules themselves -------------------------------------------------------------------------------------------


def test_rules_stand_in_a_table_of_their_own() -> None:
    table = {"password_regex": "^a", "lockout_failure_attempts": 3}
    found = section({"identity": {"token_seconds": 60, "passwords": table}}, "identity", IdentitySettings)
    assert (found.token_seconds, found.remember_seconds, found.passwords.password_regex) == (60, 300.0, "^a")
    assert (found.passwords.lockout_failure_attempts, found.passwords.lockout_duration) == (3, 1800)
    for kind in (IdentitySettings, PasswordSettings):
        assert len(msgspec.structs.fields(kind)) <= 10


@pytest.mark.parametrize("table", [
    {"colour": 1}, {"lockout_duration": -1}, {"password_regex": "("}, {"unique_last_password_count": 51},
    {"change_password_upon_first_use": "yes"}])  # fmt: skip
def test_a_rule_that_cannot_be_meant_is_named(table: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(table))):
        section({"identity": {"passwords": table}}, "identity", IdentitySettings)


# --- strength -------------------------------------------------------------------------------------------------------


def test_a_weak_password_is_refused_wherever_it_is_given(cloud: IdentityCloud) -> None:
    id = make(cloud)
    demand(cloud, password_regex=r"^(?=.*\d).{4,}$", password_regex_description="four characters, one a digit")
    for body in ({"name": "x", "password": "abcd"}, {"name": "x", "password": None}):
        reply = cloud.do("POST", "/users", {"user": body})
        assert reply.status == 400
        assert "four characters, one a digit" in reply.json["error"]["message"]
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"password": "1"}}).status == 400
    assert change(cloud, id, "no", "1") == 401  # only who knows the password learns the rule
    assert change(cloud, id, "pw", "1") == 400
    assert login(cloud) == 201
    assert cloud.do("POST", "/users", {"user": {"name": "x"}}).status == 201
    assert change(cloud, id, "pw", "abc1") == 204
    update(cloud, id, password="abc2")
    assert login(cloud, "abc2") == 201


def test_every_byte_of_a_long_password_counts_and_the_longest_has_4096(cloud: IdentityCloud) -> None:
    long = "x" * 4095
    id = make(cloud, long + "1")
    assert (login(cloud, long + "2"), login(cloud, long + "1"), login(cloud, long + "11")) == (401, 201, 400)
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"password": long + "11"}}).status == 400


# --- history --------------------------------------------------------------------------------------------------------


def former(cloud: IdentityCloud) -> int:
    with cloud.cloud.database.read() as session:
        return session.scalar(select(func.count()).select_from(FormerPassword)) or 0


def test_the_last_passwords_may_not_come_again(cloud: IdentityCloud) -> None:
    demand(cloud, unique_last_password_count=3)
    id = make(cloud, "one")
    assert change(cloud, id, "one", "one") == 400
    assert change(cloud, id, "one", "two") == 204
    assert change(cloud, id, "two", "one") == 400
    assert change(cloud, id, "two", "three") == 204
    assert [change(cloud, id, "three", old) for old in ("one", "two", "three")] == [400, 400, 400]
    assert login(cloud, "three") == 201
    assert change(cloud, id, "three", "four") == 204
    assert change(cloud, id, "four", "one") == 204
    assert former(cloud) == 2
    update(cloud, id, password="one")  # an administrator may, and what it set counts for the user
    assert [change(cloud, id, "one", old) for old in ("four", "one", "three")] == [400, 400, 204]
    demand(cloud)
    assert (change(cloud, id, "three", "three"), former(cloud)) == (204, 0)


def test_a_deleted_user_leaves_no_hash(cloud: IdentityCloud) -> None:
    demand(cloud, unique_last_password_count=2)
    id = make(cloud, "one")
    assert change(cloud, id, "one", "two") == 204
    assert former(cloud) == 1
    cloud.do("DELETE", f"/users/{id}")
    assert former(cloud) == 0


# --- age and expiry -------------------------------------------------------------------------------------------------


def test_an_own_password_must_be_kept_for_some_days(cloud: IdentityCloud) -> None:
    demand(cloud, minimum_password_age=2)
    id = make(cloud)
    assert change(cloud, id, "pw", "two") == 204  # an administrator's may be changed at once
    assert change(cloud, id, "two", "three") == 400
    cloud.clock.now += 2 * DAY - 1
    assert change(cloud, id, "two", "three") == 400
    cloud.clock.now += 1
    assert change(cloud, id, "two", "three") == 204
    cloud.admin = cloud.token("admin", "a long secret", "admin")
    update(cloud, id, password="four")
    assert change(cloud, id, "four", "five") == 204


def test_a_password_expires_and_can_be_changed_then(cloud: IdentityCloud) -> None:
    id = make(cloud)
    demand(cloud, password_expires_days=1)
    assert expires(cloud, id) is None  # what was set before the rule
    cloud.clock.now = 1_800_000_000.5
    assert update(cloud, id, password="two")["password_expires_at"] == "2027-01-16T08:00:00.000000"
    token = cloud.login("ann", "two").json["token"]
    assert token["user"]["password_expires_at"] == "2027-01-16T08:00:00.000000"
    cloud.clock.now += DAY
    refused = cloud.login("ann", "two")
    assert refused.status == 401
    assert refused.json["error"]["message"] == f"The password is expired and needs to be changed for user: {id}."
    assert id not in cloud.login("ann", "wrong").json["error"]["message"]
    assert change(cloud, id, "two", "three") == 204
    assert login(cloud, "three") == 201


def test_some_users_passwords_do_not_expire(cloud: IdentityCloud) -> None:
    demand(cloud, password_expires_days=1)
    id = make(cloud)
    cloud.clock.now += DAY
    assert login(cloud) == 401
    cloud.admin = cloud.token("admin", "a long secret", "admin")
    update(cloud, id, options={"ignore_password_expiry": True})
    assert login(cloud) == 201
    assert update(cloud, id, password="two")["password_expires_at"] is None
    made = cloud.make("user", "/users", name="bob", password="x", options={"ignore_password_expiry": True})
    assert made["password_expires_at"] is None


def test_whoever_got_a_password_must_change_it_first(cloud: IdentityCloud) -> None:
    demand(cloud, change_password_upon_first_use=True)
    id = make(cloud)
    assert expires(cloud, id) == "2027-01-15T08:00:00.000000"
    assert login(cloud) == 401
    assert change(cloud, id, "pw", "two") == 204
    assert (login(cloud, "two"), expires(cloud, id)) == (201, None)
    update(cloud, id, password="three")
    assert login(cloud, "three") == 401
    update(cloud, id, password="four", options={"ignore_change_password_upon_first_use": True})
    assert login(cloud, "four") == 201
    cloud.make("user", "/users", name="bob", password="x", options={"ignore_change_password_upon_first_use": True})
    assert cloud.login("bob", "x").status == 201
    assert cloud.make("user", "/users", name="carl")["password_expires_at"] is None


def test_a_locked_password_is_changed_by_administrators_only(cloud: IdentityCloud) -> None:
    id = make(cloud, options={"lock_password": True})
    assert change(cloud, id, "pw", "two") == 400
    update(cloud, id, password="three")
    assert login(cloud, "three") == 201
