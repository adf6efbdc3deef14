"""A storm of everything that is asked of servers day by day, whose clients keep books of what they were promised."""

from __future__ import annotations

import subprocess
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from drivers import boot_sector
from running_cloud import RunningCloud
from storm import Storm, Tenant
from tiffin.core.settings import load

PAUSE = 0.15
"""Seconds between two requests of a storm: a guest's start is work for a machine without KVM."""


@dataclass
class Books:
    """What was promised of one server, in the order in which it was asked."""

    port: str = ""
    asked: list[str] = field(default_factory=lambda: ["create"])
    attached: list[str] = field(default_factory=list)
    detached: list[str] = field(default_factory=list)
    images: list[str] = field(default_factory=list)


class BusyTenant(Tenant):
    """With a router to the outside, and an image of a guest that costs next to nothing."""

    def __init__(self, cloud: RunningCloud, disk: bytes = boot_sector.disk()) -> None:
        with cloud.connect() as connection:
            image = connection.image.create_image(
                name=f"storm-{uuid.uuid4().hex[:8]}", disk_format="raw", container_format="bare", data=disk
            )
            self.public = str(next(net.id for net in connection.network.networks() if net.is_router_external))
        super().__init__(cloud, "m1.nano", image.name)
        self.cloud = cloud
        (self.subnet,) = self.get(f"/network/v2.0/networks/{self.network}")["network"]["subnets"]
        self.router = self.make_router()
        interface = f"/network/v2.0/routers/{self.router}/add_router_interface"
        assert self.ask("PUT", interface, {"subnet_id": self.subnet}, uuid.uuid4().hex)[0] == 200

    def make_router(self) -> str:
        router = {"external_gateway_info": {"network_id": self.public}}
        return str(self.make("/network/v2.0/routers", {"router": router})["router"]["id"])

    def get(self, path: str) -> Any:
        status, answer = self.ask("GET", path)
        assert status == 200, answer
        return answer

    def act(self, id: str, action: str, body: Any = None) -> Any:
        """What it answers; None while the server is about something else."""
        return self.accepted(*self.ask("POST", f"/compute/v2.1/servers/{id}/action", {action: body}, uuid.uuid4().hex))

    @staticmethod
    def accepted(status: int, answer: Any) -> Any:
        assert status in (200, 202, 409), answer
        return None if status == 409 else (answer or {})

    def delete(self, path: str) -> None:
        status, answer = self.ask("DELETE", path, key=uuid.uuid4().hex)
        assert status in (204, 404), answer

    def floating_ips(self) -> list[dict[str, Any]]:
        return list(self.get("/network/v2.0/floatingips")["floatingips"])

    def reaches_outside(self) -> None:
        """A router that is made now answers a ping from outside: the databases, northd, the controller and the switch work."""
        router = self.make_router()
        (ip,) = self.get(f"/network/v2.0/routers/{router}")["router"]["external_gateway_info"]["external_fixed_ips"]
        space, deadline = f"{load(self.cloud.home).tag}-ext", time.monotonic() + 20
        ping = ["ip", "netns", "exec", space, "ping", "-c", "1", "-W", "1", "-q", ip["ip_address"]]
        while subprocess.run(ping, stdout=subprocess.DEVNULL, check=False).returncode:
            assert time.monotonic() < deadline, f"{ip['ip_address']} of a new router does not answer"
        self.delete(f"/network/v2.0/routers/{router}")

    def leave(self, storms: Iterable[MixedStorm]) -> None:
        """Delete everything."""
        for storm in storms:
            for floating in storm.floating:
                self.delete(f"/network/v2.0/floatingips/{floating}")
            for id, books in storm.books.items():
                self.delete_server(id)
                for image in books.images:
                    self.delete(f"/image/v2/images/{image}")
        deadline = time.monotonic() + 60
        while (left := self.ports()) and time.monotonic() < deadline:
            time.sleep(0.2)
        assert left == []
        path = f"/network/v2.0/routers/{self.router}/remove_router_interface"
        assert self.ask("PUT", path, {"subnet_id": self.subnet}, uuid.uuid4().hex)[0] == 200
        self.delete(f"/network/v2.0/routers/{self.router}")
        self.remove_network()
        self.delete(f"/image/v2/images/{self.image}")


