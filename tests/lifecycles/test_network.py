"""Crash tests of everything that network keeps in its backend."""

from __future__ import annotations

from typing import Any

from sqlalchemy import select

from api.network.conftest import NetworkCloud
from lifecycles.harness import Fate, crash_tests
from tiffin.core.driver import Turn
from tiffin.core.tables import Change, LifecycleRow


class PortTrial:
    """A guest's port with its network and security group, plugged on its host."""

    def __init__(self, fate: Fate) -> None:
        self.cloud = NetworkCloud()
        self.cloud.backend.fate = fate

    def begin(self) -> None:
        self.network, self.subnet = self.cloud.network()
        binding = {"binding:host_id": "host1", "device_id": "vm", "device_owner": "compute:nova", "project_id": "p1"}
        self.port = self.cloud.make("port", "admin", network_id=self.network["id"], **binding)
        self.cloud.host.ensure_plugged(Turn(1), self.port["id"], self.port["mac_address"], 1442)

    def delete(self) -> None:
        assert self.cloud.call("DELETE", f"ports/{self.port['id']}").status == 204
        assert self.cloud.call("DELETE", f"networks/{self.network['id']}").status == 204
        (group,) = self.port["security_groups"]
        assert self.cloud.call("DELETE", f"security-groups/{group}", "admin").status == 204

    def _port(self) -> Any:
        return self.cloud.call("GET", f"ports/{self.port['id']}").json["port"]

    def check_promise(self) -> None:
        real = self.cloud.backend.inventory()
        assert (set(real.networks), set(real.ports)) == ({self.network["id"]}, {self.port["id"]})
        assert set(real.security_groups) == set(self.port["security_groups"])
        assert self._port()["status"] == "ACTIVE"

    def check_failed(self) -> None:
        network = self.cloud.call("GET", f"networks/{self.network['id']}").json["network"]
        with self.cloud.cloud.database.read() as session:
            reasons = [c.after for c in session.scalars(select(Change).where(Change.kind == "error"))]
        if reasons:
            assert all("refused at" in r["reason"] or "not there yet" in r["reason"] for r in reasons if r)
        else:
            assert network["status"] == "ACTIVE"
            assert self._port()["status"] == "ACTIVE"

    def check_gone(self) -> None:
        real = self.cloud.backend.inventory()
        assert not (real.networks)
        assert not (real.ports)
        assert not (real.security_groups)
        with self.cloud.cloud.database.read() as session:
            assert session.scalars(select(LifecycleRow)).all() == []


class FloatingTrial:
    """A router with a gateway, an interface and a floating IP, before networks and a port that are there already."""

    def __init__(self, fate: Fate) -> None:
        self.cloud = NetworkCloud()
        self.external, _ = self.cloud.public()
        self.network, self.subnet = self.cloud.network()
        self.port = self.cloud.make("port", network_id=self.network["id"])["id"]
        self.cloud.settle()
        self.cloud.backend.fate = fate

    def begin(self) -> None:
        self.router = self.cloud.make("router", external_gateway_info={"network_id": self.external["id"]})["id"]
        interface = {"subnet_id": self.subnet["id"]}
        assert self.cloud.call("PUT", f"routers/{self.router}/add_router_interface", json=interface).status == 200
        network = self.external["id"]
        self.floating = self.cloud.make("floatingip", floating_network_id=network, port_id=self.port)["id"]

    def delete(self) -> None:
        assert self.cloud.call("DELETE", f"floatingips/{self.floating}").status == 204
        interface = {"subnet_id": self.subnet["id"]}
        assert self.cloud.call("PUT", f"routers/{self.router}/remove_router_interface", json=interface).status == 200
        assert self.cloud.call("DELETE", f"routers/{self.router}").status == 204

    def check_promise(self) -> None:
        real = self.cloud.backend.inventory()
        assert (set(real.routers), set(real.floating_ips)) == ({self.router}, {self.floating})
        assert self.cloud.call("GET", f"floatingips/{self.floating}").json["floatingip"]["status"] == "ACTIVE"
        ports = self.cloud.call("GET", f"ports?device_id={self.router}", "admin").json["ports"]
        assert [p["status"] for p in ports] == ["ACTIVE", "ACTIVE"]

    def check_failed(self) -> None:
        with self.cloud.cloud.database.read() as session:
            failed = session.scalars(select(Change).where(Change.kind == "error")).all()
        if not failed:
            self.check_promise()
        for change in failed:
            assert change.after is not None
            assert "refused at" in change.after["reason"] or "not there yet" in change.after["reason"]

    def check_gone(self) -> None:
        real = self.cloud.backend.inventory()
        assert not (real.routers)
        assert not (real.floating_ips)
        kinds = ("network.router", "network.floatingip")
        with self.cloud.cloud.database.read() as session:
            assert session.scalars(select(LifecycleRow).where(LifecycleRow.kind.in_(kinds))).all() == []


TestPort = crash_tests(PortTrial)
TestFloatingIP = crash_tests(FloatingTrial)
