"""Users: what they are, who may see and change them, what a change and a deletion do."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import func, or_, select

from api.identity.conftest import IdentityCloud
from tiffin.core.tables import IdempotentAnswer, Table
from tiffin.services.identity.compliance import FormerPassword
from tiffin.services.identity.tables import User


def test_a_user_lives_and_dies(cloud: IdentityCloud) -> None:
    made = cloud.make("user", "/users", name="ann", password="pw", email="a@b.c", description=None, id="x", links={})
    id = made["id"]
    assert made == {
        "id": id, "name": "ann", "domain_id": "default", "enabled": True, "options": {}, "password_expires_at": None,
        "email": "a@b.c", "description": None, "links": {"self": f"http://127.0.0.1:8000/identity/v3/users/{id}"},
    }  # fmt: skip
    assert cloud.do("GET", f"/users/{id}").json["user"] == made
    assert made in cloud.do("GET", "/users").json["users"]
    changed = cloud.do("PATCH", f"/users/{id}", {"user": {"name": "anna", "email": "x@y.z", "default_project_id": "p"}})
    assert changed.status == 200
    assert changed.json["user"] == {
        **made, "name": "anna", "email": "x@y.z", "default_project_id": "p",
    }  # fmt: skip
    assert cloud.do("DELETE", f"/users/{id}").status == 204
    assert cloud.do("GET", f"/users/{id}").status == 404
    assert cloud.do("DELETE", f"/users/{id}").status == 404


@pytest.mark.parametrize("fields", [
    {}, {"name": ""}, {"name": " "}, {"name": "x" * 256}, {"name": 1}, {"name": "x", "enabled": "maybe"},
    {"name": "x", "domain_id": ""}, {"name": "x", "options": {"lock_password": 1}}, {"name": "x", "options": {"z": True}},
    {"name": "x", "options": {"multi_factor_auth_rules": ["password"]}}, {"name": "x", "password": 5},
    {"name": "x", "big": "y" * 70_000}, {"name": "x", "y" * 256: 1}, {"name": "x", "default_project_id": "default"},
    {"name": "x", "domain_id": "a/b"}, {"name": None}, {"name": "x", "options": None}, {"name": "x", "options": []},
    {"name": "x", "password": "y" * 4097}, {"name": "x", "options": {"multi_factor_auth_rules": "password"}},
    {"name": "x", "options": {"multi_factor_auth_rules": [[]]}}, {"name": "x", "options": {"multi_factor_auth_enabled": "yes"}},
    {"name": "x", "options": {"multi_factor_auth_rules": [["totp"], ["totp"]]}},
    {"name": "x", "options": {"multi_factor_auth_rules": [["totp", "totp"]]}},
    {"name": "x", "options": {"multi_factor_auth_rules": [[1]]}}, {"name": "x", "default_project_id": 1},
    {"name": "x", "federated": {}}, {"name": "x", "federated": [{"idp_id": "i"}]},
    {"name": "x", "federated": [{"idp_id": "i", "protocols": []}]},
    {"name": "x", "federated": [{"idp_id": "i", "protocols": [{"protocol_id": "p"}]}]},
    {"name": "x", "federated": [{"idp_id": "i", "protocols": [{"protocol_id": "p", "unique_id": "u"}]}]}])  # fmt: skip
def test_bad_users(cloud: IdentityCloud, fields: dict[str, Any]) -> None:
    assert cloud.do("POST", "/users", {"user": fields}).status == 400
    assert len(cloud.do("GET", "/users").json["users"]) == 1
    id = cloud.make("user", "/users", name="ann")["id"]
    before = cloud.do("GET", f"/users/{id}").json
    assert cloud.do("PATCH", f"/users/{id}", {"user": fields}).status == 400
    assert cloud.do("GET", f"/users/{id}").json == before


@pytest.mark.parametrize("body", [{}, {"user": None}, {"user": []}, {"user": {"name": "x"}, "more": 1}, [], None, "x"])
def test_bodies_that_are_none(cloud: IdentityCloud, body: Any) -> None:
    assert cloud.do("POST", "/users", body).status == 400
    assert cloud.do("PATCH", f"/users/{cloud.make('user', '/users', name='ann')['id']}", body).status == 400


def test_spaces_around_a_name_are_dropped(cloud: IdentityCloud) -> None:
    made = cloud.make("user", "/users", name=" ann ")
    assert made["name"] == "ann"
    assert cloud.do("POST", "/users", {"user": {"name": "ann "}}).status == 409
    assert cloud.do("PATCH", f"/users/{made['id']}", {"user": {"name": "  bea "}}).json["user"]["name"] == "bea"


def test_options_come_and_go(cloud: IdentityCloud) -> None:
    rules = [["password", "totp"], ["password"]]
    options = {"lock_password": True, "ignore_password_expiry": False, "multi_factor_auth_rules": rules}
    made = cloud.make("user", "/users", name="ann", options=options)
    assert made["options"] == options
    path = f"/users/{made['id']}"
    changed = {"lock_password": None, "multi_factor_auth_enabled": True, "multi_factor_auth_rules": []}
    now = {"ignore_password_expiry": False, "multi_factor_auth_enabled": True, "multi_factor_auth_rules": []}
    assert cloud.do("PATCH", path, {"user": {"options": changed}}).json["user"]["options"] == now
    assert cloud.do("PATCH", path, {"user": {"options": {}}}).json["user"]["options"] == now


def test_mail_addresses_may_be_many(cloud: IdentityCloud) -> None:
    made = cloud.make("user", "/users", name="ann", email=["a@b.example", "c@d.example"], phone={"home": 1})
    assert (made["email"], made["phone"]) == (["a@b.example", "c@d.example"], {"home": 1})
    changed = cloud.do("PATCH", f"/users/{made['id']}", {"user": {"email": None}}).json["user"]
    assert (changed["email"], changed["phone"]) == (None, {"home": 1})


def test_names_are_unique_in_a_domain(cloud: IdentityCloud) -> None:
    id = cloud.make("user", "/users", name="ann")["id"]
    assert cloud.do("POST", "/users", {"user": {"name": "ann"}}).status == 409
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"name": "admin"}}).status == 409
    assert cloud.do("POST", "/users", {"user": {"name": "ann", "domain_id": "none"}}).status == 404
    domain = cloud.make("domain", "/domains", name="d")["id"]
    cloud.make("user", "/users", name="ann", domain_id=domain)
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"domain_id": domain}}).status == 400
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"id": "other"}}).status == 400
    assert cloud.do("PATCH", f"/users/{id}", {"user": {"id": id, "domain_id": "default"}}).status == 200


def test_a_new_password_kills_every_token(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    path = f"/users/{user}/password"
    assert cloud.do("POST", path, {"user": {"original_password": "no", "password": "new"}}).status == 401
    assert (
        cloud.do("POST", "/users/none/password", {"user": {"original_password": "no", "password": "n"}}).status == 401
    )
    assert cloud.do("POST", path, {"user": {"password": "new"}}).status == 400
    assert cloud.do("GET", "/auth/projects", token=token).status == 200
    assert cloud.do("POST", path, {"user": {"original_password": "pw", "password": "new"}}).status == 204
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 401
    token = cloud.token("ann", "new", "p")
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"password": "newest"}}).status == 200
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "newest").status == 201


def test_a_disabled_user_is_out_for_good(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p")
    cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": False}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 401
    cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": True}})
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").status == 201


def test_more_factors_are_asked_for(cloud: IdentityCloud) -> None:
    user, _, _ = cloud.member("ann", "p")
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"options": rules}}).status == 200
    assert cloud.login("ann", "pw").status == 401
    cloud.do("PATCH", f"/users/{user}", {"user": {"options": {"multi_factor_auth_enabled": False}}})
    assert cloud.login("ann", "pw").status == 201


def test_the_default_project_is_the_scope(cloud: IdentityCloud) -> None:
    user, project, _ = cloud.member("ann", "p")
    cloud.do("PATCH", f"/users/{user}", {"user": {"default_project_id": project}})
    assert cloud.login("ann", "pw").json["token"]["project"]["id"] == project
    assert "project" not in cloud.login("ann", "pw", "unscoped").json["token"]
    cloud.do("PATCH", f"/projects/{project}", {"project": {"enabled": False}})
    assert "project" not in cloud.login("ann", "pw").json["token"]
    assert cloud.do("DELETE", f"/projects/{project}").status == 204
    assert "default_project_id" not in cloud.do("GET", f"/users/{user}").json["user"]


def test_who_may(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("ann", "p", "manager")
    other = cloud.make("user", "/users", name="bob")["id"]
    assert cloud.do("GET", f"/users/{user}", token=token).status == 200
    for path in (f"/users/{other}", "/users/none", "/users"):
        assert cloud.do("GET", path, token=token).status == 403
    assert cloud.do("POST", "/users", {"user": {"name": "eve"}}, token=token).status == 403
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"enabled": True}}, token=token).status == 403
    assert cloud.do("DELETE", f"/users/{other}", token=token).status == 403
    assert cloud.ask("GET", "/identity/v3/users", token=None).status == 401


def test_a_manager_of_a_domain(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name="d")["id"]
    boss = cloud.make("user", "/users", name="boss", password="pw", domain_id=domain)["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{boss}/roles/{cloud.role('manager')}")
    token = cloud.login("boss", "pw", {"domain": {"id": domain}}, domain).headers["x-subject-token"]
    made = cloud.do("POST", "/users", {"user": {"name": "eve"}}, token=token)
    assert (made.status, made.json["user"]["domain_id"]) == (201, domain)
    assert [u["name"] for u in cloud.do("GET", "/users", token=token).json["users"]] == ["boss", "eve"]
    assert cloud.do("POST", "/users", {"user": {"name": "x", "domain_id": "default"}}, token=token).status == 403
    project = cloud.do("POST", "/projects", {"project": {"name": "p"}}, token=token)
    assert project.json["project"]["domain_id"] == domain
    assert [d["id"] for d in cloud.do("GET", "/domains", token=token).json["domains"]] == [domain]
    grant = f"/projects/{project.json['project']['id']}/users/{made.json['user']['id']}/roles"
    assert cloud.do("PUT", f"{grant}/{cloud.role('member')}", token=token).status == 204
    assert cloud.do("PUT", f"{grant}/{cloud.role('admin')}", token=token).status == 403


def test_an_idempotency_key_does_it_once(cloud: IdentityCloud) -> None:
    def twice(method: str, path: str, body: object) -> Any:
        first, second = (cloud.do(method, path, body, Idempotency_Key=f"{method} {path}") for _ in range(2))
        assert (first.status, first.body) == (second.status, second.body)
        other = cloud.do(method, path, {"user": {"name": "another"}}, Idempotency_Key=f"{method} {path}")
        assert other.status == 409 if first.status == 201 else first.status == 200
        return first.json

    made = twice("POST", "/users", {"user": {"name": "kim", "password": "first secret"}})
    path = f"/users/{made['user']['id']}"
    twice("PATCH", path, {"user": {"password": "second secret"}})
    assert cloud.login("kim", "second secret").status == 201
    body = {"user": {"original_password": "second secret", "password": "third secret"}}
    for _ in range(2):
        assert cloud.do("POST", f"{path}/password", body, Idempotency_Key="p").status == 204
    assert cloud.login("kim", "third secret").status == 201


def test_an_application_credential_with_an_idempotency_key_shows_its_secret_again(cloud: IdentityCloud) -> None:
    user, _, token = cloud.member("kim", "plant")
    body = {"application_credential": {"name": "robot"}}
    path = f"/users/{user}/application_credentials"
    first, second = (cloud.do("POST", path, body, token, Idempotency_Key="k") for _ in range(2))
    assert (first.status, first.body) == (201, second.body)
    secret = first.json["application_credential"]["secret"]
    with cloud.cloud.database.read() as session:
        kept = [bytes(row.answer) for row in session.scalars(select(IdempotentAnswer))]
    assert kept
    assert not any(secret.encode() in answer for answer in kept)


def test_who_may_not_costs_no_hash(cloud: IdentityCloud) -> None:
    _, _, token = cloud.member("kim", "plant")
    cloud.identity.passwords.rounds = 99  # more than bcrypt can
    assert cloud.do("POST", "/users", {"user": {"name": "x", "password": "y"}}, token).status == 403


def test_a_deleted_user_leaves_nothing(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    other = cloud.make("user", "/users", name="bob", password="pw")["id"]
    group = cloud.make("group", "/groups", name="g")["id"]
    assert cloud.do("PUT", f"/groups/{group}/users/{user}").status == 204
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers"}]
    lent = {"application_credential": {"name": "c", "access_rules": rules}}
    credential = cloud.do("POST", f"/users/{user}/application_credentials", lent, token).json["application_credential"]
    trust = {"trustor_user_id": user, "trustee_user_id": other, "project_id": project, "impersonation": True,
             "roles": [{"name": "member"}]}  # fmt: skip
    assert cloud.do("POST", "/OS-TRUST/trusts", {"trust": trust}, token).status == 201
    assert cloud.do("POST", f"/users/{user}/credentials/OS-EC2", {"tenant_id": project}, token).status == 201
    provider(cloud, "i", "p")
    assert cloud.do("PATCH", f"/users/{user}", {"user": {"federated": links("u")}}).status == 200
    with cloud.cloud.database.write() as session:
        session.add(FormerPassword(user_id=user, password_hash="x"))

    def left() -> dict[str, int]:
        """How many rows of each table speak of the user."""
        found = {}
        with cloud.cloud.database.read() as session:
            for name, table in Table.metadata.tables.items():
                columns = [c for c in table.columns if c.name.endswith("user_id") or c is User.__table__.c.id]
                if name.startswith("identity_") and columns:
                    speaks = or_(*(c == user for c in columns))
                    found[name] = session.scalar(select(func.count()).select_from(table).where(speaks)) or 0
        return found

    before = left()
    assert {name for name, count in before.items() if count} == {
        "identity_user", "identity_membership", "identity_assignment", "identity_application_credential",
        "identity_access_rule", "identity_trust", "identity_credential", "identity_federated_user",
        "identity_former_password",
    }  # fmt: skip
    assert cloud.do("DELETE", f"/users/{user}").status == 204
    assert set(left().values()) == {0}
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    lent_id = {"id": credential["id"], "secret": credential["secret"]}
    reply = cloud.auth({"methods": ["application_credential"], "application_credential": lent_id})
    assert reply.status == 404
    assert cloud.login("ann", "pw").status == 401


def provider(cloud: IdentityCloud, idp_id: str, *protocols: str) -> None:
    """An identity provider with these protocols."""
    path = f"/OS-FEDERATION/identity_providers/{idp_id}"
    assert cloud.do("PUT", path, {"identity_provider": {"enabled": True}}).status == 201
    if cloud.do("GET", "/OS-FEDERATION/mappings/m").status == 404:
        rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]
        assert cloud.do("PUT", "/OS-FEDERATION/mappings/m", {"mapping": {"rules": rules}}).status == 201
    for protocol in protocols:
        assert cloud.do("PUT", f"{path}/protocols/{protocol}", {"protocol": {"mapping_id": "m"}}).status == 201


def links(*unique_ids: str, idp_id: str = "i", protocol_id: str = "p") -> list[dict[str, Any]]:
    protocols = [{"protocol_id": protocol_id, "unique_id": unique_id} for unique_id in unique_ids]
    return [{"idp_id": idp_id, "protocols": protocols}]


def test_identities_are_given_to_users(cloud: IdentityCloud) -> None:
    provider(cloud, "i", "p")
    ann = cloud.make("user", "/users", name="ann", federated=links("u1", "u2"))
    assert ann["federated"] == links("u1", "u2")
    for wrong in (links("u", idp_id="j"), links("u", protocol_id="q")):
        assert cloud.do("POST", "/users", {"user": {"name": "bob", "federated": wrong}}).status == 400
        assert cloud.do("PATCH", f"/users/{ann['id']}", {"user": {"federated": wrong}}).status == 400
    assert cloud.do("POST", "/users", {"user": {"name": "bob", "federated": links("u1")}}).status == 409
    assert cloud.do("GET", "/users?name=bob").json["users"] == []
    path = f"/users/{ann['id']}"
    changed = cloud.do("PATCH", path, {"user": {"federated": links("u3", "u1", "u3")}})
    assert changed.json["user"]["federated"] == links("u3", "u1")
    assert cloud.do("PATCH", path, {"user": {"federated": []}}).json["user"]["federated"] == links("u3", "u1")
    assert cloud.do("PATCH", path, {"user": {"email": "x"}}).json["user"]["federated"] == links("u3", "u1")
    assert cloud.do("DELETE", "/OS-FEDERATION/identity_providers/i/protocols/p").status == 204
    assert "federated" not in cloud.do("GET", path).json["user"]


def test_users_by_their_identities(cloud: IdentityCloud) -> None:
    provider(cloud, "i", "p", "q")
    provider(cloud, "j", "p")
    several = [
        {"idp_id": "i", "protocols": [{"protocol_id": "p", "unique_id": "u1"}, {"protocol_id": "q", "unique_id": "u3"}]},
        {"idp_id": "j", "protocols": [{"protocol_id": "p", "unique_id": "u2"}]},
    ]
    ann = cloud.make("user", "/users", name="ann", federated=several)["id"]
    cloud.make("user", "/users", name="bob", federated=links("u4"))
    assert cloud.do("GET", f"/users/{ann}").json["user"]["federated"] == several

    def names(query: str) -> list[str]:
        return [u["name"] for u in cloud.do("GET", f"/users?{query}").json["users"]]

    assert names("idp_id=i") == ["ann", "bob"]
    assert names("idp_id=j") == names("unique_id=u1") == names("protocol_id=q") == ["ann"]
    assert names("idp_id=j&protocol_id=q") == names("unique_id=none") == []
    assert names("idp_id=i&name=bob") == ["bob"]
    assert "federated" not in cloud.do("GET", "/users?name=ann").json["users"][0]
