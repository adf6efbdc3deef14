"""The books that clients kept against what the cloud has: every promise is one action of its server, once, which has ended well,
or badly and with a reason; and what there is follows from the actions that ended well."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mixed_storm import Books, BusyTenant, MixedStorm
from running_cloud import RunningCloud
from storm import rows
from tiffin.services.compute.drivers import qemu_process
from tiffin.services.compute.rules import RUNNING

POWER = {"create": "ACTIVE", "start": "ACTIVE", "reboot": "ACTIVE", "stop": "SHUTOFF"}
"""What a server is after each of these has ended well."""
FATAL = {"create", "reboot"}
"""What leaves a server in ERROR when it fails; of reboots the hard ones."""


@dataclass
class Audit:
    """The books of storms against a cloud whose machines have their state in `homes`. `crashed`: servers whose guests somebody
    has killed; `errors`: what failed, with the reason, at the last look."""

    cloud: RunningCloud
    owner: BusyTenant
    storms: list[MixedStorm]
    homes: list[Path]
    crashed: set[str] = field(default_factory=set)
    errors: list[str] = field(default_factory=list)

    def assert_kept(self, patience: float = 60) -> None:
        """Everything promised is there, once; what failed says why; nothing waits or is left over."""
        deadline = time.monotonic() + patience
        while wrong := self.differences():
            assert time.monotonic() < deadline, "\n".join(wrong)
            time.sleep(0.3)

    def differences(self) -> list[str]:
        query = "SELECT kind, resource_id, step, attempts, frame FROM lifecycle WHERE step != 'rest'"
        wrong = [f"stuck: {row}" for row in rows(self.cloud.home, query)]
        if wrong:
            return wrong
        servers, ports = self.owner.servers(), self.owner.ports()
        alive = {id: books for storm in self.storms for id, books in storm.books.items() if id in storm.alive}
        if servers.keys() != alive.keys():
            return [f"missing {alive.keys() - servers.keys()}, besides {servers.keys() - alive.keys()}"]
        self.errors.clear()
        wanted_ports: set[str] = set()
        for id, books in alive.items():
            done = self._ended(id, books, wrong)
            wrong += self._power(servers[id], done)
            wanted_ports |= self._ports(id, books, done, ports)
            wrong += self._images(books, done)
        if (found := {port["id"] for port in ports}) != wanted_ports:
            wrong.append(f"ports: missing {wanted_ports - found}, besides {found - wanted_ports}")
        return wrong + self._addresses(servers, ports) + self._room() + self._guests(servers)

    def _ended(self, id: str, books: Books, wrong: list[str]) -> list[tuple[str, bool]]:
        """(action, whether it ended well) in order."""
        query = f"SELECT action, result, details FROM server_action WHERE server_id = '{id}' ORDER BY number"
        found = rows(self.cloud.home, query)
        if [action for action, _, _ in found] != books.asked:
            wrong.append(f"{id}: promised {books.asked}, done {found}")
        wrong += [f"{id}: {action} has not ended" for action, result, _ in found if result is None]
        wrong += [f"{id}: {action} gives no reason" for action, result, why in found if result == "Error" and not why]
        self.errors += [f"{id}: {action}: {why}" for action, result, why in found if result == "Error"]
        return [(action, result == "Success") for action, result, _ in found]

    def _power(self, server: dict[str, Any], done: list[tuple[str, bool]]) -> list[str]:
        id, status, task = server["id"], server["status"], server["OS-EXT-STS:task_state"]
        should = [POWER[action] for action, well in done if well and action in POWER][-1:]
        failed = {action for action, well in done if not well}
        allowed = {*should, *(("SHUTOFF",) if id in self.crashed else ()), *(("ERROR",) if failed & FATAL else ())}
        allowed |= {"ACTIVE", "SHUTOFF"} if failed & POWER.keys() else set()  # it may have gone half the way
        if status == "ERROR" and not server.get("fault", {}).get("message"):
            return [f"{id} is in ERROR and says not why"]
        if status == "ACTIVE" and server["OS-EXT-STS:power_state"] != RUNNING:
            return [f"{id} is ACTIVE, but its guest does not run ({server['OS-EXT-STS:power_state']})"]
        return [] if status in allowed and task is None else [f"{id} is {status} ({task}) after {done}"]

    @staticmethod
    def _ports(id: str, books: Books, done: list[tuple[str, bool]], ports: list[dict[str, Any]]) -> set[str]:
        def of(action: str, ids: list[str]) -> set[str]:
            ends = [well for name, well in done if name == action]
            return {port for port, well in zip(ids, ends, strict=False) if well}

        first = {port["id"] for port in ports if port["device_id"] == id} - set(books.attached)
        if len(first) != 1:
            return {f"the one that {id} was made with"}
        return first | of("attach_interface", books.attached) - of("detach_interface", books.detached)

    def _images(self, books: Books, done: list[tuple[str, bool]]) -> list[str]:
        wrong = []
        ends = [well for name, well in done if name == "createImage"]
        for image, well in zip(books.images, ends, strict=False):
            status = self.owner.get(f"/image/v2/images/{image}")["status"]
            if status != ("active" if well else "killed"):
                wrong.append(f"image {image} is {status}, its making ended {'well' if well else 'badly'}")
        return wrong

    def _addresses(self, servers: dict[str, Any], ports: list[dict[str, Any]]) -> list[str]:
        fixed = [one["ip_address"] for port in ports for one in port["fixed_ips"]]
        wrong = [f"addresses {fixed}"] if len(fixed) != len(set(fixed)) or len(fixed) != len(ports) else []
        wrong += [
            f"port {port['id']} of {port['device_id']} is {port['status']}"
            for port in ports
            if servers[port["device_id"]]["status"] == "ACTIVE" and port["status"] != "ACTIVE"
        ]
        floating, promised = self.owner.floating_ips(), {id for storm in self.storms for id in storm.floating}
        if {one["id"] for one in floating} != promised:
            wrong.append(f"floating addresses {[one['id'] for one in floating]}, promised {promised}")
        states = [(one["id"], one["status"], "ACTIVE" if one["port_id"] else "DOWN") for one in floating]
        return wrong + [f"floating address {id} is {status}, not {should}" for id, status, should in states if status != should]

    def _room(self) -> list[str]:
        consumers = {id for (id,) in rows(self.cloud.home, "SELECT id FROM consumer")}
        placed = {id for (id,) in rows(self.cloud.home, "SELECT id FROM server WHERE deleted_at IS NULL AND host IS NOT NULL")}
        return [f"room is held otherwise than by servers on hosts: {consumers ^ placed}"] if consumers != placed else []

    def _guests(self, servers: dict[str, Any]) -> list[str]:
        """One process for each server that runs, and none besides; but one whose reboot failed may run until it is deleted."""
        running = sorted(id for home in self.homes for id, _ in qemu_process.search(home / "host/guests"))
        wanted = {id for id, one in servers.items() if one["status"] == "ACTIVE"}
        late = {id for id, one in servers.items() if one["status"] == "ERROR" and one["hostId"]}
        wrong = set(running) - late != wanted or len(running) != len(set(running))
        return [f"guests {running}, while {wanted} should run"] if wrong else []
