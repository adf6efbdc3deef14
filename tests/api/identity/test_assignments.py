"""The list of role assignments: as granted, in effect, narrowed in every way, in pages."""

from __future__ import annotations

import functools
import itertools
import random
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.services.identity.resources import role_assignments

BASE = "http://127.0.0.1:8000/identity/v3"
INHERITED = "scope.OS-INHERIT:inherited_to"


class Story:
    """Two domains with trees of projects, users in groups, and roles of every kind granted in every way, by chance."""

    def __init__(self, cloud: IdentityCloud, seed: int = 1) -> None:
        self.cloud = cloud
        chance = random.Random(seed)
        self.domains = [cloud.make("domain", "/domains", name=name)["id"] for name in ("d1", "d2")]
        self.projects: dict[str, str] = {}  # id -> parent
        for number in range(8):
            domain = self.domains[number % 2]
            parent = chance.choice([domain, *(p for p in self.projects if self.domain_of(p) == domain)])
            made = cloud.make("project", "/projects", name=f"p{number}", domain_id=domain, parent_id=parent)
            self.projects[made["id"]] = parent
        self.users = [cloud.make("user", "/users", name=f"u{n}", password="pw")["id"] for n in range(4)]
        self.groups = [cloud.make("group", "/groups", name=f"g{n}", domain_id=self.domains[0])["id"] for n in range(3)]
        for group in self.groups[:2]:  # the third has no members
            for user in chance.sample(self.users, 2):
                assert cloud.do("PUT", f"/groups/{group}/users/{user}").status == 204
        self._roles()
        for _ in range(40):
            self._grant(chance)

    def _roles(self) -> None:
        """x implies y and z, which both imply `reader`; a role of d1 implies x; member and reader as ever."""
        self.names = {name: self.cloud.make("role", "/roles", name=name)["id"] for name in ("x", "y", "z")}
        own = self.cloud.make("role", "/roles", name="own", domain_id=self.domains[0])["id"]
        self.names |= {"own": own, "member": self.cloud.role("member"), "reader": self.cloud.role("reader")}
        for prior, implied in (("x", "y"), ("x", "z"), ("y", "reader"), ("z", "reader"), ("own", "x")):
            assert self.cloud.do("PUT", f"/roles/{self.names[prior]}/implies/{self.names[implied]}").status == 201

    def _grant(self, chance: random.Random) -> None:
        where = chance.choice(
            ["/system", *(f"/domains/{d}" for d in self.domains), *(f"/projects/{p}" for p in self.projects)]
        )
        who = chance.choice([*(f"/users/{u}" for u in self.users), *(f"/groups/{g}" for g in self.groups)])
        path = f"{where}{who}/roles/{chance.choice(list(self.names.values()))}"
        if where != "/system" and chance.random() < 0.5:
            path = f"/OS-INHERIT{path}/inherited_to_projects"
        assert self.cloud.do("PUT", path).status in (204, 400, 403)  # a role of d1 is not for everywhere

    def domain_of(self, project: str) -> str:
        return self.domain_of(self.projects[project]) if project in self.projects else project

    def above(self, project: str) -> list[str]:
        return [project, *self.above(self.projects[project])] if project in self.projects else [project]

    def listed(self, query: str = "", token: str | None = None) -> list[Any]:
        reply = self.cloud.do("GET", f"/role_assignments?{query}", token=token)
        assert reply.status == 200, reply.body
        found: list[Any] = reply.json["role_assignments"]
        return found


SEEDS = [1, 2, 3]


@pytest.fixture(scope="module")
def stories(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[int], Story]]:
    """Each is told once, since telling takes longer than most of what is asked of it."""
    clouds = []

    @functools.cache
    def told(seed: int) -> Story:
        clouds.append(IdentityCloud(tmp_path_factory.mktemp("keys")))
        return Story(clouds[-1], seed)

    yield told
    for cloud in clouds:
        cloud.close()


