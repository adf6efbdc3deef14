"""The trees that projects form: what is shown of them, how deep they go, and what may be done to their parts."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.core.settings import SettingsError, section
from tiffin.services.identity.settings import HierarchySettings, IdentitySettings


class Tree:
    """A project `top` with `left` and `right`; below `left` is `leaf`. The administrator has a role on none of them."""

    def __init__(self, cloud: IdentityCloud) -> None:
        self.cloud = cloud
        self.top = self.make("top", "default")
        self.left, self.right = self.make("left", self.top), self.make("right", self.top)
        self.leaf = self.make("leaf", self.left)
        self.admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]

    def make(self, name: str, parent: str) -> str:
        return str(self.cloud.make("project", "/projects", name=name, parent_id=parent)["id"])

    def show(self, id: str, query: str) -> Any:
        return self.cloud.do("GET", f"/projects/{id}?{query}").json["project"]

    def let_in(self, *ids: str, inherited: bool = False) -> None:
        for id in ids:
            path = f"/projects/{id}/users/{self.admin}/roles/{self.cloud.role('reader')}"
            path = f"/OS-INHERIT{path}/inherited_to_projects" if inherited else path
            assert self.cloud.do("PUT", path).status == 204

    def patch(self, where: str, **fields: Any) -> int:
        return self.cloud.do("PATCH", f"/projects/{where}", {"project": fields}).status


@pytest.fixture
def tree(cloud: IdentityCloud) -> Tree:
    return Tree(cloud)


def settle(cloud: IdentityCloud, **hierarchy: Any) -> None:
    """Have an operator set this."""
    own = HierarchySettings(**hierarchy)
    cloud.identity.settings = msgspec.structs.replace(cloud.identity.settings, hierarchy=own)


def test_an_operators_table() -> None:
    written = {"max_project_tree_depth": 2, "project_name_url_safe": "strict", "prohibited_implied_roles": ["admin", "root"]}
    read = section({"identity": {"hierarchy": written}}, "identity", IdentitySettings).hierarchy
    assert read == HierarchySettings(2, "strict", "off", ("admin", "root"))
    for wrong in ({"max_project_tree_depth": 0}, {"project_name_url_safe": "on"}, {"max_depth": 3}):
        with pytest.raises(SettingsError):
            section({"identity": {"hierarchy": wrong}}, "identity", IdentitySettings)


def test_ids_of_parents_and_subtree(tree: Tree) -> None:
    assert tree.show(tree.leaf, "parents_as_ids")["parents"] == {tree.left: {tree.top: {"default": None}}}
    assert tree.show("default", "parents_as_ids")["parents"] is None
    assert tree.show(tree.top, "subtree_as_ids")["subtree"] == {tree.left: {tree.leaf: None}, tree.right: None}
    assert tree.show(tree.leaf, "subtree_as_ids")["subtree"] is None
    assert tree.show("default", "subtree_as_ids")["subtree"].keys() > {tree.top}
    assert {"parents", "subtree"} & tree.show(tree.left, "parents_as_ids=0&subtree_as_ids=0").keys() == set()


def test_lists_show_what_the_user_has_a_role_on(tree: Tree) -> None:
    def ids(shown: list[Any]) -> list[str]:
        return [one["project"]["id"] for one in shown]

    assert tree.show(tree.leaf, "parents_as_list")["parents"] == []
    tree.let_in(tree.top, tree.leaf)
    assert ids(tree.show(tree.leaf, "parents_as_list")["parents"]) == [tree.top]
    assert ids(tree.show(tree.top, "subtree_as_list")["subtree"]) == [tree.leaf]
    tree.let_in(tree.top, inherited=True)
    assert tree.patch(tree.leaf, enabled=False, tags=["b", "a"]) == 200
    both = tree.show(tree.top, "subtree_as_list&parents_as_list")
    assert (ids(both["subtree"])[2:], set(ids(both["subtree"])), both["parents"]) == (
        [tree.leaf], {tree.left, tree.right, tree.leaf}, [])  # fmt: skip
    assert both["subtree"][2]["project"] == tree.show(tree.leaf, "")
    assert both["subtree"][2]["project"]["tags"] == ["a", "b"]


@pytest.mark.parametrize("kind", ["parents", "subtree"])
def test_a_list_or_ids(tree: Tree, kind: str) -> None:
    path = f"/projects/{tree.left}?{kind}_as_list&{kind}_as_ids"
    assert tree.cloud.do("GET", path).status == 400
    assert tree.cloud.do("GET", f"{path}=0").status == 200
    assert tree.cloud.do("GET", f"/projects/none?{kind}_as_list").status == 404


def test_limits_come_with_the_lists(tree: Tree) -> None:
    cloud = tree.cloud
    tree.let_in(tree.top, tree.left, tree.leaf)
    service = cloud.make("service", "/services", type="volume", name="v")["id"]
    registered = {"service_id": service, "resource_name": "volume", "default_limit": 5}
    assert cloud.do("POST", "/registered_limits", {"registered_limits": [registered]}).status == 201
    wanted = {"service_id": service, "resource_name": "volume", "resource_limit": 7, "project_id": tree.left}
    limit = cloud.do("POST", "/limits", {"limits": [wanted]}).json["limits"][0]
    shown = tree.show(tree.leaf, "parents_as_list&include_limits")
    del limit["links"]
    assert [p["project"]["limits"] for p in shown["parents"]] == [[limit], []]
    below = tree.show(tree.top, "subtree_as_list&include_limits")["subtree"]
    assert [p["project"]["limits"] for p in below] == [[limit], []]
    assert "limits" not in tree.show(tree.left, "include_limits")
    assert "limits" not in tree.show(tree.leaf, "parents_as_list&include_limits=0")["parents"][0]["project"]


def test_trees_end(cloud: IdentityCloud) -> None:
    parent = "default"
    for level in range(5):
        parent = cloud.make("project", "/projects", name=f"p{level}", parent_id=parent)["id"]
    refused = cloud.do("POST", "/projects", {"project": {"name": "x", "parent_id": parent}})
    assert (refused.status, "Max hierarchy depth" in refused.json["error"]["message"]) == (403, True)
    settle(cloud, max_project_tree_depth=6)
    cloud.make("project", "/projects", name="x", parent_id=parent)
    settle(cloud, max_project_tree_depth=1)
    cloud.make("project", "/projects", name="y")
    assert cloud.do("POST", "/projects", {"project": {"name": "z", "parent_id": parent}}).status == 403


def test_where_a_project_is_made(tree: Tree) -> None:
    cloud = tree.cloud
    domain = cloud.make("domain", "/domains", name="d")["id"]
    top = cloud.make("project", "/projects", name="p", domain_id=domain)
    assert (top["domain_id"], top["parent_id"]) == (domain, domain)
    low = cloud.make("project", "/projects", name="q", parent_id=top["id"])
    assert (low["domain_id"], low["parent_id"]) == (domain, top["id"])
    bare = cloud.make("project", "/projects", name="p", domain_id=None, parent_id=None)
    assert (bare["domain_id"], bare["parent_id"]) == ("default", "default")
    for fields in ({"domain_id": domain, "parent_id": tree.top}, {"domain_id": domain, "parent_id": "default"},
                   {"domain_id": tree.top}, {"parent_id": "none"}, {"domain_id": "none"}):  # fmt: skip
        assert cloud.do("POST", "/projects", {"project": {"name": "x", **fields}}).status == 400, fields
    cloud.do("PUT", f"/domains/{domain}/users/{tree.admin}/roles/{cloud.role('admin')}")
    token = cloud.login("admin", ADMIN_PASSWORD, {"domain": {"id": domain}}).headers["x-subject-token"]
    made = cloud.do("POST", "/projects", {"project": {"name": "x"}}, token=token)
    assert made.json["project"]["domain_id"] == domain


def test_nothing_moves(tree: Tree) -> None:
    other = tree.cloud.make("domain", "/domains", name="d")["id"]
    assert tree.patch(tree.leaf, parent_id=tree.top) == 403
    assert tree.patch(tree.leaf, parent_id=None) == 403
    assert tree.patch(tree.leaf, domain_id=other) == 400
    assert tree.patch(tree.leaf, is_domain=True) == 400
    assert tree.patch(tree.leaf, id="other") == 400
    assert tree.patch(tree.leaf, parent_id=tree.left, domain_id="default", is_domain=False, id=tree.leaf) == 200


def test_a_branch_is_disabled_from_its_leaves(tree: Tree) -> None:
    assert tree.patch(tree.top, enabled=False) == 403
    assert [tree.patch(id, enabled=False) for id in (tree.right, tree.leaf)] == [200, 200]
    assert tree.patch(tree.top, enabled=False) == 403
    assert [tree.patch(id, enabled=False) for id in (tree.left, tree.top)] == [200, 200]
    assert tree.cloud.do("POST", "/projects", {"project": {"name": "x", "parent_id": tree.leaf}}).status == 400
    assert [tree.patch(id, enabled=True) for id in (tree.leaf, tree.left)] == [403, 403]
    assert [tree.patch(id, enabled=True) for id in (tree.top, tree.left, tree.leaf)] == [200, 200, 200]


def test_a_branch_is_deleted_from_its_leaves(tree: Tree) -> None:
    assert tree.cloud.do("DELETE", f"/projects/{tree.left}").status == 403
    for id in (tree.leaf, tree.left, tree.right, tree.top):
        assert tree.cloud.do("DELETE", f"/projects/{id}").status == 204
        assert tree.cloud.do("DELETE", f"/projects/{id}").status == 404
        assert tree.cloud.do("PATCH", f"/projects/{id}", {"project": {"name": "x"}}).status == 404


def test_what_a_project_takes_along(tree: Tree) -> None:
    cloud = tree.cloud
    user = cloud.make("user", "/users", name="ann", password="pw", default_project_id=tree.leaf)["id"]
    cloud.do("PUT", f"/projects/{tree.leaf}/users/{user}/roles/{cloud.role('member')}")
    token = cloud.token("ann", "pw", "leaf")
    secret = cloud.make("credential", "/credentials", user_id=user, project_id=tree.leaf, type="cert", blob="x")["id"]
    assert cloud.do("DELETE", f"/projects/{tree.leaf}").status == 204
    assert cloud.do("GET", f"/credentials/{secret}").status == 404
    assert "default_project_id" not in cloud.do("GET", f"/users/{user}").json["user"]
    assert cloud.do("GET", f"/role_assignments?user.id={user}").json["role_assignments"] == []
    assert cloud.do("GET", "/auth/projects", token=token).status == 401
    assert cloud.login("ann", "pw").json["token"].keys() & {"project", "roles"} == set()


def test_a_project_that_acts_as_a_domain(cloud: IdentityCloud) -> None:
    made = cloud.make("project", "/projects", name="d", is_domain=True, tags=["t"])
    assert (made["is_domain"], made["domain_id"], made["parent_id"], made["tags"]) == (True, None, None, ["t"])
    id = made["id"]
    assert cloud.do("GET", f"/domains/{id}").json["domain"]["name"] == "d"
    low = cloud.make("project", "/projects", name="p", domain_id=id)
    user = cloud.make("user", "/users", name="ann", password="pw", domain_id=id, default_project_id=low["id"])["id"]
    cloud.make("user", "/users", name="bob", default_project_id=low["id"])
    assert cloud.do("PATCH", f"/projects/{id}", {"project": {"name": "Default"}}).status == 409
    assert cloud.do("PATCH", f"/projects/{id}", {"project": {"name": " d "}}).json["project"]["name"] == "d"
    role = cloud.role("reader")
    cloud.do("PUT", f"/domains/{id}/users/{user}/roles/{role}")
    assert cloud.login("ann", "pw", {"project": {"id": id}}, id).status == 401, "a role on a domain is none on the project"
    cloud.do("PUT", f"/projects/{id}/users/{user}/roles/{role}")
    token = cloud.login("ann", "pw", {"project": {"id": id}}, id).json["token"]
    assert (token["project"]["name"], token["is_domain"]) == ("d", True)
    assert cloud.do("DELETE", f"/projects/{id}").status == 403
    assert cloud.do("PATCH", f"/projects/{id}", {"project": {"enabled": False}}).status == 200, "whatever is below"
    assert cloud.do("DELETE", f"/projects/{id}").status == 204
    for path in (f"/domains/{id}", f"/projects/{low['id']}", f"/users/{user}"):
        assert cloud.do("GET", path).status == 404
    assert "default_project_id" not in cloud.do("GET", "/users?name=bob").json["users"][0]


@pytest.mark.parametrize("safe", ["off", "new", "strict"])
def test_names_that_are_safe_in_urls(cloud: IdentityCloud, safe: Any) -> None:
    _, old, _ = cloud.member("ann", "a/b")
    settle(cloud, project_name_url_safe=safe, domain_name_url_safe=safe)
    good = 201 if safe == "off" else 400
    assert cloud.do("POST", "/projects", {"project": {"name": "x=y"}}).status == good
    assert cloud.do("POST", "/projects", {"project": {"name": "d?", "is_domain": True}}).status == good
    assert cloud.do("POST", "/domains", {"domain": {"name": "d#"}}).status == good
    assert cloud.do("PATCH", "/domains/default", {"domain": {"name": "d@"}}).status == (200 if safe == "off" else 400)
    made = cloud.make("project", "/projects", name="plain", is_domain=True)["id"]
    low = cloud.make("project", "/projects", name="plain")["id"]
    for id in (made, low):
        changed = cloud.do("PATCH", f"/projects/{id}", {"project": {"name": "p&q"}})
        assert changed.status == (200 if safe == "off" else 400), changed.body
    assert cloud.do("PATCH", f"/projects/{old}", {"project": {"name": "a/b", "description": "x"}}).status == 200
    scope = {"name": "a/b", "domain": {"id": "default"}}
    assert cloud.login("ann", "pw", {"project": scope}).status == (401 if safe == "strict" else 201)
    assert cloud.login("ann", "pw", {"project": {"id": old}}).status == 201
    odd = {"project": {"name": "x", "domain": {"name": "d:e"}}}
    told = cloud.login("ann", "pw", odd)
    assert (told.status, "reserved" in told.json["error"]["message"]) == (401, safe == "strict")


def test_names_are_stripped(cloud: IdentityCloud) -> None:
    made = cloud.make("project", "/projects", name="  p ")
    assert made["name"] == "p"
    assert cloud.do("POST", "/projects", {"project": {"name": "p  "}}).status == 409
    path = f"/projects/{made['id']}"
    assert cloud.do("PATCH", path, {"project": {"name": " p"}}).json["project"]["name"] == "p"
    assert cloud.do("PATCH", path, {"project": {"name": " admin"}}).status == 409
