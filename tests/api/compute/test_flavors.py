"""Flavors, key pairs, versions."""

from __future__ import annotations

from typing import Any

import pytest

from api.compute.conftest import ComputeCloud

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOMqqnkVzrm0SdG6UOoqKLsabgH5C9okWi0dh2l9GKJl me@here"


def test_a_flavor(cloud: ComputeCloud) -> None:
    body = {"name": "big", "ram": "4096", "vcpus": 2, "disk": 10, "id": "b.1", "swap": 5, "OS-FLV-EXT-DATA:ephemeral": 1,
            "description": "d"}  # fmt: skip
    made = cloud.ok("POST", "/flavors", {"flavor": body}, token="admin")["flavor"]
    assert (made["id"], made["ram"], made["swap"], made["extra_specs"]) == ("b.1", 4096, 5, {})
    assert cloud.ok("GET", "/flavors/b.1")["flavor"] == made
    changed = cloud.ok("PUT", "/flavors/b.1", {"flavor": {"description": None}}, token="admin")["flavor"]
    assert changed["description"] is None
    assert cloud.do("POST", "/flavors", {"flavor": body}, token="admin").status == 409
    assert cloud.do("POST", "/flavors", {"flavor": {**body, "id": "other"}}, token="admin").status == 409
    assert cloud.do("DELETE", "/flavors/b.1").status == 403
    assert cloud.do("DELETE", "/flavors/b.1", token="admin").status == 202
    assert cloud.do("GET", "/flavors/b.1").status == 404
    assert cloud.do("GET", "/flavors/m1.tiny").status == 404  # by id only


@pytest.mark.parametrize(
    "bad",
    [
        {"ram": 0},
        {"ram": "x"},
        {"vcpus": 2**31},
        {"disk": -1},
        {"name": ""},
        {"name": " x"},
        {"id": " x"},
        {"id": "ä"},
        {"color": 1},
        {"swap": "99999999999"},
    ],
)
def test_what_is_no_flavor(cloud: ComputeCloud, bad: dict[str, Any]) -> None:
    body = {"name": "x", "ram": 1, "vcpus": 1, "disk": 1, **bad}
    assert cloud.do("POST", "/flavors", {"flavor": body}, token="admin").status == 400
    assert cloud.do("POST", "/flavors", {"flavor": {"name": "x", "ram": 1, "vcpus": 1, "disk": 1}}).status == 403


def test_flavors_before_their_fields(cloud: ComputeCloud) -> None:
    old = cloud.ok("GET", f"/flavors/{cloud.flavor_id}", at="compute 2.1")["flavor"]
    assert (old["swap"], old["rxtx_factor"], old["OS-FLV-DISABLED:disabled"]) == ("", 1.0, False)
    assert "description" not in old
    assert cloud.ok("GET", "/flavors", at="")["flavors"][0].keys() == {"id", "name", "links"}


def test_lists_of_flavors(cloud: ComputeCloud) -> None:
    cloud.flavor("a", id="1", ram=64)
    cloud.flavor("b", id="2", disk=9)
    secret = cloud.flavor("secret", **{"id": "3", "os-flavor-access:is_public": False})

    def ids(query: str, token: str = "member") -> list[str]:
        return [f["name"] for f in cloud.ok("GET", f"/flavors/detail{query}", token=token)["flavors"]]

    assert set(ids("?is_public=None")) == {"a", "b", "m1.tiny"}
    assert ids("?is_public=None&sort_key=name", "admin") == ["a", "b", "m1.tiny", "secret"]
    assert ids("?is_public=false", "admin") == ["secret"]
    assert ids("?minRam=100&minDisk=5") == ["b"]
    assert ids("?limit=1&sort_key=name") == ["a"]
    assert ids("?marker=1&limit=1&sort_key=name") == ["b"]
    for bad in ("?minRam=x", "?sort_key=x", "?marker=none", "?limit=x"):
        assert cloud.do("GET", f"/flavors{bad}").status == 400
    assert cloud.do("GET", f"/flavors/{secret}").status == 404
    access = {"addTenantAccess": {"tenant": "p1"}}
    assert cloud.do("POST", f"/flavors/{secret}/action", access).status == 404
    granted = cloud.ok("POST", f"/flavors/{secret}/action", access, token="admin")
    assert granted == {"flavor_access": [{"flavor_id": secret, "tenant_id": "p1"}]}
    assert cloud.do("POST", f"/flavors/{secret}/action", access, token="admin").status == 409
    assert "secret" in ids("")
    assert cloud.ok("GET", f"/flavors/{secret}/os-flavor-access", token="admin") == granted
    assert cloud.do("GET", "/flavors/1/os-flavor-access", token="admin").status == 404
    removed = {"removeTenantAccess": {"tenant": "p1"}}
    assert cloud.ok("POST", f"/flavors/{secret}/action", removed, token="admin") == {"flavor_access": []}
    assert cloud.do("POST", f"/flavors/{secret}/action", removed, token="admin").status == 404


