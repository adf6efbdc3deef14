"""What kills a token does so at once, in every process, and for good."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from api.identity.conftest import IdentityCloud
from tiffin.core.errors import Unauthorized
from tiffin.core.world import World
from tiffin.services.identity.public import Identity, Keys


class Scene(msgspec.Struct):
    """Ann is a member of a project of a domain of her own, once by herself and once by a group, and manages the domain; her
    tokens are warm in two processes."""

    cloud: IdentityCloud
    other: Identity  # of a second process on the same database
    domain: str
    project: str
    ann: str
    group: str
    credential: str = ""
    tokens: dict[str, str] = {}

    def alive(self) -> set[str]:
        """The tokens that are good, of which both processes and validation must say the same."""
        found = {name for name, token in self.tokens.items() if self._is_good(token)}
        for name, token in self.tokens.items():
            own = self.cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status
            assert own == (200 if name in found else 404), name
            assert (self.cloud.do("GET", "/auth/projects", token=token).status == 200) == (name in found), name
        return found

    def _is_good(self, token: str) -> bool:
        with self.cloud.cloud.database.read() as session:
            try:
                self.other.authenticate(session, token)
            except Unauthorized:
                return False
        return True


@pytest.fixture
def scene(cloud: IdentityCloud) -> Scene:
    domain = cloud.make("domain", "/domains", name="D")["id"]
    project = cloud.make("project", "/projects", name="p", domain_id=domain)["id"]
    child = cloud.make("project", "/projects", name="below", domain_id=domain, parent_id=project)["id"]
    ann = cloud.make("user", "/users", name="ann", password="pw", domain_id=domain)["id"]
    group = cloud.make("group", "/groups", name="g", domain_id=domain)["id"]
    for path in (
        f"/projects/{project}/users/{ann}/roles/{cloud.role('member')}",
        f"/projects/{child}/groups/{group}/roles/{cloud.role('reader')}",
        f"/domains/{domain}/users/{ann}/roles/{cloud.role('manager')}",
        f"/groups/{group}/users/{ann}",
        f"/system/users/{ann}/roles/{cloud.role('reader')}",
    ):
        assert cloud.do("PUT", path).status == 204
    made = Scene(cloud, Identity(Keys(cloud.identity.keys.folder), World(clock=cloud.clock)), domain, project, ann, group)
    scopes: dict[str, Any] = {
        "unscoped": "unscoped", "project": {"project": {"id": project}}, "group": {"project": {"id": child}},
        "domain": {"domain": {"id": domain}}, "system": {"system": {"all": True}},
    }  # fmt: skip
    for name, scope in scopes.items():
        made.tokens[name] = cloud.login("ann", "pw", scope, domain=domain).headers["x-subject-token"]
    path, token = f"/users/{ann}/application_credentials", made.tokens["project"]
    secret = cloud.do("POST", path, {"application_credential": {"name": "x"}}, token=token).json["application_credential"]
    made.credential = secret["id"]
    proof = {"id": secret["id"], "secret": secret["secret"]}
    reply = cloud.auth({"methods": ["application_credential"], "application_credential": proof})
    made.tokens["credential"] = reply.headers["x-subject-token"]
    assert made.alive() == set(made.tokens)
    return made


ALL = {"unscoped", "project", "group", "domain", "system", "credential"}
Cause = Callable[[Scene], Any]


def patch(path: str, kind: str, **fields: Any) -> Cause:
    return lambda s: s.cloud.do("PATCH", _path(s, path), {kind: fields})


def remove(path: str) -> Cause:
    return lambda s: s.cloud.do("DELETE", _path(s, path))


def _path(s: Scene, path: str) -> str:
    facts = {name: getattr(s, name) for name in ("ann", "project", "domain", "group", "credential")}
    return path.format(**facts, **{r: s.cloud.role(r) for r in ("member", "manager", "reader") if f"{{{r}}}" in path})


def own_password(s: Scene) -> Any:
    body = {"user": {"original_password": "pw", "password": "new"}}
    return s.cloud.ask("POST", f"/identity/v3/users/{s.ann}/password", token=None, json=body)


def given_back(s: Scene) -> Any:
    return s.cloud.do("DELETE", "/auth/tokens", X_Subject_Token=s.tokens["project"])


CAUSES: dict[str, tuple[Cause, set[str]]] = {
    "a new password": (patch("/users/{ann}", "user", password="new"), set()),
    "the user's own new password": (own_password, set()),
    "the user is disabled": (patch("/users/{ann}", "user", enabled=False), set()),
    "the user is deleted": (remove("/users/{ann}"), set()),
    "all tokens of the user are given back": (remove("/users/{ann}/tokens"), set()),
    "one token is given back": (given_back, ALL - {"project"}),
    "a role is taken": (remove("/projects/{project}/users/{ann}/roles/{member}"), ALL - {"project", "credential"}),
    "a role of the domain is taken": (remove("/domains/{domain}/users/{ann}/roles/{manager}"), ALL - {"domain"}),
    "a role of the system is taken": (remove("/system/users/{ann}/roles/{reader}"), ALL - {"system"}),
    "a member leaves its group": (remove("/groups/{group}/users/{ann}"), ALL - {"group"}),
    "the group is deleted": (remove("/groups/{group}"), ALL - {"group"}),
    "the application credential is deleted": (remove("/users/{ann}/application_credentials/{credential}"),
                                              ALL - {"credential"}),
    "the domain is disabled": (patch("/domains/{domain}", "domain", enabled=False), set()),
}  # fmt: skip


@pytest.mark.parametrize("cause", CAUSES)
def test_it_holds_at_once(scene: Scene, cause: str) -> None:
    happen, left = CAUSES[cause]
    reply = happen(scene)
    assert reply.status in (200, 204), reply.body
    assert scene.alive() == left


def test_a_disabled_project(scene: Scene) -> None:
    child = scene.cloud.do("GET", "/auth/projects", token=scene.tokens["group"]).json["projects"]
    below = next(p["id"] for p in child if p["name"] == "below")
    assert scene.cloud.do("PATCH", f"/projects/{below}", {"project": {"enabled": False}}).status == 200
    assert scene.alive() == ALL - {"group"}
    assert scene.cloud.do("PATCH", f"/projects/{scene.project}", {"project": {"enabled": False}}).status == 200
    assert scene.alive() == ALL - {"group", "project", "credential"}
    assert scene.cloud.do("DELETE", f"/projects/{below}").status == 204
    assert scene.cloud.do("DELETE", f"/projects/{scene.project}").status == 204
    assert scene.alive() == ALL - {"group", "project", "credential"}


@pytest.mark.parametrize("what", ["user", "project", "domain"])
def test_what_was_disabled_does_not_come_back(scene: Scene, what: str) -> None:
    path = {"user": f"/users/{scene.ann}", "project": f"/projects/{scene.project}", "domain": f"/domains/{scene.domain}"}[what]
    if what == "project":
        below = scene.cloud.do("GET", f"/projects?parent_id={scene.project}").json["projects"][0]["id"]
        assert scene.cloud.do("DELETE", f"/projects/{below}").status == 204
        del scene.tokens["group"]
    for enabled in (False, True):
        assert scene.cloud.do("PATCH", path, {what: {"enabled": enabled}}).status == 200
    assert scene.alive() == ({"unscoped", "domain", "system"} if what == "project" else set())
    again = scene.cloud.login("ann", "pw", {"project": {"id": scene.project}}, domain=scene.domain)
    assert again.status == 201


def test_a_role_that_is_given_back_makes_the_token_good_again(scene: Scene) -> None:
    path = f"/projects/{scene.project}/users/{scene.ann}/roles/{scene.cloud.role('member')}"
    assert scene.cloud.do("DELETE", path).status == 204
    assert "project" not in scene.alive()
    assert scene.cloud.do("PUT", path).status == 204
    assert "project" in scene.alive()


def test_a_role_that_implies_no_more(scene: Scene) -> None:
    cloud = scene.cloud
    reader = f"/projects/{scene.project}/users/{scene.ann}/roles/{cloud.role('reader')}"
    assert cloud.do("DELETE", f"/roles/{cloud.role('member')}/implies/{cloud.role('reader')}").status == 204
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=scene.tokens["project"]).json["token"]
    assert [r["name"] for r in shown["roles"]] == ["member"]
    assert cloud.do("PUT", reader).status == 204
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=scene.tokens["project"]).json["token"]
    assert [r["name"] for r in shown["roles"]] == ["member", "reader"]


# --- chains -------------------------------------------------------------------------------------------------------------


def exchange(cloud: IdentityCloud, token: str, scope: Any = "unscoped") -> str:
    reply = cloud.auth({"methods": ["token"], "token": {"id": token}}, scope)
    assert reply.status == 201, reply.body
    return reply.headers["x-subject-token"]


def good(cloud: IdentityCloud, *tokens: str) -> list[bool]:
    return [cloud.do("HEAD", "/auth/tokens", X_Subject_Token=token).status == 200 for token in tokens]


def test_what_was_made_from_a_token_dies_with_it(scene: Scene) -> None:
    cloud, first = scene.cloud, scene.tokens["unscoped"]
    second = exchange(cloud, first, {"project": {"id": scene.project}})
    third = exchange(cloud, second)
    sister = exchange(cloud, first)
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=second).status == 204
    assert good(cloud, first, second, third, sister) == [True, False, False, True]
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=first).status == 204
    assert good(cloud, first, sister) == [False, False]


@pytest.mark.parametrize("no", ["false", "False", "0"])
def test_unless_the_query_says_so(scene: Scene, no: str) -> None:
    cloud, first = scene.cloud, scene.tokens["unscoped"]
    second = exchange(cloud, first, {"project": {"id": scene.project}})
    assert cloud.do("DELETE", f"/auth/tokens?cascade={no}", X_Subject_Token=first).status == 204
    assert good(cloud, first, second) == [False, True]


def test_a_long_chain_ends_with_its_first(scene: Scene) -> None:
    cloud = scene.cloud
    chain = [scene.tokens["unscoped"]]
    for _ in range(12):
        chain.append(exchange(cloud, chain[-1]))
    shown = [cloud.do("GET", "/auth/tokens", X_Subject_Token=t).json["token"]["audit_ids"] for t in (chain[0], chain[-1])]
    assert (len(shown[0]), len(shown[1]), shown[1][1]) == (1, 2, shown[0][0])
    assert cloud.do("DELETE", "/auth/tokens", X_Subject_Token=chain[0]).status == 204
    assert not any(good(cloud, *chain))


def test_a_dead_token_gives_no_other(scene: Scene) -> None:
    given_back(scene)
    reply = scene.cloud.auth({"methods": ["token"], "token": {"id": scene.tokens["project"]}}, "unscoped")
    assert reply.status == 404


# --- told to others -----------------------------------------------------------------------------------------------------


def events(scene: Scene, query: str = "") -> list[dict[str, Any]]:
    reply = scene.cloud.do("GET", f"/OS-REVOKE/events{query}")
    assert reply.status == 200
    assert reply.json["links"]["self"].endswith("/v3/OS-REVOKE/events")
    found: list[dict[str, Any]] = reply.json["events"]
    return found


def test_events(scene: Scene) -> None:
    cloud = scene.cloud
    assert events(scene) == []
    cloud.do("PATCH", f"/users/{scene.ann}", {"user": {"name": "anna"}})
    assert events(scene) == []
    cloud.clock.now += 100
    shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=scene.tokens["project"]).json["token"]["audit_ids"]
    given_back(scene)
    cloud.clock.now += 1
    own_password(scene)
    role = cloud.make("role", "/roles", name="gone")["id"]
    cloud.do("DELETE", f"/roles/{role}")
    cloud.do("PATCH", f"/domains/{scene.domain}", {"domain": {"enabled": False}})
    at, later = "2027-01-15T08:01:40.000000Z", "2027-01-15T08:01:41.000000Z"
    assert [{k: v for k, v in e.items() if k not in ("issued_before", "revoked_at")} for e in events(scene)] == [
        {"audit_id": shown[0]}, {"audit_chain_id": shown[0]}, {"domain_id": scene.domain}, {"role_id": role},
        {"user_id": scene.ann},
    ]  # fmt: skip
    assert [e["revoked_at"] for e in events(scene)] == [at, at, later, later, later]
    assert [e["issued_before"] for e in events(scene)] == [at, at, later, later, later]
    assert len(events(scene, "?since=2027-01-15T08:01:40Z")) == 3
    assert events(scene, "?since=2027-01-15T08:02:00Z") == []
    assert cloud.do("GET", "/OS-REVOKE/events?since=yesterday").status == 400
    assert cloud.do("HEAD", "/OS-REVOKE/events").status == 200
    cloud.clock.now += 2 * 3600
    cloud.admin = cloud.token("admin", "a long secret", project="admin")
    assert events(scene) == []


def test_there_are_no_pki_tokens(scene: Scene) -> None:
    for token in (scene.cloud.admin, None):
        assert scene.cloud.ask("GET", "/identity/v3/auth/tokens/OS-PKI/revoked", token=token).status == 403
        assert scene.cloud.ask("HEAD", "/identity/v3/auth/tokens/OS-PKI/revoked", token=token).status == 403