@pytest.fixture(params=SEEDS)
def story(stories: Callable[[int], Story], request: pytest.FixtureRequest) -> Story:
    """For tests that change nothing."""
    return stories(request.param)


def key(one: Any) -> str:
    return repr(sorted(one["links"].items()) + sorted((k, repr(v)) for k, v in one.items() if k != "links"))


def same(some: list[Any], others: list[Any]) -> bool:
    return Counter(map(key, some)) == Counter(map(key, others))


def place(one: Any) -> tuple[str, str]:
    kind = next(k for k in one["scope"] if k != "OS-INHERIT:inherited_to")
    return kind, one["scope"][kind].get("id", "")


# --- as granted --------------------------------------------------------------------------------------------------------


def test_each_is_shown_as_it_was_granted(cloud: IdentityCloud) -> None:
    user, project, _ = cloud.member("ann", "p")
    group = cloud.make("group", "/groups", name="g")["id"]
    role = {"id": cloud.role("member")}
    cloud.do("PUT", f"/groups/{group}/users/{user}")
    for path in (f"/domains/default/groups/{group}/roles/{role['id']}", f"/system/groups/{group}/roles/{role['id']}",
                 f"/OS-INHERIT/domains/default/groups/{group}/roles/{role['id']}/inherited_to_projects"):  # fmt: skip
        assert cloud.do("PUT", path).status == 204
    one = cloud.do("GET", f"/role_assignments?user.id={user}").json
    assert one["links"] == {"self": f"{BASE}/role_assignments?user.id={user}", "previous": None, "next": None}
    assert one["role_assignments"] == [{
        "user": {"id": user}, "role": role, "scope": {"project": {"id": project}},
        "links": {"assignment": f"{BASE}/projects/{project}/users/{user}/roles/{role['id']}"},
    }]  # fmt: skip
    found = cloud.do("GET", f"/role_assignments?group.id={group}").json["role_assignments"]
    tail = f"groups/{group}/roles/{role['id']}"
    wanted: list[dict[str, Any]] = [
        {"scope": {"system": {"all": True}}, "links": {"assignment": f"{BASE}/system/{tail}"}},
        {"scope": {"domain": {"id": "default"}}, "links": {"assignment": f"{BASE}/domains/default/{tail}"}},
        {"scope": {"domain": {"id": "default"}, "OS-INHERIT:inherited_to": "projects"},
         "links": {"assignment": f"{BASE}/OS-INHERIT/domains/default/{tail}/inherited_to_projects"}},
    ]  # fmt: skip
    assert same(found, [{"group": {"id": group}, "role": role, **one} for one in wanted])


def test_the_links_of_grants_work(story: Story) -> None:
    for one in story.listed() + story.listed("effective"):
        if "prior_role" not in one["links"]:
            link = one["links"]["assignment"].removeprefix(BASE)
            assert story.cloud.do("HEAD", link).status == 204, link
        if "membership" in one["links"]:
            assert story.cloud.do("HEAD", one["links"]["membership"].removeprefix(BASE)).status == 204