class MixedStorm(Storm):
    """Makes and deletes servers, stops, starts and reboots them, gives and takes interfaces and floating addresses, and makes
    images of them."""

    def __init__(self, tenant: BusyTenant, seed: int, most: int = 3) -> None:
        super().__init__(tenant, seed, most)
        self.owner = tenant
        self.books: dict[str, Books] = {}
        self.floating: set[str] = set()
        self._verbs: list[tuple[Callable[[str], None], float]] = [
            (self._remove, 1), (self._turn_off, 2), (self._turn_on, 4), (self._restart, 2), (self._connect, 3),
            (self._disconnect, 2), (self._picture, 1), (self._address, 2),
        ]  # fmt: skip

    def _act(self) -> None:
        time.sleep(PAUSE)
        if not self.alive or (len(self.alive) < self.most and self.chance.random() < 0.4):
            self._make()
            return
        verbs, weights = zip(*self._verbs, strict=True)
        (verb,) = self.chance.choices(verbs, weights)
        verb(self.chance.choice(sorted(self.alive)))

    def _make(self) -> None:
        made = self.owner.make_server(f"{self.name}-{len(self.books)}")
        if made is not None:
            self.alive.add(made)
            self.books[made] = Books()

    def _remove(self, id: str) -> None:
        if len(self.books[id].asked) > 3:  # some of its life it shall have had
            self.owner.delete_server(id)
            self.alive.remove(id)
            self.deleted.add(id)

    def _ask(self, id: str, action: str, name: str, body: Any = None) -> Any:
        answer = self.owner.act(id, action, body)
        if answer is not None:
            self.books[id].asked.append(name)
        return answer

    def _turn_off(self, id: str) -> None:
        self._ask(id, "os-stop", "stop")

    def _turn_on(self, id: str) -> None:
        self._ask(id, "os-start", "start")

    def _restart(self, id: str) -> None:
        self._ask(id, "reboot", "reboot", {"type": self.chance.choice(["SOFT", "HARD"])})

    def _picture(self, id: str) -> None:
        if (answer := self._ask(id, "createImage", "createImage", {"name": "storm"})) is not None:
            self.books[id].images.append(answer["image_id"])

    def _connect(self, id: str) -> None:
        books = self.books[id]
        if len(books.attached) - len(books.detached) > 1:
            return
        path, wish = f"/compute/v2.1/servers/{id}/os-interface", {"interfaceAttachment": {"net_id": self.owner.network}}
        answer = self.owner.accepted(*self.owner.ask("POST", path, wish, uuid.uuid4().hex))
        if answer is not None:
            books.asked.append("attach_interface")
            books.attached.append(answer["interfaceAttachment"]["port_id"])

    def _disconnect(self, id: str) -> None:
        """From a server that is off: the guest of one sector would have to let go of it."""
        books = self.books[id]
        here = [port for port in books.attached if port not in books.detached]
        off = [action for action in books.asked if action in ("create", "start", "reboot", "stop")][-1] == "stop"
        if not here or not off or self.owner.get(f"/compute/v2.1/servers/{id}")["server"]["status"] != "SHUTOFF":
            return  # a stop may have failed
        path = f"/compute/v2.1/servers/{id}/os-interface/{here[0]}"
        status, answer = self.owner.ask("DELETE", path, key=uuid.uuid4().hex)
        assert status in (202, 404, 409), answer  # 404: the attachment has failed
        if status == 202:
            books.asked.append("detach_interface")
            books.detached.append(here[0])

    def _address(self, id: str) -> None:
        if len(self.floating) > 2:
            one = self.chance.choice(sorted(self.floating))
            self.owner.delete(f"/network/v2.0/floatingips/{one}")
            self.floating.remove(one)
            return
        port = self._first_port(id)
        taken = any(one["port_id"] == port for one in self.owner.floating_ips())
        wish = {"floating_network_id": self.owner.public, "port_id": None if taken else port}
        made = self.owner.make("/network/v2.0/floatingips", {"floatingip": wish})
        self.floating.add(made["floatingip"]["id"])

    def _first_port(self, id: str) -> str:
        """The one that it was made with."""
        books = self.books[id]
        if not books.port:
            ports = self.owner.get(f"/network/v2.0/ports?device_id={id}")["ports"]
            (books.port,) = {port["id"] for port in ports} - set(books.attached)
        return books.port
