"""The port of each network that answers metadata requests, as ML2/OVN has it."""

from __future__ import annotations

from sqlalchemy import select

from tiffin.core.errors import Conflict
from tiffin.services.network import ipam, ports
from tiffin.services.network import tables as t
from tiffin.services.network.ipam import Wanted
from tiffin.services.network.work import Work


def make(w: Work, network: t.NetworkRow) -> t.PortRow:
    plan = ports.Plan(
        project_id=network.project_id,
        network=network,
        addresses=[],
        device_id=f"ovnmeta-{network.id}",
        device_owner=ports.DISTRIBUTED,
        counted=False,
    )
    return ports.make(w, plan)


def of(w: Work, network_id: str) -> t.PortRow | None:
    return w.db.scalar(
        select(t.PortRow).where(t.PortRow.network_id == network_id, t.PortRow.device_owner == ports.DISTRIBUTED)
    )


def follow(w: Work, network_id: str) -> None:
    """Have an address in each subnet of the network with DHCP, as long as there are free ones."""
    port = of(w, network_id) or make(w, w.db.get_one(t.NetworkRow, network_id))
    served = {s.id for s in ipam.subnets_of(w.db, network_id) if s.enable_dhcp and s.ip_version == 4}
    held = {a.subnet_id: a for a in ports.addresses(w, port.id)}
    for subnet_id, address in held.items():
        if subnet_id not in served:
            w.db.delete(address)
    for subnet_id in served - set(held):
        try:
            w.db.add_all(ipam.choose(w.db, port, [Wanted(subnet_id)]))
        except Conflict:
            continue  # a subnet that is full serves its guests without metadata
    w.db.flush()


def remove(w: Work, network_id: str) -> None:
    port = of(w, network_id)
    if port is not None:
        ports.remove(w, port)