def test_extra_specs(cloud: ComputeCloud) -> None:
    base = f"/flavors/{cloud.flavor_id}/os-extra_specs"
    assert cloud.ok("POST", base, {"extra_specs": {"hw:a": "1", "b": 2}}, token="admin") == {
        "extra_specs": {"hw:a": "1", "b": "2"}
    }
    assert cloud.ok("PUT", f"{base}/b", {"b": "3"}, token="admin") == {"b": "3"}
    assert cloud.do("PUT", f"{base}/b", {"c": "3"}, token="admin").status == 400
    assert cloud.do("PUT", f"{base}/b", [], token="admin").status == 400
    assert cloud.ok("GET", base) == {"extra_specs": {"hw:a": "1", "b": "3"}}
    assert cloud.ok("GET", f"{base}/b") == {"b": "3"}
    assert cloud.do("DELETE", f"{base}/b").status == 403
    assert cloud.do("DELETE", f"{base}/b", token="admin").status == 200
    assert cloud.do("DELETE", f"{base}/b", token="admin").status == 404
    assert cloud.do("GET", f"{base}/b").status == 404
    assert cloud.do("POST", base, {"extra_specs": {"ü": "1"}}, token="admin").status == 400


# --- key pairs ----------------------------------------------------------------------------------------------------------


def test_key_pairs(cloud: ComputeCloud) -> None:
    reply = cloud.do("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": KEY}})
    assert reply.status == 201
    assert reply.json["keypair"]["fingerprint"].count(":") == 15
    assert "private_key" not in reply.json["keypair"]
    assert cloud.do("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": KEY}}).status == 409
    generated = cloud.do("POST", "/os-keypairs", {"keypair": {"name": "g"}}, at="compute 2.1")
    assert generated.status == 200
    assert generated.json["keypair"]["private_key"].startswith("-----BEGIN EC PRIVATE KEY")
    assert [k["keypair"]["name"] for k in cloud.ok("GET", "/os-keypairs")["keypairs"]] == ["g", "k"]
    assert [k["keypair"]["name"] for k in cloud.ok("GET", "/os-keypairs?limit=1&marker=g")["keypairs"]] == ["k"]
    shown = cloud.ok("GET", "/os-keypairs/k")["keypair"]
    assert (shown["user_id"], shown["type"], shown["deleted"]) == ("member-id", "ssh", False)
    assert cloud.ok("GET", "/os-keypairs", token="member2")["keypairs"] == []
    assert cloud.do("GET", "/os-keypairs?user_id=member-id", token="member2").status == 403
    assert len(cloud.ok("GET", "/os-keypairs?user_id=member-id", token="admin")["keypairs"]) == 2
    assert cloud.do("DELETE", "/os-keypairs/k", at="compute 2.1").status == 202
    assert cloud.do("DELETE", "/os-keypairs/g").status == 204
    assert cloud.do("DELETE", "/os-keypairs/g").status == 404
    other = {"keypair": {"name": "theirs", "public_key": KEY, "user_id": "member2-id"}}
    assert cloud.do("POST", "/os-keypairs", other).status == 403
    assert cloud.do("POST", "/os-keypairs", other, token="admin").status == 201


