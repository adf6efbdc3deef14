"""What operators demand of passwords: strength, history, age, expiry, lockout, inactivity."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import bcrypt
import msgspec
import pytest
from sqlalchemy import func, select

from api.identity.conftest import IdentityCloud
from tiffin.core.database import Database
from tiffin.core.settings import SettingsError, section
from tiffin.core.tables import Change, Table
from tiffin.services.identity import compliance
from tiffin.services.identity.compliance import FormerPassword
from tiffin.services.identity.settings import IdentitySettings, PasswordSettings
from tiffin.services.identity.tables import Project, User

DAY = 86_400.0


def demand(cloud: IdentityCloud, **rules: Any) -> None:
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, passwords=PasswordSettings(**rules))


def make(cloud: IdentityCloud, password: str = "pw", **fields: Any) -> str:
    return str(cloud.make("user", "/users", name="ann", password=password, **fields)["id"])


def update(cloud: IdentityCloud, id: str, **fields: Any) -> Any:
    reply = cloud.do("PATCH", f"/users/{id}", {"user": fields})
    assert reply.status == 200, reply.body
    return reply.json["user"]


def change(cloud: IdentityCloud, id: str, old: str, new: str) -> int:
    body = {"user": {"original_password": old, "password": new}}
    return cloud.ask("POST", f"/identity/v3/users/{id}/password", token=None, json=body).status


def login(cloud: IdentityCloud, password: str = "pw") -> int:
    return cloud.login("ann", password).status


def expires(cloud: IdentityCloud, id: str) -> str | None:
    found: str | None = cloud.do("GET", f"/users/{id}").json["user"]["password_expires_at"]
    return found


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


# --- lockout --------------------------------------------------------------------------------------------------------


def test_too_many_wrong_passwords_lock_the_account_for_a_while(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=3, lockout_duration=60)
    make(cloud)
    assert [login(cloud, "no") for _ in range(2)] == [401, 401]
    assert login(cloud) == 201  # what came before is forgotten
    assert [login(cloud, "no") for _ in range(3)] == [401, 401, 401]
    assert login(cloud) == 401
    with cloud.cloud.database.read() as session:
        assert session.scalars(select(Change.kind).where(Change.kind == "lock")).all() == ["lock"]
    cloud.clock.now += 59
    assert [login(cloud, "no"), login(cloud)] == [401, 401]  # and does not count
    cloud.clock.now += 1
    assert login(cloud, "no") == 401  # the first of three
    assert login(cloud) == 201
    assert [login(cloud, "no") for _ in range(3)] == [401, 401, 401]
    cloud.clock.now += 60
    assert login(cloud) == 201


def test_a_locked_account_answers_as_one_that_never_was(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=1)
    make(cloud)
    wrong, locked, unknown = cloud.login("ann", "no"), cloud.login("ann", "pw"), cloud.login("bob", "pw")
    assert wrong.body == locked.body == unknown.body
    assert wrong.status == 401


def test_a_lock_without_an_end_is_opened_by_an_administrator(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=1, lockout_duration=0)
    id = make(cloud)
    assert login(cloud, "no") == 401
    cloud.clock.now += 1000 * DAY
    assert login(cloud) == 401
    cloud.admin = cloud.token("admin", "a long secret", "admin")
    update(cloud, id, email="x")
    assert login(cloud) == 201


def test_some_accounts_are_never_locked(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=1)
    make(cloud, options={"ignore_lockout_failure_attempts": True})
    assert [login(cloud, "no"), login(cloud)] == [401, 201]


def test_whoever_guesses_the_old_password_is_locked_out_too(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=2)
    id = make(cloud)
    assert [change(cloud, id, "no", "x"), change(cloud, id, "no", "x")] == [401, 401]
    assert [login(cloud), change(cloud, id, "pw", "x")] == [401, 401]


def test_other_secrets_and_other_proofs_do_not_lock(cloud: IdentityCloud) -> None:
    demand(cloud, lockout_failure_attempts=1)
    id, _, token = cloud.member("ann", "p")
    made = cloud.do("POST", f"/users/{id}/application_credentials", {"application_credential": {"name": "c"}}, token)
    credential = {"id": made.json["application_credential"]["id"], "secret": "no"}
    assert cloud.auth({"methods": ["application_credential"], "application_credential": credential}).status == 401
    assert cloud.login("ann", "pw", {"project": {"id": "none"}}).status == 401
    assert login(cloud) == 201
    bob = cloud.make("user", "/users", name="bob", password="pw")["id"]
    guess = {"methods": ["token", "application_credential", "password"], "token": {"id": cloud.admin},
             "application_credential": credential, "password": {"user": {"id": bob, "password": "no"}}}  # fmt: skip
    assert cloud.auth(guess).status == 401
    assert login(cloud) == 201
    assert cloud.login("bob", "pw").status == 401  # the guess was about this one


def test_failures_at_the_same_time_are_all_counted(tmp_path: Path) -> None:
    rules, database = PasswordSettings(lockout_failure_attempts=1000), Database(f"sqlite:///{tmp_path / 'x.db'}")
    Table.metadata.create_all(database.engine)
    with database.write() as session:
        session.add(Project(id="d", name="d", is_domain=True, enabled=True, description=""))
        session.flush()
        session.add(User(id="u", name="u", domain_id="d", enabled=True, created_at=0.0))

    def fail() -> None:
        for _ in range(10):
            with database.write() as session:
                compliance.count_failure(session, session.get_one(User, "u"), 1.0, rules)

    threads = [threading.Thread(target=fail) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with database.read() as session:
        assert session.get_one(User, "u").failed_logins == 80
    database.close()


def test_a_guess_that_was_right_is_too_late_when_others_have_locked_the_account(
    cloud: IdentityCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    demand(cloud, lockout_failure_attempts=1)
    make(cloud)
    check = bcrypt.checkpw

    def meanwhile(password: bytes, kept: bytes) -> bool:
        monkeypatch.setattr(bcrypt, "checkpw", check)
        assert login(cloud, "no") == 401
        return check(password, kept)

    monkeypatch.setattr(bcrypt, "checkpw", meanwhile)
    assert login(cloud) == 401


# --- inactivity -----------------------------------------------------------------------------------------------------


def test_an_idle_account_is_disabled(cloud: IdentityCloud) -> None:
    demand(cloud, disable_user_account_days_inactive=2)
    id = make(cloud)
    idle = cloud.make("user", "/users", name="idle", password="pw")["id"]
    exempt = cloud.make("user", "/users", name="robot", password="pw", options={"ignore_user_inactivity": True})["id"]
    cloud.clock.now += DAY
    assert login(cloud) == 201
    cloud.clock.now += DAY
    wake(cloud, "admin")
    cloud.admin = cloud.token("admin", "a long secret", "admin")
    assert [u["id"] for u in cloud.do("GET", "/users?enabled=false").json["users"]] == [idle]
    assert {u["id"] for u in cloud.do("GET", "/users?enabled=true").json["users"]} >= {id, exempt}
    assert cloud.do("GET", f"/users/{idle}").json["user"]["enabled"] is False
    assert [cloud.login(name, "pw").status for name in ("idle", "robot", "ann")] == [401, 201, 201]
    assert change(cloud, idle, "pw", "x") == 401
    assert update(cloud, idle, enabled=True)["enabled"] is True
    assert cloud.login("idle", "pw").status == 201


def wake(cloud: IdentityCloud, name: str) -> None:
    with cloud.cloud.database.write() as session:
        session.scalars(select(User).where(User.name == name)).one().last_active_at = cloud.clock.now


def test_an_idle_accounts_credentials_rest_too(cloud: IdentityCloud) -> None:
    id, _, token = cloud.member("ann", "p")
    made = cloud.do("POST", f"/users/{id}/application_credentials", {"application_credential": {"name": "c"}}, token)
    credential = {k: made.json["application_credential"][k] for k in ("id", "secret")}
    body = {"methods": ["application_credential"], "application_credential": credential}
    assert cloud.auth(body).status == 201
    demand(cloud, disable_user_account_days_inactive=1)
    cloud.clock.now += DAY
    assert cloud.auth(body).status == 401


def test_activity_is_written_once_a_day(cloud: IdentityCloud) -> None:
    id = make(cloud)
    demand(cloud, disable_user_account_days_inactive=30)

    def seen() -> float | None:
        with cloud.cloud.database.read() as session:
            return session.get_one(User, id).last_active_at

    assert login(cloud) == 201
    first = seen()
    assert first == cloud.clock.now
    cloud.clock.now += 3600
    assert (login(cloud), seen()) == (201, first)
    cloud.clock.now += DAY
    assert (login(cloud), seen()) == (201, cloud.clock.now)


def test_without_rules_a_login_writes_nothing_about_the_user(cloud: IdentityCloud) -> None:
    id = make(cloud)
    assert [login(cloud, "no"), login(cloud)] == [401, 201]
    with cloud.cloud.database.read() as session:
        user = session.get_one(User, id)
        assert (user.failed_logins, user.failed_at, user.last_active_at) == (0, None, None)


# --- what a failure costs -------------------------------------------------------------------------------------------


def test_every_failure_costs_the_same_hashing(cloud: IdentityCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    demand(cloud, lockout_failure_attempts=2, password_expires_days=1000, disable_user_account_days_inactive=1000)
    make(cloud)
    ids = {
        "locked": cloud.make("user", "/users", name="locked", password="pw")["id"],
        "disabled": cloud.make("user", "/users", name="disabled", password="pw", enabled=False)["id"],
        "bare": cloud.make("user", "/users", name="bare")["id"],
        "idle": cloud.make("user", "/users", name="idle", password="pw")["id"],
    }
    for name in ("ann", "locked"):
        assert cloud.login(name, "pw").status == 201  # the right one is remembered from now on
    for _ in range(2):
        cloud.login("locked", "no")
    with cloud.cloud.database.write() as session:
        session.get_one(User, ids["idle"]).last_active_at = 0.0
    work: list[bytes] = []
    check = bcrypt.checkpw

    def counted(password: bytes, kept: bytes) -> bool:
        work.append(kept[:7])
        return check(password, kept)

    monkeypatch.setattr(bcrypt, "checkpw", counted)
    for name, password in (("ann", "no"), ("nobody", "no"), ("locked", "no"), ("locked", "pw"), ("disabled", "pw"),
                           ("disabled", "no"), ("bare", "pw"), ("idle", "pw")):  # fmt: skip
        assert cloud.login(name, password).status == 401
        assert work == [b"$2b$04$"], name
        work.clear()
    for id, password in (("none", "pw"), (ids["locked"], "pw"), (ids["disabled"], "pw"), (ids["bare"], "pw")):
        assert change(cloud, id, password, "x") == 401
        assert work == [b"$2b$04$"]
        work.clear()
