"""What operators demand of accounts: lockout, inactivity; and that a failure tells nothing by what it costs."""

from __future__ import annotations

import threading
from pathlib import Path

import bcrypt
import pytest
from sqlalchemy import select

from api.identity.conftest import IdentityCloud
from api.identity.password_rules import DAY, change, demand, login, make, update
from databases import side_by_side
from tiffin.core.tables import Change
from tiffin.services.identity import compliance
from tiffin.services.identity.settings import PasswordSettings
from tiffin.services.identity.tables import Project, User

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
    rules, database = PasswordSettings(lockout_failure_attempts=1000), side_by_side(tmp_path)
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
