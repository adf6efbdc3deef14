"""A cloud with the network service on the simulated backend, and short words for its API."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import Reply
from tiffin.services.network import public
from tiffin.services.network.drivers.base import NetworkBackend
from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork

TICK = 0.001
"""Seconds that each request takes: what two of them made due is due in their order, as on a real clock. Of what is due at the
same instant an engine runs any first."""


class NetworkCloud(TestCloud):
    """Paths are under /network/v2.0/; `make` gives what was made."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__([ServiceRef("network", "/network", "tiffin.services.network.service")])
        self.backend = SimulatedNetwork()
        self.host = SimulatedHostNetwork(self.backend, "host1")
        self.cloud.add(NetworkBackend, self.backend)
        public.watch(self.cloud)

    def call(self, method: str, path: str, token: str = "member", json: Any = None, **headers: str) -> Reply:
        self.clock.now += TICK
        return self.ask(method, f"/network/v2.0/{path}", token, json, **headers)

    def make(self, kind: str, token: str = "member", **values: Any) -> Any:
        path = {"security_group": "security-groups", "security_group_rule": "security-group-rules"}.get(
            kind, f"{kind}s"
        )
        reply = self.call("POST", path.replace("_", "-"), token, json={kind: values})
        assert reply.status == 201, reply.body
        return reply.json[kind]

    def fault(self, method: str, path: str, token: str = "member", json: Any = None) -> tuple[int, str]:
        """The status and the type of an error."""
        reply = self.call(method, path, token, json)
        assert reply.status >= 400, reply.body
        return reply.status, reply.json["NeutronError"]["type"]

    def network(self, cidr: str = "10.0.0.0/24", token: str = "member", **values: Any) -> tuple[Any, Any]:
        """A network with one subnet."""
        network = self.make("network", token, name="net")
        version = 6 if ":" in cidr else 4
        return network, self.make("subnet", token, network_id=network["id"], cidr=cidr, ip_version=version, **values)

    def public(self) -> tuple[Any, Any]:
        """The external network."""
        provider = {"provider:network_type": "flat", "provider:physical_network": "public"}
        network = self.make("network", "admin", **{"name": "public", "router:external": True, **provider})
        subnet = self.make("subnet", "admin", network_id=network["id"], cidr="172.24.4.0/24", ip_version=4,
                           enable_dhcp=False)  # fmt: skip
        return network, subnet


@pytest.fixture
def cloud() -> Iterator[NetworkCloud]:
    made = NetworkCloud()
    yield made
    made.close()
