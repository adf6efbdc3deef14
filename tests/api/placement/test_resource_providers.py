"""Conversations about providers, and how placement speaks in general."""

from __future__ import annotations

import pytest

from api.placement.conftest import PlacementCloud, uid

DUPLICATE = "placement.duplicate_name"
NOT_FOUND = "placement.resource_provider.not_found"
BAD_VALUE = "placement.query.bad_value"


def test_anybody_may_see_the_versions(cloud: PlacementCloud) -> None:
    for url in ("/placement", "/placement/"):
        reply = cloud.ask("GET", url, token=None)
        assert reply.status == 200
        (version,) = reply.json["versions"]
        assert (version["id"], version["min_version"], version["max_version"]) == ("v1.0", "1.0", "1.39")


@pytest.mark.parametrize(
    ("asked", "got"),
    [
        ("placement 1.7", "1.7"),
        ("placement latest", "1.39"),
        ("compute 2.1, placement 1.10", "1.10"),
        ("compute 2.1", "1.0"),
        ("", "1.0"),
    ],
)
def test_versions_are_negotiated(cloud: PlacementCloud, asked: str, got: str) -> None:
    reply = cloud.ask("GET", "/placement/resource_providers", "admin", OpenStack_API_Version=asked)
    assert reply.status == 200
    assert reply.headers["openstack-api-version"] == f"placement {got}"
    assert reply.headers["vary"] == "OpenStack-API-Version"
    assert ("last-modified" in reply.headers) is (got == "1.39")
    assert reply.headers.get("cache-control") == ("no-cache" if got == "1.39" else None)


def test_versions_that_are_none(cloud: PlacementCloud) -> None:
    for version, status in (("1.40", 406), ("2.0", 406), ("0.9", 406), ("one", 400), ("1", 400), ("1.x", 400)):
        reply = cloud.say("GET", "/resource_providers", at=version)
        assert reply.status == status
    error = cloud.say("GET", "/", at="1.40").json["errors"][0]
    assert (error["min_version"], error["max_version"]) == ("1.0", "1.39")


def test_errors_have_a_code_from_1_23_on(cloud: PlacementCloud) -> None:
    url = f"/resource_providers/{uid('x')}"
    error = cloud.say("GET", url).json["errors"][0]
    assert set(error) == {"status", "title", "detail", "code", "request_id"}
    assert (error["code"], error["title"]) == (NOT_FOUND, "Not Found")
    assert "code" not in cloud.say("GET", url, at="1.22").json["errors"][0]


def test_who_may(cloud: PlacementCloud) -> None:
    id = cloud.provider("h")
    for token, status in (("admin", 200), ("service", 200), ("manager", 403), ("member", 403), ("reader", 403)):
        for url in ("/resource_providers", f"/resource_providers/{id}", "/traits", "/resource_classes"):
            assert cloud.say("GET", url, token=token).status == status
        assert cloud.say("GET", f"/resource_providers/{uid('none')}", token=token).status == (
            404 if status == 200 else 403
        )
    assert cloud.say("GET", "/resource_providers", token=None).status == 401
    assert cloud.say("POST", "/resource_providers", {"name": "x"}, token="nobody").status == 403
    assert cloud.say("DELETE", f"/resource_providers/{id}", token="other").status == 403


def test_a_provider_lives_and_dies(cloud: PlacementCloud) -> None:
    made = cloud.say("POST", "/resource_providers", {"name": "h"})
    id = made.json["uuid"]
    assert made.status == 200
    assert made.headers["location"] == f"http://127.0.0.1:8000/placement/resource_providers/{id}"
    assert made.json == cloud.say("GET", f"/resource_providers/{id}").json
    assert (made.json["parent_provider_uuid"], made.json["root_provider_uuid"]) == (None, id)
    assert {link["rel"]: link["href"] for link in made.json["links"]}["allocations"] == (
        f"/placement/resource_providers/{id}/allocations"
    )
    renamed = cloud.say("PUT", f"/resource_providers/{id}", {"name": "h2"})
    assert (renamed.status, renamed.json["name"], renamed.json["generation"]) == (200, "h2", 0)
    assert cloud.say("DELETE", f"/resource_providers/{id}").status == 204
    cloud.fails(404, "DELETE", f"/resource_providers/{id}", code=NOT_FOUND)
    cloud.fails(404, "PUT", f"/resource_providers/{id}", {"name": "h"}, code=NOT_FOUND)


def test_old_clients_see_what_they_saw(cloud: PlacementCloud) -> None:
    made = cloud.say("POST", "/resource_providers", {"name": "h", "uuid": uid("h")}, at="1.0")
    assert (made.status, made.body) == (201, b"")
    assert made.headers["location"].endswith(uid("h"))
    old = cloud.say("GET", f"/resource_providers/{uid('h')}", at="1.0").json
    assert set(old) == {"uuid", "name", "generation", "links"}
    assert [link["rel"] for link in old["links"]] == ["self", "inventories", "usages"]
    assert (
        cloud.say("POST", "/resource_providers", {"name": "x", "parent_provider_uuid": None}, at="1.13").status == 400
    )


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"name": "x" * 201},
        {"name": 7},
        {"name": "x", "uuid": "no"},
        {"name": "x", "size": 1},
        {"name": "x", "parent_provider_uuid": "no"},
        {"name": "x", "parent_provider_uuid": uid("none")},
    ],
)
def test_bad_providers(cloud: PlacementCloud, body: object) -> None:
    cloud.fails(400, "POST", "/resource_providers", body)
    assert cloud.say("GET", "/resource_providers").json == {"resource_providers": []}


