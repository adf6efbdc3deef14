"""A whole cloud in memory: images, networks, placement, and hosts that only seem to run guests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec
import pytest

from support import Clock, TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.driver import Refused
from tiffin.core.http.local import Reply
from tiffin.main import disk_source, tunnel_source
from tiffin.services.compute import reconcilers
from tiffin.services.compute.drivers.base import HostFacts, Hosts, Hypervisor
from tiffin.services.compute.image_caches import HostCaches
from tiffin.services.image.drivers.base import ImageCaches, ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.public import open_image
from tiffin.services.network.drivers.base import NetworkBackend
from tiffin.services.network.public import watch
from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor, Timing
from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
from tiffin.simulator.world import SimulatedWorld

SERVICES = [ServiceRef(type, f"/{type}", f"tiffin.services.{type}.service") for type in ("image", "network", "compute")]
NEWEST = "compute 2.104"


def no_fate(point: str) -> None:
    """Nothing goes wrong."""


class SimulatedHosts:
    """Hosts by name, which tests add and silence."""

    def __init__(self) -> None:
        self.there: dict[str, tuple[Hypervisor, SimulatedHostNetwork]] = {}

    def names(self) -> list[str]:
        return sorted(self.there)

    own = looked_after = names

    def hypervisor(self, host: str) -> Hypervisor:
        return self._at(host)[0]

    def network(self, host: str) -> SimulatedHostNetwork:
        return self._at(host)[1]

    def _at(self, host: str) -> tuple[Hypervisor, SimulatedHostNetwork]:
        if host not in self.there:
            raise Refused(f"host {host} does not answer")
        return self.there[host]


class ComputeCloud(TestCloud):
    """A cloud with one host, four flavors, a public image, and helpers to make the rest."""

    def __init__(
        self,
        fate: Callable[[str], None] = no_fate,
        timing: Timing = Timing(),  # noqa: B008
        services: Iterable[ServiceRef] = SERVICES,
        **more: Any,
    ) -> None:
        super().__init__(services, clock=Clock(), **more)
        self.store = MemoryStore()
        self.backend = SimulatedNetwork()
        self.hosts = SimulatedHosts()
        self.worlds: dict[str, SimulatedWorld] = {}
        self.cloud.add(ImageStores, ImageStores([self.store]))
        self.cloud.add(NetworkBackend, self.backend)
        self.cloud.add(Hosts, self.hosts)
        self.cloud.add(ImageCaches, HostCaches(self.cloud))
        watch(self.cloud)
        self.add_host("host-1", fate=fate, timing=timing)

    @property
    def world(self) -> SimulatedWorld:
        return self.worlds["host-1"]

    def plugs(self, name: str) -> SimulatedHostNetwork:
        return self.hosts.network(name)

    def close(self) -> None:
        for world in self.worlds.values():
            world.close()
        super().close()

    def add_host(
        self,
        name: str,
        facts: HostFacts = FACTS,
        fate: Callable[[str], None] = no_fate,
        timing: Timing = Timing(),  # noqa: B008
    ) -> None:
        world = self.worlds[name] = SimulatedWorld()
        shown = msgspec.structs.replace(facts, hostname=name)
        source = lambda image_id: open_image(self.cloud, image_id)  # noqa: E731
        disks, tunnels = disk_source(self.cloud, name), tunnel_source(self.cloud, name)
        hypervisor = SimulatedHypervisor(
            source, self.clock, world, shown, timing, fate, disks=disks, tunnels=tunnels
        )
        self.hosts.there[name] = (hypervisor, SimulatedHostNetwork(self.backend, name, fate))
        reconcilers.hosts(self.cloud)

    def do(self, method: str, path: str, json: Any = None, *, token: str = "member", at: str = NEWEST) -> Reply:
        """A request to compute at a version ('' for none)."""
        more = {"OpenStack_API_Version": at} if at else {}
        return self.ask(method, f"/compute/v2.1{path}", token, json, **more)

    def ok(self, method: str, path: str, json: Any = None, *, token: str = "member", at: str = NEWEST) -> Any:
        reply = self.do(method, path, json, token=token, at=at)
        assert reply.status < 300, (reply.status, reply.body)
        return reply.json

    def flavor(self, name: str = "m1.tiny", *, token: str = "admin", **more: Any) -> str:
        body = {"name": name, "ram": 512, "vcpus": 1, "disk": 1, **more}
        return str(self.ok("POST", "/flavors", {"flavor": body}, token=token)["flavor"]["id"])

    def image(self, data: bytes = b"what boots" * 100, *, visibility: str = "public", **more: Any) -> str:
        body = {"name": "tiny", "disk_format": "raw", "container_format": "bare", "visibility": visibility, **more}
        token = "admin" if visibility == "public" else "member"
        made = self.ask("POST", "/image/v2/images", token, body)
        assert made.status == 201, made.body
        id = str(made.json["id"])
        headers = {"X-Auth-Token": token, "Content-Type": "application/octet-stream"}
        put = self.client.request("PUT", f"/image/v2/images/{id}/file", headers=headers, body=data)
        assert put.status == 204, put.body
        return id

    def network(self, name: str = "net", cidr: str = "10.0.0.0/24", token: str = "member") -> str:
        made = self.ask("POST", "/network/v2.0/networks", token, {"network": {"name": name}})
        assert made.status == 201, made.body
        id = str(made.json["network"]["id"])
        subnet = {"network_id": id, "cidr": cidr, "ip_version": 4, "dns_nameservers": ["9.9.9.9"]}
        reply = self.ask("POST", "/network/v2.0/subnets", token, {"subnet": subnet})
        assert reply.status == 201, reply.body
        return id

    def port(self, network_id: str, token: str = "member", **more: Any) -> dict[str, Any]:
        reply = self.ask("POST", "/network/v2.0/ports", token, {"port": {"network_id": network_id, **more}})
        assert reply.status == 201, reply.body
        return dict(reply.json["port"])

    def ports(self, device_id: str) -> list[dict[str, Any]]:
        return list(self.ask("GET", f"/network/v2.0/ports?device_id={device_id}", "admin").json["ports"])

    def furnish(self) -> None:
        """What nearly every test needs."""
        self.flavor_id, self.image_id, self.network_id = self.flavor(), self.image(), self.network()
        self.settle()

    def body(self, name: str = "vm", **more: Any) -> dict[str, Any]:
        nets = [{"uuid": self.network_id}]
        server = {"name": name, "flavorRef": self.flavor_id, "imageRef": self.image_id, "networks": nets, **more}
        return {"server": {k: v for k, v in server.items() if v is not None}}

    def server(self, name: str = "vm", *, token: str = "member", settle: bool = True, **more: Any) -> str:
        reply = self.do("POST", "/servers", self.body(name, **more), token=token)
        assert reply.status == 202, reply.body
        if settle:
            self.settle()
        return str(reply.json["server"]["id"])

    def show(self, id: str, *, token: str = "member", at: str = NEWEST) -> dict[str, Any]:
        return dict(self.ok("GET", f"/servers/{id}", token=token, at=at)["server"])

    def act(self, id: str, action: str, args: Any = None, *, token: str = "member", at: str = NEWEST) -> Reply:
        return self.do("POST", f"/servers/{id}/action", {action: args}, token=token, at=at)

    def states(self, id: str) -> tuple[str, str, str | None, int]:
        """(status, vm_state, task_state, power_state)"""
        found = self.show(id, token="admin")
        word = "OS-EXT-STS:"
        return found["status"], found[word + "vm_state"], found[word + "task_state"], found[word + "power_state"]


@pytest.fixture
def cloud() -> Iterator[ComputeCloud]:
    made = ComputeCloud()
    made.furnish()
    yield made
    made.close()