def test_filters_of_what_was_granted(story: Story) -> None:
    whole = story.listed()
    user, group, project = story.users[0], story.groups[0], max(story.projects, key=lambda p: len(story.above(p)))
    top, role = story.above(project)[-2], story.names["reader"]

    def which(query: str, holds: Any) -> None:
        assert same(story.listed(query), [one for one in whole if holds(one)]), query

    which(f"user.id={user}", lambda one: one.get("user") == {"id": user})
    which(f"group.id={group}", lambda one: one.get("group") == {"id": group})
    which(f"role.id={role}", lambda one: one["role"]["id"] == role)
    which(f"scope.project.id={project}", lambda one: place(one) == ("project", project))
    which(f"scope.domain.id={story.domains[0]}", lambda one: place(one) == ("domain", story.domains[0]))
    which("scope.system=all", lambda one: place(one)[0] == "system")
    which("scope.system=other", lambda one: True)
    which(f"{INHERITED}=projects", lambda one: "OS-INHERIT:inherited_to" in one["scope"])
    which(f"{INHERITED}=other", lambda one: "OS-INHERIT:inherited_to" not in one["scope"])
    which(f"scope.project.id={top}&include_subtree", lambda one: top in story.above(place(one)[1]))
    which(f"scope.project.id={top}&include_subtree=0", lambda one: place(one) == ("project", top))
    which(f"user.id={user}&role.id={role}", lambda one: one.get("user") == {"id": user} and one["role"]["id"] == role)
    which("user.id=&group.id=&role.id=", lambda one: True)
    which("effective=0", lambda one: True)
    for nobody in ("user.id=none", "group.id=none", "role.id=none", "scope.project.id=none", "scope.domain.id=none"):
        which(nobody, lambda one: False)


# --- in effect ---------------------------------------------------------------------------------------------------------


def test_what_is_in_effect_is_what_tokens_say(story: Story) -> None:
    """Whoever logs in anywhere finds exactly the roles of the list."""
    effective = story.listed("effective&include_names")
    for number, user in enumerate(story.users):
        scopes: list[tuple[tuple[str, str], Any]] = [(("system", ""), {"system": {"all": True}})]
        scopes += [(("project", p), {"project": {"id": p}}) for p in story.projects]
        scopes += [(("domain", d), {"domain": {"id": d}}) for d in story.domains]
        for where, scope in scopes:
            reply = story.cloud.login(f"u{number}", "pw", scope)
            found = {role["name"] for role in reply.json["token"]["roles"]} if reply.status == 201 else set()
            assert found == {a["role"]["name"] for a in effective if a["user"]["id"] == user and place(a) == where}


def test_filters_of_what_is_in_effect(story: Story) -> None:
    """Each filter finds at once what it would let through of the whole list."""
    whole = story.listed("effective")
    assert same(whole, list({key(one): one for one in whole}.values())), "nothing is there twice"
    deep = max(story.projects, key=lambda p: len(story.above(p)))
    top = story.above(deep)[-2]
    scopes: list[tuple[str, Any]] = [
        ("", lambda one: True),
        (f"scope.project.id={deep}", lambda one: place(one) == ("project", deep)),
        (f"scope.project.id={top}", lambda one: place(one) == ("project", top)),
        (f"scope.project.id={top}&include_subtree", lambda one: top in story.above(place(one)[1])),
        (f"scope.domain.id={story.domains[1]}", lambda one: place(one) == ("domain", story.domains[1])),
        ("scope.domain.id=none", lambda one: False),
        ("scope.system=all", lambda one: place(one)[0] == "system"),
    ]
    users: list[tuple[str, Any]] = [("", lambda one: True)]
    users += [(f"user.id={u}", lambda one, u=u: one["user"]["id"] == u) for u in story.users[:2]]
    roles: list[tuple[str, Any]] = [("", lambda one: True), ("role.id=none", lambda one: False)]
    roles += [(f"role.id={story.names[n]}", lambda one, n=n: one["role"]["id"] == story.names[n]) for n in ("reader", "y", "own")]
    kinds: list[tuple[str, Any]] = [
        ("", lambda one: True),
        (f"{INHERITED}=projects", lambda one: "OS-INHERIT:inherited_to" in one["scope"]),
        (f"{INHERITED}=", lambda one: "OS-INHERIT:inherited_to" not in one["scope"]),
    ]
    for filters in itertools.product(scopes, users, roles, kinds):
        query = "&".join(["effective", *(words for words, _ in filters if words)])
        if "domain" in query and "=projects" in query:
            continue
        assert same(story.listed(query), [one for one in whole if all(holds(one) for _, holds in filters)]), query


