"""Lists of servers: filters, order, pages, and one SQL statement at every size."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import event

from api.compute.conftest import ComputeCloud


@pytest.fixture
def three(cloud: ComputeCloud) -> Iterator[ComputeCloud]:
    """Servers alpha, beta.1 and gamma, made in this order."""
    for n, name in enumerate(("alpha", "beta.1", "gamma")):
        cloud.clock.now += 1
        cloud.server(name, tags=["t", f"n{n}"], metadata={"n": str(n)})
    return cloud


def names(cloud: ComputeCloud, query: str = "", *, token: str = "member", at: str = "compute 2.104") -> list[str]:
    return [s["name"] for s in cloud.ok("GET", f"/servers/detail{query}", token=token, at=at)["servers"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("", ["gamma", "beta.1", "alpha"]),
        ("?name=a$", ["gamma", "alpha"]),
        ("?name=beta", ["beta.1"]),
        ("?name=^a", ["alpha"]),
        ("?name=beta.1", ["beta.1"]),
        ("?name=bet[ae]", ["beta.1"]),
        ("?status=ACTIVE", ["gamma", "beta.1", "alpha"]),
        ("?status=SHUTOFF", []),
        ("?status=nonsense", []),
        ("?tags=t,n1", ["beta.1"]),
        ("?tags-any=n0,n2", ["gamma", "alpha"]),
        ("?not-tags=n0", ["gamma", "beta.1"]),
        ("?not-tags-any=n0,n1", ["gamma"]),
        ("?limit=1", ["gamma"]),
        ("?sort_key=display_name&sort_dir=asc", ["alpha", "beta.1", "gamma"]),
        ("?sort_key=created_at&sort_dir=asc&limit=2", ["alpha", "beta.1"]),
        ("?flavor=none", []),
        ("?image=none", []),
        ("?changes-since=2027-01-15T08:00:03Z", ["gamma"]),
        ("?locked=true", []),
        ("?locked=false", ["gamma", "beta.1", "alpha"]),
        ("?deleted=False", ["gamma", "beta.1", "alpha"]),
        ("?ip=10.0.0", ["gamma", "beta.1", "alpha"]),
        ("?ip=10.9", []),
        ('?metadata={"n":"1"}', ["beta.1"]),
        ("?vm_state=active&power_state=1", ["gamma", "beta.1", "alpha"]),
    ],
)
def test_filters(three: ComputeCloud, query: str, found: list[str]) -> None:
    assert names(three, query) == found


@pytest.mark.parametrize(
    "query",
    [
        "?limit=x",
        "?limit=-1",
        "?marker=none",
        "?sort_key=none",
        "?sort_key=display_name&sort_dir=up",
        "?name=(",
        "?name=(a%2B)%2B",
        "?all_tenants=x",
        "?color=red",
        "?changes-since=yesterday",
        "?metadata=x",
    ],
)
def test_what_is_no_filter(three: ComputeCloud, query: str) -> None:
    assert three.do("GET", f"/servers/detail{query}").status == 400


def test_unknown_filters_were_ignored_once(three: ComputeCloud) -> None:
    assert len(names(three, "?color=red", at="compute 2.74")) == 3


def test_pages(three: ComputeCloud) -> None:
    seen: list[str] = []
    url = "/compute/v2.1/servers?limit=2"
    while url:
        body = three.ask("GET", url).json
        seen += [s["name"] for s in body["servers"]]
        url = body["servers_links"][0]["href"].removeprefix("http://127.0.0.1:8000") if "servers_links" in body else ""
    assert seen == ["gamma", "beta.1", "alpha"]


def test_whose(three: ComputeCloud) -> None:
    assert names(three, token="other") == []
    assert names(three, token="admin") == []
    assert len(names(three, "?all_tenants=1", token="admin")) == 3
    assert len(names(three, "?all_tenants=true&project_id=p1", token="admin")) == 3
    assert names(three, "?all_tenants=1&project_id=p2", token="admin") == []
    assert three.do("GET", "/servers?all_tenants=1").status == 403
    assert three.do("GET", "/servers/detail", token="nobody").status == 403
    assert len(names(three, "?host=host-9")) == 3  # an admin's filter is ignored from others
    assert names(three, "?host=host-9&all_tenants=1", token="admin") == []


def test_deleted_ones(three: ComputeCloud) -> None:
    since = three.show(three.server("delta"))["updated"]
    three.clock.now += 5
    id = three.ok("GET", "/servers?name=alpha")["servers"][0]["id"]
    three.do("DELETE", f"/servers/{id}")
    three.settle()
    assert "alpha" not in names(three)
    assert "alpha" in names(three, f"?changes-since={since}")
    (gone,) = three.ok("GET", "/servers/detail?deleted=true&all_tenants=1", token="admin")["servers"]
    assert (gone["status"], gone["name"], gone["addresses"]) == ("DELETED", "alpha", {})
    assert three.do("GET", "/servers?status=DELETED").status == 403


def test_a_list_is_one_statement_at_every_size(three: ComputeCloud) -> None:
    def statements(path: str) -> int:
        seen: list[Any] = []
        engine = three.cloud.database.engine

        def keep(connection: Any, cursor: Any, statement: str, *more: Any) -> None:
            if not statement.startswith("BEGIN"):
                seen.append(statement)

        event.listen(engine, "before_cursor_execute", keep)
        three.ok("GET", path)
        event.remove(engine, "before_cursor_execute", keep)
        return len(seen)

    assert statements("/servers/detail") == 1
    assert statements("/servers") == 1
    id = three.ok("GET", "/servers")["servers"][0]["id"]
    assert statements(f"/servers/{id}") == 1


# --- one server -------------------------------------------------------------------------------------------------------------


def test_who_sees_what(cloud: ComputeCloud) -> None:
    id = cloud.server()
    for token, status in (
        ("reader", 200),
        ("member", 200),
        ("manager", 200),
        ("admin", 200),
        ("other", 404),
        ("nobody", 403),
    ):
        assert cloud.do("GET", f"/servers/{id}", token=token).status == status
    mine, admins = cloud.show(id), cloud.show(id, token="admin")
    only = {k for k in admins if k not in mine}
    assert {"OS-EXT-SRV-ATTR:host", "OS-EXT-SRV-ATTR:instance_name", "host_status"} <= only
    assert admins["OS-EXT-SRV-ATTR:instance_name"] == "instance-00000001"
    assert admins["host_status"] == "UP"
    assert mine["flavor"]["original_name"] == "m1.tiny"
    assert "id" in cloud.show(id, at="compute 2.46")["flavor"]
    assert cloud.do("GET", "/servers/none").status == 404
    assert cloud.do("GET", f"/servers/{id}x").status == 404


def test_changes(cloud: ComputeCloud) -> None:
    id = cloud.server()
    new = {
        "name": "new",
        "description": "d",
        "accessIPv6": "0000:0000:0000:0000:0000:babe:220.12.22.2",
        "OS-DCF:diskConfig": "MANUAL",
        "hostname": "other",
    }
    shown = cloud.ok("PUT", f"/servers/{id}", {"server": new})["server"]
    assert (shown["name"], shown["description"], shown["accessIPv6"]) == ("new", "d", "::babe:dc0c:1602")
    assert shown["OS-EXT-SRV-ATTR:hostname"] == "other"
    for token, status in (("reader", 403), ("other", 404), ("nobody", 403)):
        assert cloud.do("PUT", f"/servers/{id}", {"server": {"name": "x"}}, token=token).status == status
    for bad in ({"name": ""}, {"accessIPv4": "x"}, {"metadata": {}}, {"OS-DCF:diskConfig": "x"}):
        assert cloud.do("PUT", f"/servers/{id}", {"server": bad}).status == 400
    assert cloud.show(id)["name"] == "new"


def test_deleting(cloud: ComputeCloud) -> None:
    id = cloud.server()
    for token, status in (("reader", 403), ("other", 404), ("nobody", 403)):
        assert cloud.do("DELETE", f"/servers/{id}", token=token).status == status
    assert cloud.act(id, "forceDelete").status == 202
    assert cloud.do("DELETE", f"/servers/{id}").status == 204  # again, while it goes
    assert cloud.states(id)[2] == "deleting"
    cloud.settle()
    assert cloud.do("DELETE", f"/servers/{id}").status == 404
    actions = cloud.ok("GET", f"/servers/{id}/os-instance-actions")["instanceActions"]
    assert [a["action"] for a in actions] == ["delete", "create"]


def test_metadata_and_tags(cloud: ComputeCloud) -> None:
    id = cloud.server(metadata={"a": "1"})
    base = f"/servers/{id}/metadata"
    assert cloud.ok("POST", base, {"metadata": {"b": "2"}}) == {"metadata": {"a": "1", "b": "2"}}
    assert cloud.ok("PUT", f"{base}/a", {"meta": {"a": "3"}}) == {"meta": {"a": "3"}}
    assert cloud.ok("GET", f"{base}/a") == {"meta": {"a": "3"}}
    assert cloud.do("PUT", f"{base}/a", {"meta": {"b": "3"}}).status == 400
    assert cloud.do("DELETE", f"{base}/a").status == 204
    assert cloud.do("DELETE", f"{base}/a").status == 404
    assert cloud.ok("PUT", base, {"metadata": {"z": "9"}}) == {"metadata": {"z": "9"}}
    assert cloud.do("PUT", base, {"metadata": {"z": 9}}).status == 400
    assert cloud.do("POST", base, {"metadata": {}}, token="reader").status == 403
    tags = f"/servers/{id}/tags"
    assert cloud.do("PUT", f"{tags}/x").status == 201
    assert cloud.do("PUT", f"{tags}/x").status == 204
    assert cloud.do("PUT", f"{tags}/a,b").status == 400
    assert cloud.ok("PUT", tags, {"tags": ["b", "a", "b"]}) == {"tags": ["a", "b"]}
    assert cloud.do("GET", f"{tags}/a").status == 204
    assert cloud.do("DELETE", f"{tags}/a").status == 204
    assert cloud.do("GET", f"{tags}/a").status == 404
    assert cloud.do("DELETE", tags).status == 204
    assert cloud.ok("GET", tags) == {"tags": []}
    assert cloud.do("GET", tags, at="compute 2.25").status == 404


def test_interfaces(cloud: ComputeCloud) -> None:
    id, second = cloud.server(), cloud.network("second", "10.2.0.0/24")
    base = f"/servers/{id}/os-interface"
    made = cloud.ok(
        "POST", base, {"interfaceAttachment": {"net_id": second, "fixed_ips": [{"ip_address": "10.2.0.50"}]}}
    )
    port_id = made["interfaceAttachment"]["port_id"]
    assert made["interfaceAttachment"]["fixed_ips"][0]["ip_address"] == "10.2.0.50"
    cloud.settle()
    assert set(cloud.world.guests[id].nics) == {n["port_id"] for n in cloud.ok("GET", base)["interfaceAttachments"]}
    assert cloud.ok("GET", f"/servers/{id}/ips/second") == {"second": [{"version": 4, "addr": "10.2.0.50"}]}
    assert set(cloud.ok("GET", f"/servers/{id}/ips")["addresses"]) == {"net", "second"}
    assert cloud.do("GET", f"/servers/{id}/ips/third").status == 404
    assert cloud.do("DELETE", f"{base}/{port_id}").status == 202
    cloud.settle()
    assert cloud.do("GET", f"{base}/{port_id}").status == 404
    assert cloud.do("DELETE", f"{base}/{port_id}").status == 404
    assert cloud.plugs("host-1").plugged() == {n["port_id"] for n in cloud.ok("GET", base)["interfaceAttachments"]}
    own = cloud.port(second)
    cloud.ok("POST", base, {"interfaceAttachment": {"port_id": own["id"]}})
    cloud.settle()
    assert cloud.do("POST", base, {"interfaceAttachment": {"port_id": own["id"]}}).status == 409
    cloud.do("DELETE", f"{base}/{own['id']}")
    cloud.settle()
    assert cloud.ask("GET", f"/network/v2.0/ports/{own['id']}").json["port"]["device_id"] == ""
    for bad in (
        {"net_id": second, "port_id": own["id"]},
        {"fixed_ips": [{"ip_address": "10.2.0.9"}]},
        {"net_id": "x"},
        {"color": 1},
    ):
        assert cloud.do("POST", base, {"interfaceAttachment": bad}).status == 400
    assert cloud.do("POST", base, {"interfaceAttachment": {}}, token="reader").status == 403


def test_security_groups_of_a_running_server(cloud: ComputeCloud) -> None:
    id = cloud.server()
    cloud.ask("POST", "/network/v2.0/security-groups", json={"security_group": {"name": "g"}})
    assert cloud.act(id, "addSecurityGroup", {"name": "g"}).status == 202
    assert {g["name"] for g in cloud.show(id)["security_groups"]} == {"default", "g"}
    assert cloud.show(cloud.server())["security_groups"] == [{"name": "default"}]  # not those of other servers
    assert cloud.act(id, "removeSecurityGroup", {"name": "default"}).status == 202
    assert cloud.show(id)["security_groups"] == [{"name": "g"}]
    assert cloud.act(id, "removeSecurityGroup", {"name": "default"}).status == 404
    assert cloud.act(id, "addSecurityGroup", {"name": "none"}).status == 404
