"""What compute asks of network, and the reconciler."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import literal, select, update

from api.network.conftest import NetworkCloud
from support import PERSONAS
from tiffin.core.driver import Turn
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound, OverQuota
from tiffin.services.network import public
from tiffin.services.network.reconcilers import reconcile
from tiffin.services.network.tables import NetworkRow


def port_for(cloud: NetworkCloud, network_id: str, **more: Any) -> str:
    asked = {"network_id": network_id, "fixed_ip": None, "device_id": "vm", "device_owner": "compute:nova", **more}
    with cloud.cloud.database.write() as session:
        return public.create_port(session, cloud.cloud, "p1", request_id="req-1", now=cloud.clock(), **asked)


def test_a_server_port_from_begin_to_end(cloud: NetworkCloud) -> None:
    network, _subnet = cloud.network()
    id = port_for(cloud, network["id"], fixed_ip="10.0.0.20", hostname="Web")
    with cloud.cloud.database.write() as session:
        public.bind_port(session, cloud.clock(), id, "host1", "req-1")
    cloud.settle()
    cloud.host.ensure_plugged(Turn(1), id, "", 1442)
    cloud.settle()
    with cloud.cloud.database.read() as session:
        (port,) = public.ports_of(session, "vm", "p1")
        assert public.ports_of(session, "vm", "p2") == []
        assert public.ports_ready(session, [id])
        assert public.port_by_address(session, network["id"], "10.0.0.20") == port
        assert public.port_by_address(session, network["id"], "10.0.0.21") is None
        spec = public.network_spec(session, network["id"])
    assert (port.id, port.mtu, port.status, port.host, port.network_name) == (id, 1442, "ACTIVE", "host1", "net")
    assert port.subnets[0].cidr == "10.0.0.0/24"
    assert spec is not None
    assert spec.subnets[0].metadata_ip == "10.0.0.2"
    with cloud.cloud.database.write() as session:
        public.delete_port(session, cloud.clock(), id, "req-1")
        public.delete_port(session, cloud.clock(), id, "req-1")
    cloud.settle()
    assert cloud.backend.inventory().ports == set()


def test_a_users_port_is_claimed_and_released(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    id = cloud.make("port", network_id=network["id"])["id"]
    bare = cloud.make("port", network_id=network["id"], fixed_ips=[])["id"]
    by = {"device_owner": "compute:nova", "request_id": "req-1"}
    with cloud.cloud.database.write() as session:
        assert public.claim_port(session, 1.0, id, "p1", device_id="vm", **by).network_id == network["id"]
        with pytest.raises(Conflict):
            public.claim_port(session, 1.0, id, "p1", device_id="vm2", **by)
        with pytest.raises(NotFound):
            public.claim_port(session, 1.0, id, "p2", device_id="vm2", **by)
        with pytest.raises(BadRequest):
            public.claim_port(session, 1.0, bare, "p1", device_id="vm2", **by)
    with cloud.cloud.database.write() as session:
        public.release_port(session, cloud.clock(), id, "req-1")
    seen = cloud.call("GET", f"ports/{id}").json["port"]
    assert (seen["device_id"], seen["device_owner"]) == ("", "")


def test_which_networks_a_server_gets(cloud: NetworkCloud) -> None:
    member, external = PERSONAS["member"], cloud.public()[0]["id"]

    def ask(requested: list[str] | None = None) -> list[str]:
        with cloud.cloud.database.read() as session:
            return [n.id for n in public.networks_for(session, member, requested)]

    assert ask() == []
    one = cloud.network()[0]["id"]
    assert (ask(), ask([one])) == ([one], [one])
    bare = cloud.make("network")["id"]
    for requested, fault in (([bare], BadRequest), ([external], Forbidden), (["x"], NotFound)):
        with pytest.raises(fault):
            ask(requested)
    cloud.network("10.1.0.0/24")
    with pytest.raises(Conflict):
        ask()


def test_groups_by_name_or_id(cloud: NetworkCloud) -> None:
    first, twin = (cloud.make("security_group", name=n)["id"] for n in ("a", "b"))
    cloud.make("security_group", name="b")
    with cloud.cloud.database.read() as session:
        assert public.find_security_groups(session, "p1", ["a", first]) == [first]
        assert public.find_security_groups(session, "p1", [twin]) == [twin]
        with pytest.raises(Conflict):
            public.find_security_groups(session, "p1", ["b"])
        with pytest.raises(NotFound):
            public.find_security_groups(session, "p2", [first])


def test_addresses_as_a_column(cloud: NetworkCloud) -> None:
    external, _ = cloud.public()
    network, subnet = cloud.network()
    router = cloud.make("router", external_gateway_info={"network_id": external["id"]})["id"]
    cloud.call("PUT", f"routers/{router}/add_router_interface", json={"subnet_id": subnet["id"]})
    id = port_for(cloud, network["id"])
    cloud.make("floatingip", floating_network_id=external["id"], port_id=id)
    with cloud.cloud.database.read() as session:
        vm = literal("vm"), literal("p1")
        columns = public.addresses_column(*vm), public.security_groups_column(*vm)
        addresses, groups = session.execute(select(*columns)).one()
        ((found,),) = session.execute(select(public.has_address(*vm, "10.0.0.", 4))).all()
    assert [(a["network_name"], a["version"], a["addr"], a["type"]) for a in addresses] == [
        ("net", 4, "10.0.0.3", "fixed"), ("net", 4, "172.24.4.3", "floating")]  # fmt: skip
    assert [g["name"] for g in groups] == ["default"]
    assert found


def test_nothing_is_made_beyond_the_quota(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    cloud.call("PUT", "quotas/p1", "admin", {"quota": {"port": 1}})
    with pytest.raises(OverQuota):
        port_for(cloud, network["id"])


def test_the_reconciler_wakes_what_differs(cloud: NetworkCloud) -> None:
    network, _ = cloud.network()
    port = cloud.make("port", network_id=network["id"])["id"]
    cloud.settle()
    cloud.backend.intents.ports.clear()
    cloud.backend.ensure_network(Turn(1), cloud.backend.intents.networks[network["id"]].__class__(
        id="orphan", name="", mtu=1442, dns_domain=""))  # fmt: skip
    reconcile(cloud.cloud)
    cloud.settle()
    real = cloud.backend.inventory()
    assert (set(real.networks), set(real.ports)) == ({network["id"]}, {port})
    cloud.host.taps[port] = "tap"  # it came up while nobody listened
    cloud.backend.plugged[port] = {"host1"}
    reconcile(cloud.cloud)
    cloud.settle()
    assert cloud.call("GET", f"ports/{port}").json["port"]["status"] == "ACTIVE"
    with cloud.cloud.database.read() as session:
        from tiffin.core.tables import LifecycleRow

        before = session.scalar(select(LifecycleRow.turn).where(LifecycleRow.resource_id == port))
    reconcile(cloud.cloud)
    cloud.settle()
    with cloud.cloud.database.read() as session:
        assert session.scalar(select(LifecycleRow.turn).where(LifecycleRow.resource_id == port)) == before


def test_the_reconciler_has_it_tried_again_what_failed(cloud: NetworkCloud) -> None:
    """As what was on its way when the clock jumped: the backend may have it, and nobody else would ask again."""
    network, _ = cloud.network()
    cloud.settle()
    with cloud.cloud.database.write() as session:
        session.execute(update(NetworkRow).values(status="ERROR"))
    reconcile(cloud.cloud)
    cloud.settle()
    assert cloud.call("GET", f"networks/{network['id']}").json["network"]["status"] == "ACTIVE"