def test_an_implied_role_names_the_one_that_implies_it(cloud: IdentityCloud) -> None:
    user, project, _ = cloud.member("ann", "p", "manager")
    ids = {name: cloud.role(name) for name in ("manager", "member", "reader")}
    found = cloud.do("GET", f"/role_assignments?effective&user.id={user}").json["role_assignments"]
    link = f"{BASE}/projects/{project}/users/{user}/roles"
    shown = {one["role"]["id"]: one["links"] for one in found}
    assert shown == {
        ids["manager"]: {"assignment": f"{link}/{ids['manager']}"},
        ids["member"]: {
            "assignment": f"{link}/{ids['manager']}",
            "prior_role": f"{BASE}/prior_role/{ids['member']}/implies/{ids['manager']}",
        },
        ids["reader"]: {
            "assignment": f"{link}/{ids['member']}",
            "prior_role": f"{BASE}/prior_role/{ids['reader']}/implies/{ids['member']}",
        },
    }


def test_the_way_through_a_group_and_down_a_tree(cloud: IdentityCloud) -> None:
    user = cloud.make("user", "/users", name="ann")["id"]
    group = cloud.make("group", "/groups", name="g")["id"]
    top = cloud.make("project", "/projects", name="top")["id"]
    low = cloud.make("project", "/projects", name="low", parent_id=top)["id"]
    role = cloud.role("reader")
    cloud.do("PUT", f"/groups/{group}/users/{user}")
    cloud.do("PUT", f"/OS-INHERIT/projects/{top}/groups/{group}/roles/{role}/inherited_to_projects")
    assert cloud.do("GET", f"/role_assignments?effective&user.id={user}").json["role_assignments"] == [{
        "user": {"id": user}, "role": {"id": role},
        "scope": {"project": {"id": low}, "OS-INHERIT:inherited_to": "projects"},
        "links": {
            "assignment": f"{BASE}/OS-INHERIT/projects/{top}/groups/{group}/roles/{role}/inherited_to_projects",
            "membership": f"{BASE}/groups/{group}/users/{user}",
        },
    }]  # fmt: skip


# --- names -------------------------------------------------------------------------------------------------------------


def test_names(cloud: IdentityCloud) -> None:
    domain = cloud.make("domain", "/domains", name='d"1')["id"]
    user = cloud.make("user", "/users", name="Zoë \\ \"", domain_id=domain)["id"]
    group = cloud.make("group", "/groups", name="g")["id"]
    project = cloud.make("project", "/projects", name="p")["id"]
    own = cloud.make("role", "/roles", name="own", domain_id="default")["id"]
    reader = cloud.role("reader")
    home = {"id": "default", "name": "Default"}
    for path in (f"/projects/{project}/users/{user}/roles/{own}", f"/domains/{domain}/groups/{group}/roles/{reader}",
                 f"/system/users/{user}/roles/{reader}"):  # fmt: skip
        assert cloud.do("PUT", path).status == 204
    found = cloud.do("GET", f"/role_assignments?include_names&user.id={user}").json["role_assignments"]
    shown = {"id": user, "name": "Zoë \\ \"", "domain": {"id": domain, "name": 'd"1'}}
    for one in found:
        del one["links"]
    assert same([{**one, "links": {}} for one in found], [{**one, "links": {}} for one in (
        {"user": shown, "role": {"id": reader, "name": "reader"}, "scope": {"system": {"all": True}}},
        {"user": shown, "role": {"id": own, "name": "own", "domain": home},
         "scope": {"project": {"id": project, "name": "p", "domain": home}}},
    )])  # fmt: skip
    [one] = cloud.do("GET", f"/role_assignments?include_names=true&group.id={group}").json["role_assignments"]
    assert one["group"] == {"id": group, "name": "g", "domain": home}
    assert one["scope"] == {"domain": {"id": domain, "name": 'd"1'}}
    assert "name" not in str(cloud.do("GET", "/role_assignments?include_names=0").json["role_assignments"])


