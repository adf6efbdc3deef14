"""What all steps of a server's life are made of."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, select

from tiffin.core.lifecycle import Lifecycle, Outcome, rest
from tiffin.services.compute import rules
from tiffin.services.compute.drivers.base import Hosts, Hypervisor
from tiffin.services.compute.lifecycles import wiring
from tiffin.services.compute.lifecycles.metadata import METADATA, users
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.tables import Server, ServerNic
from tiffin.services.image import public as image
from tiffin.services.network import public as network

KIND = "compute.server"
LOOK = 0.2
"""Seconds between two looks at a guest that takes its time."""


_PORTS = select(ServerNic.port_id).where(ServerNic.server_id == bindparam("server_id"))


class ServerParts(Lifecycle):
    kind = KIND

    def _row(self) -> Server:
        return self.db.scalars(wiring.SERVER, {"server_id": self.id}).one()

    def _wiring(self) -> wiring.Wiring:
        with self.read() as session:
            return wiring.read(session, self.id)

    def _hypervisor(self, found: wiring.Wiring) -> Hypervisor:
        assert found.server.host is not None
        return self.part(Hosts).hypervisor(found.server.host)

    def _ports(self) -> list[str]:
        return list(self.db.scalars(_PORTS, {"server_id": self.id}))

    def _fail_image(self, id: str, reason: str) -> None:
        image.fail_image(self.db, id, reason, now=self.now, request_id=self.request_id)

    def _let_go(self, port_id: str) -> None:
        """Forget a port of the server: ours goes, the user's is free again."""
        nic = self.db.get(ServerNic, port_id)
        if nic is None:
            return
        let_go = network.delete_port if nic.ours else network.release_port
        let_go(self.db, self.now, port_id, self.request_id)
        self.db.delete(nic)
        self.db.flush()

    def _bind(self, row: Server) -> None:
        """Let the ports follow the server to its host, or from the one that it had."""
        for port_id in self._ports():
            network.bind_port(self.db, self.now, port_id, row.host or "", self.request_id)

    def _leave_metadata(self, host: str) -> None:
        """Have a host no longer answer for each of the server's networks on which no server of that host is left."""
        nics = select(ServerNic.network_id).where(ServerNic.server_id == self.id).distinct()
        self.db.flush()
        for network_id in list(self.db.scalars(nics)):
            if not users(self.db, host, network_id):
                self.begin(METADATA, self.cloud.world.new_id(), host=host, network=network_id)

    def _forget_on(self, host: str) -> None:
        """Have nothing of the server on a host."""
        with self.read() as session:
            ports = list(session.scalars(_PORTS, {"server_id": self.id}))
        self.part(Hosts).hypervisor(host).forget_guest(self.turn, self.id)
        for port_id in ports:
            self.part(Hosts).network(host).forget_plugged(self.turn, port_id)

    def _settled(self, row: Server, kind: str, *, error: str | None = None) -> Outcome:
        self.frame.pop("rebuilt", None)
        row.task_state, row.updated_at = None, self.now
        log.finish(self.db, self.now, (self.id, self.request_id), host=row.host, error=error)
        after: dict[str, Any] = {"vm_state": row.vm_state, **({"reason": error} if error else {})}
        self.record(kind, KIND, after=after, project_id=row.project_id)
        return rest()

    def _fault(self, message: str) -> dict[str, Any]:
        return {"code": 500, "message": message[:255], "details": message, "created": self.now}

    def _fail(self, row: Server, message: str) -> None:
        row.vm_state, row.fault = "error", self._fault(message)
        row.power_state = rules.NOSTATE
        self._settled(row, "error", error=message)