@pytest.mark.parametrize(
    "bad",
    [
        {"public_key": "nonsense"},
        {"public_key": "ssh-ed25519 xxx"},
        {"name": "a/b"},
        {"name": ""},
        {"type": "dsa"},
        {"public_key": None},
        {"type": "x509"},
        {"color": 1},
    ],
)
def test_what_is_no_key_pair(cloud: ComputeCloud, bad: dict[str, Any]) -> None:
    assert cloud.do("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": KEY, **bad}}).status == 400


def test_key_pairs_from_2_92_on_are_imported(cloud: ComputeCloud) -> None:
    assert cloud.do("POST", "/os-keypairs", {"keypair": {"name": "k"}}, at="compute 2.92").status == 400
    assert cloud.do("POST", "/os-keypairs", {"keypair": {"name": "a@b.c", "public_key": KEY}}).status == 201
    cloud.ok("PUT", "/os-quota-sets/p1", {"quota_set": {"key_pairs": 1}}, token="admin")
    assert cloud.do("POST", "/os-keypairs", {"keypair": {"name": "k", "public_key": KEY}}).status == 403


# --- versions -----------------------------------------------------------------------------------------------------------


def test_version_documents(cloud: ComputeCloud) -> None:
    listed = cloud.ask("GET", "/compute/", token=None).json["versions"]
    assert [v["id"] for v in listed] == ["v2.0", "v2.1"]
    assert (listed[1]["version"], listed[1]["min_version"], listed[1]["status"]) == ("2.104", "2.1", "CURRENT")
    for version in listed:
        shown = cloud.ask("GET", version["links"][0]["href"].removeprefix("http://127.0.0.1:8000"), token=None).json[
            "version"
        ]
        assert shown["links"] == version["links"]
        assert shown["media-types"]
    assert cloud.ask("GET", "/compute", token=None).status == 200


@pytest.mark.parametrize(
    ("headers", "used"),
    [
        ({}, "2.1"),
        ({"OpenStack_API_Version": "compute 2.50"}, "2.50"),
        ({"OpenStack_API_Version": "identity 3, compute latest"}, "2.104"),
        ({"X_OpenStack_Nova_API_Version": "2.7"}, "2.7"),
        ({"OpenStack_API_Version": "volume 3.1"}, "2.1"),
        ({"OpenStack_API_Version": "compute 2.9", "X_OpenStack_Nova_API_Version": "2.7"}, "2.9"),
    ],
)
def test_which_version_is_spoken(cloud: ComputeCloud, headers: dict[str, str], used: str) -> None:
    reply = cloud.ask("GET", "/compute/v2.1/flavors", **headers)
    assert reply.status == 200
    assert reply.headers["openstack-api-version"] == f"compute {used}"
    assert reply.headers["x-openstack-nova-api-version"] == used
    assert "OpenStack-API-Version" in reply.headers["vary"]
    assert reply.headers["x-compute-request-id"] == reply.headers["x-openstack-request-id"]


@pytest.mark.parametrize(
    ("version", "status", "key"),
    [
        ("2.105", 406, "computeFault"),
        ("1.1", 406, "computeFault"),
        ("2.0", 406, "computeFault"),
        ("2", 400, "badRequest"),
        ("x", 400, "badRequest"),
        ("2.01", 400, "badRequest"),
        ("2.1.1", 400, "badRequest"),
        ("2.999999999", 400, "badRequest"),
    ],
)
def test_versions_that_are_none(cloud: ComputeCloud, version: str, status: int, key: str) -> None:
    reply = cloud.ask("GET", "/compute/v2.1/flavors", OpenStack_API_Version=f"compute {version}")
    assert (reply.status, list(reply.json)) == (status, [key])
    assert reply.json[key]["code"] == status


def test_errors_in_compute_s_words(cloud: ComputeCloud) -> None:
    assert "itemNotFound" in cloud.do("GET", "/servers/none").json
    assert "badMethod" in cloud.do("PUT", "/servers").json
    assert "error" in cloud.ask("GET", "/compute/v2.1/servers", token=None).json
    assert cloud.ask("GET", "/compute/v2.1/nothing").status == 404