def test_names_change_nothing_else(story: Story) -> None:
    for query in ("", "effective"):
        bare = story.listed(query)
        named = story.listed(f"{query}&include_names")
        for one in named:
            for kind in ("user", "group", "role"):
                if kind in one:
                    one[kind] = {"id": one[kind]["id"]}
            kind, id = place(one)
            if id:
                one["scope"][kind] = {"id": id}
        assert same(bare, named)


# --- pages, sizes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("query", ["", "&effective", "&effective&include_names", "&scope.system=all"])
def test_pages(story: Story, query: str) -> None:
    whole = story.listed(query)
    for size in (1, 3, 1000):
        path: str | None = f"/role_assignments?limit={size}{query}"
        seen: list[Any] = []
        while path:
            page = story.cloud.do("GET", path).json
            assert len(page["role_assignments"]) <= size
            seen += page["role_assignments"]
            path = page["links"]["next"] and page["links"]["next"].partition("/identity/v3")[2]
        assert set(map(key, seen)) == set(map(key, whole))
    assert story.cloud.do("GET", f"/role_assignments?limit=0{query}").json["links"]["next"] is None


def test_a_long_list_is_streamed(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = {query: story.listed(query) for query in ("", "effective", "effective&include_names")}
    monkeypatch.setattr(role_assignments, "AT_ONCE", 100)
    monkeypatch.setattr(role_assignments, "ROWS", 2)
    for query, found in whole.items():
        assert story.listed(query) == found
    headed = story.cloud.do("HEAD", "/role_assignments?effective")
    assert (headed.status, headed.body) == (200, b"")


# --- what is refused, and to whom what is shown ------------------------------------------------------------------------


@pytest.mark.parametrize("query", [
    "user.id=x&group.id=y", "effective&group.id=y", "include_subtree", "include_subtree&scope.domain.id=default",
    "scope.project.id=a&scope.domain.id=b", "scope.project.id=a&scope.system=all", "scope.domain.id=a&scope.system=x",
    "effective&scope.domain.id=default&scope.OS-INHERIT:inherited_to=projects", "limit=x", "limit=1&marker=x",
    "limit=1&marker=x.y",
])  # fmt: skip
def test_what_cannot_be_meant(cloud: IdentityCloud, query: str) -> None:
    assert cloud.do("GET", f"/role_assignments?{query}").status == 400


@pytest.mark.parametrize("query", ["effective&user.id=none", "effective&scope.project.id=none",
                                   "include_subtree&scope.project.id=none"])  # fmt: skip
def test_what_is_missing(cloud: IdentityCloud, query: str) -> None:
    assert cloud.do("GET", f"/role_assignments?{query}").status == 404


@pytest.mark.parametrize("seed", SEEDS)
def test_a_domain_sees_its_own(cloud: IdentityCloud, seed: int) -> None:
    story = Story(cloud, seed)
    domain = story.domains[0]
    admin = cloud.do("GET", "/users?name=admin").json["users"][0]["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{admin}/roles/{cloud.role('reader')}")
    token = cloud.login("admin", ADMIN_PASSWORD, {"domain": {"id": domain}}).headers["x-subject-token"]
    for query in ("", "effective", "effective&include_names", f"user.id={story.users[0]}", f"scope.domain.id={story.domains[1]}"):
        found = [one for one in story.listed(query) if domain in story.above(place(one)[1])]
        assert same(story.listed(query, token), found), query
    for project in story.projects:
        tree = f"scope.project.id={project}&include_subtree"
        if story.domain_of(project) == domain:
            assert same(story.listed(tree, token), story.listed(tree))
        else:
            assert cloud.do("GET", f"/role_assignments?{tree}", token=token).status == 403
    _, _, token = cloud.member("ann", "q")
    for query in ("", f"scope.project.id={next(iter(story.projects))}&include_subtree"):
        assert cloud.do("GET", f"/role_assignments?{query}", token=token).status == 403