def test_names_and_uuids_are_unique(cloud: PlacementCloud) -> None:
    cloud.provider("a")
    cloud.provider("b")
    assert "name" in cloud.fails(409, "POST", "/resource_providers", {"name": "a"}, code=DUPLICATE)
    again = {"name": "c", "uuid": uid("a")}
    assert "uuid" in cloud.fails(409, "POST", "/resource_providers", again, code=DUPLICATE)
    cloud.fails(409, "PUT", f"/resource_providers/{uid('b')}", {"name": "a"}, code=DUPLICATE)


def test_trees_move(cloud: PlacementCloud) -> None:
    for name, parent in (("root", None), ("numa", "root"), ("pf", "numa"), ("other", None)):
        cloud.provider(name, parent)
    url = f"/resource_providers/{uid('numa')}"
    move = {"name": "numa", "parent_provider_uuid": uid("other")}
    cloud.fails(400, "PUT", url, move, at="1.36")
    assert cloud.say("PUT", url, move).json["root_provider_uuid"] == uid("other")
    assert cloud.say("GET", f"/resource_providers/{uid('pf')}").json["root_provider_uuid"] == uid("other")
    assert "below" in cloud.fails(400, "PUT", url, {"name": "numa", "parent_provider_uuid": uid("pf")})
    cloud.fails(400, "PUT", url, {"name": "numa", "parent_provider_uuid": uid("numa")})
    cloud.fails(400, "PUT", url, {"name": "numa", "parent_provider_uuid": uid("none")})
    assert cloud.say("PUT", url, {"name": "numa", "parent_provider_uuid": None}).json["root_provider_uuid"] == uid(
        "numa"
    )
    cloud.fails(409, "DELETE", url, code="placement.resource_provider.cannot_delete_parent")
    root = {"name": "root", "parent_provider_uuid": uid("other")}
    assert cloud.say("PUT", f"/resource_providers/{uid('root')}", root, at="1.14").status == 200


def test_a_provider_in_use_stays(cloud: PlacementCloud) -> None:
    id = cloud.provider("h", VCPU=4)
    assert cloud.allocate("vm", {"h": {"VCPU": 1}}).status == 204
    cloud.fails(409, "DELETE", f"/resource_providers/{id}", code="placement.resource_provider.inuse")


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", "abcd"),
        ("name=a", "a"),
        (f"uuid={uid('b')}", "b"),
        (f"in_tree={uid('c')}", "ac"),
        (f"in_tree={uid('none')}", ""),
        ("resources=VCPU:3", "a"),
        ("resources=VCPU:1,DISK_GB:5", "a"),
        ("resources=VCPU:2", "ab"),
        (f"member_of={uid('east')}", "ac"),
        (f"member_of=in:{uid('east')},{uid('west')}", "abc"),
        (f"member_of={uid('east')}&member_of={uid('west')}", "c"),
        (f"member_of=!{uid('east')}", "bd"),
        (f"member_of=!in:{uid('east')},{uid('west')}", "d"),
        ("required=HW_CPU_X86_AVX", "ab"),
        ("required=HW_CPU_X86_AVX,!CUSTOM_FAST", "b"),
        ("required=in:CUSTOM_FAST,HW_CPU_X86_AVX2", "ac"),
        ("required=in:CUSTOM_FAST,HW_CPU_X86_AVX2&required=HW_CPU_X86_AVX", "a"),
    ],
)
def test_filters(cloud: PlacementCloud, query: str, found: str) -> None:
    assert cloud.say("PUT", "/traits/CUSTOM_FAST").status == 201
    cloud.provider("a", traits=("HW_CPU_X86_AVX", "CUSTOM_FAST"), in_=("east",), VCPU=4, DISK_GB=10)
    cloud.provider("b", traits=("HW_CPU_X86_AVX",), in_=("west",), VCPU={"total": 4, "reserved": 2})
    cloud.provider("c", "a", traits=("HW_CPU_X86_AVX2",), in_=("east", "west"))
    cloud.provider("d")
    reply = cloud.say("GET", f"/resource_providers?{query}")
    assert reply.status == 200, reply.body
    assert "".join(p["name"] for p in reply.json["resource_providers"]) == found


@pytest.mark.parametrize(
    ("query", "at"),
    [
        ("color=red", "1.39"),
        ("uuid=no", "1.39"),
        ("in_tree=no", "1.39"),
        ("in_tree=" + uid("a"), "1.13"),
        ("member_of=no", "1.39"),
        ("member_of=" + uid("a"), "1.2"),
        ("member_of=!" + uid("a"), "1.31"),
        ("resources=VCPU:1", "1.3"),
        ("resources=VCPU", "1.39"),
        ("resources=VCPU:0", "1.39"),
        ("resources=VCPU:x", "1.39"),
        ("resources=VCPU:99999999999", "1.39"),
        ("resources=VCPU:1,VCPU:2", "1.39"),
        ("resources=", "1.39"),
        ("required=HW_CPU_X86_AVX", "1.17"),
        ("required=!HW_CPU_X86_AVX", "1.21"),
        ("required=in:HW_CPU_X86_AVX", "1.38"),
        ("required=HW_CPU_X86_AVX,!HW_CPU_X86_AVX", "1.39"),
        ("required=", "1.39"),
    ],
)
def test_bad_filters(cloud: PlacementCloud, query: str, at: str) -> None:
    cloud.fails(400, "GET", f"/resource_providers?{query}", at=at, code=BAD_VALUE)


def test_bad_filters_of_other_kinds(cloud: PlacementCloud) -> None:
    cloud.fails(400, "GET", "/resource_providers?name=a&name=b", code="placement.query.duplicate_key")
    assert "CUSTOM_NO" in cloud.fails(400, "GET", "/resource_providers?required=CUSTOM_NO")
    assert "CUSTOM_NO" in cloud.fails(400, "GET", "/resource_providers?resources=CUSTOM_NO:1")
