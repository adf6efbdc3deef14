"""Every login and every mutation can be had as an audit event: who, from where, what, and how it ended."""

from __future__ import annotations

from typing import Any

import pytest
from pycadf.credential import Credential
from pycadf.event import Event
from pycadf.host import Host
from pycadf.reason import Reason
from pycadf.resource import Resource

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.cli.audit import conditions, line, read
from tiffin.core import audit
from tiffin.core.tables import Change
from tiffin.services.identity.audit import TAXONOMY


class Log:
    """What has come to the change log since the last look."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        self.last = 0
        self.changes()

    def changes(self, user: str | None = None) -> list[Change]:
        found = [c for c in read(self.cloud.cloud.database, conditions(None, user, 0), False) if c.sequence > self.last]
        self.last = max([self.last, *(c.sequence for c in found)])
        return found

    def one(self) -> dict[str, Any]:
        """The one event that has come, as CADF; checked by pycadf."""
        (change,) = self.changes()
        return checked(audit.cadf(change, TAXONOMY))


def checked(event: dict[str, Any]) -> dict[str, Any]:
    """The event. Raises AssertionError when pycadf does not take it for a valid one."""

    def resource(body: dict[str, Any]) -> Resource:
        parts = {"id": body["id"], "typeURI": body["typeURI"]}
        host = Host(**body["host"]) if "host" in body else None
        credential = Credential(token=body["credential"]["token"]) if "credential" in body else None
        return Resource(**parts, host=host, credential=credential)

    words = ("eventType", "id", "eventTime", "action", "outcome")
    parties = {name: resource(event[name]) for name in ("initiator", "target", "observer")}
    reason = Reason(**event["reason"]) if "reason" in event else None
    theirs = Event(**{word: event[word] for word in words}, **parties, reason=reason)
    assert theirs.is_valid()
    for name in ("initiator", "target", "observer"):
        assert theirs.as_dict()[name].items() <= {**event[name], "credential": theirs.as_dict()[name].get("credential")}.items()
    return event


@pytest.fixture
def log(cloud: IdentityCloud) -> Log:
    return Log(cloud)


def admin_id(cloud: IdentityCloud) -> str:
    return str(cloud.do("GET", "/users?name=admin").json["users"][0]["id"])


def test_a_user_is_created_updated_deleted(cloud: IdentityCloud, log: Log) -> None:
    reply = cloud.do("POST", "/users", {"user": {"name": "eve"}}, User_Agent="curl/8", X_Forwarded_For="203.0.113.9")
    id, event = reply.json["user"]["id"], log.one()
    assert (event["action"], event["outcome"], event["resource_info"]) == ("created.user", "success", id)
    assert event["target"] == {"typeURI": "data/security/account/user", "id": id}
    who = event["initiator"]
    assert (who["id"], who["username"]) == (admin_id(cloud), "admin")
    assert who["host"] == {"address": "127.0.0.1", "agent": "curl/8"}
    assert who["request_id"] == reply.headers["x-openstack-request-id"]
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).json["token"]
    assert (who["project_id"], who["credential"]) == (shown["project"]["id"], {"token": shown["audit_ids"][0]})
    cloud.do("PATCH", f"/users/{id}", {"user": {"enabled": False}})
    event = log.one()
    assert event["action"] == "updated.user"
    assert "enabled" in event["attachments"][0]["content"]
    cloud.do("DELETE", f"/users/{id}")
    assert log.one()["action"] == "deleted.user"


def test_what_is_refused_is_no_event(cloud: IdentityCloud, log: Log) -> None:
    _, _, token = cloud.member("ann", "p")
    log.changes()
    assert cloud.do("POST", "/users", {"user": {"name": "eve"}}, token=token).status == 403
    assert cloud.do("POST", "/users", {"user": {}}).status == 400
    assert cloud.do("GET", "/users").status == 200
    assert log.changes() == []


@pytest.mark.parametrize("inherited", [False, True])
@pytest.mark.parametrize(("actor", "scope"), [("user", "project"), ("group", "domain")])
def test_role_assignments(cloud: IdentityCloud, log: Log, actor: str, scope: str, inherited: bool) -> None:
    ids = {kind: cloud.make(kind, f"/{kind}s", name="x")["id"] for kind in (actor, scope)}
    role = cloud.role("member")
    path = f"/{scope}s/{ids[scope]}/{actor}s/{ids[actor]}/roles/{role}"
    path = f"/OS-INHERIT{path}/inherited_to_projects" if inherited else path
    log.changes()
    for method, operation in (("PUT", "created"), ("DELETE", "deleted")):
        assert cloud.do(method, path).status == 204
        (change,) = log.changes()
        message = audit.notification(change, TAXONOMY, "basic", "h")
        event = checked(message["payload"])
        assert message["event_type"] == f"identity.role_assignment.{operation}"
        assert event["action"] == f"{operation}.role_assignment"
        assert event["target"]["typeURI"] == "service/security/account/user"
        said = {key: event.get(key) for key in ("role", "user", "group", "project", "domain", "inherited_to_projects")}
        expected = {**dict.fromkeys(said), **ids, "role": role, "inherited_to_projects": inherited}
        assert said == expected


def test_memberships(cloud: IdentityCloud, log: Log) -> None:
    user, group = (cloud.make(kind, f"/{kind}s", name="x")["id"] for kind in ("user", "group"))
    log.changes()
    for method, operation in (("PUT", "added"), ("DELETE", "removed")):
        assert cloud.do(method, f"/groups/{group}/users/{user}").status == 204
        (change,) = log.changes()
        message = audit.notification(change, TAXONOMY, "basic", "h")
        assert message["event_type"] == "identity.group.updated"
        actor = {"actor_id": user, "actor_type": "user", "actor_operation": operation}
        assert message["payload"] == {"resource_info": group, **actor}


def test_a_login(cloud: IdentityCloud, log: Log) -> None:
    scope = {"project": {"name": "admin", "domain": {"id": "default"}}}
    issued = cloud.login("admin", ADMIN_PASSWORD, scope)
    assert issued.status == 201
    (change,) = log.changes()
    message = audit.notification(change, TAXONOMY, "basic", "h")
    assert message["event_type"] == "identity.authenticate"
    event = checked(message["payload"])
    assert (event["action"], event["outcome"]) == ("authenticate", "success")
    assert event["target"] == {"typeURI": "service/security/account/user", "id": admin_id(cloud)}
    assert (event["initiator"]["id"], event["initiator"]["username"]) == (admin_id(cloud), "admin")
    assert event["initiator"]["credential"] == {"token": issued.json["token"]["audit_ids"][0]}
    assert event["initiator"]["project_id"] == issued.json["token"]["project"]["id"]
    assert "login by password" in line(change, TAXONOMY)


@pytest.mark.parametrize(
    ("user", "password"), [("admin", "no"), ("nobody-knows-me", ADMIN_PASSWORD)], ids=["wrong", "unknown"]
)
def test_a_failed_login(cloud: IdentityCloud, log: Log, user: str, password: str) -> None:
    assert cloud.login(user, password).status == 401
    (change,) = log.changes()
    event = audit.cadf(change, TAXONOMY)
    assert (event["action"], event["outcome"]) == ("authenticate", "failure")
    assert event["reason"]["reasonCode"] == "401"
    assert event["reason"]["reasonType"]
    assert "user_id" not in event["initiator"]  # it has proved nothing
    assert event["initiator"]["id"] == (admin_id(cloud) if user == "admin" else "unknown")
    assert "login by password: failure" in line(change, TAXONOMY)
    assert "nobody-knows-me" not in repr(event)  # people type their passwords there


def test_a_login_without_the_roles(cloud: IdentityCloud, log: Log) -> None:
    id = cloud.make("user", "/users", name="ann", password="pw")["id"]
    log.changes()
    assert cloud.login("ann", "pw", {"system": {"all": True}}).status == 401
    event = log.one()
    assert (event["outcome"], event["target"]["id"]) == ("failure", id)


def test_who_acts_by_what_another_lent(cloud: IdentityCloud, log: Log) -> None:
    user_id, project_id, token = cloud.member("ann", "p")
    fields = {"application_credential": {"name": "robot"}}
    made = cloud.do("POST", f"/users/{user_id}/application_credentials", fields, token=token).json
    credential = made["application_credential"]
    proof = {"id": credential["id"], "secret": credential["secret"]}
    robot = cloud.auth({"methods": ["application_credential"], "application_credential": proof})
    robot_token = robot.headers["x-subject-token"]
    log.changes()
    assert cloud.do("DELETE", "/auth/tokens", token=robot_token, X_Subject_Token=robot_token).status == 204
    (change,) = log.changes()
    event = audit.cadf(change, TAXONOMY)
    assert event["initiator"]["credential"]["application_credential_id"] == credential["id"]
    assert event["target"]["id"] == robot.json["token"]["audit_ids"][0]
    trustee, _, trustee_token = cloud.member("bob", "q")
    trust = {"trustor_user_id": user_id, "trustee_user_id": trustee, "project_id": project_id, "impersonation": True,
             "roles": [{"name": "member"}]}  # fmt: skip
    trust_id = cloud.do("POST", "/OS-TRUST/trusts", {"trust": trust}, token=token).json["trust"]["id"]
    lent = cloud.auth({"methods": ["token"], "token": {"id": trustee_token}}, {"OS-TRUST:trust": {"id": trust_id}})
    lent_token = lent.headers["x-subject-token"]
    log.changes()
    assert cloud.do("DELETE", "/auth/tokens", token=lent_token, X_Subject_Token=lent_token).status == 204
    (change,) = log.changes()
    who = audit.cadf(change, TAXONOMY)["initiator"]
    assert who["user_id"] == user_id
    assert who["credential"]["trust_id"] == trust_id
    assert who["credential"]["trustee_user_id"] == trustee
    assert f"trustee_user_id={trustee}" in line(change, TAXONOMY)


def test_by_user(cloud: IdentityCloud, log: Log) -> None:
    id = cloud.make("user", "/users", name="ann", password="pw")["id"]
    cloud.make("user", "/users", name="bob")
    cloud.login("ann", "pw")
    cloud.login("ann", "no")
    for who in ("ann", id):
        log.last = 0
        assert [c.kind for c in log.changes(who)] == ["create", "authenticate", "authenticate"]


def test_a_clients_words_stay_on_their_line(cloud: IdentityCloud, log: Log) -> None:
    cloud.do("POST", "/users", {"user": {"name": "a\nb"}}, User_Agent="x\r\nfake \x1b[2J" + "y" * 999)
    (change,) = log.changes()
    assert len(line(change, TAXONOMY).splitlines()) == 1
    assert change.via is not None
    assert change.via["agent"].startswith("x??fake ?[2Jy")
    assert len(change.via["agent"]) == 255
