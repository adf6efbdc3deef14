"""OVN as the engine of all networks: our objects become rows of its northbound database, exactly and repeatably."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from tiffin.core.driver import Turn, Turns
from tiffin.services.network.drivers import ovn_networks, ovn_ports, ovn_routers, ovn_security_groups
from tiffin.services.network.drivers.base import (
    Chassis,
    FloatingIP,
    Inventory,
    Network,
    Port,
    Router,
    SecurityGroup,
)
from tiffin.services.network.drivers.ovn_database import NORTHBOUND, SOUTHBOUND, Database
from tiffin.services.network.drivers.ovn_rows import Rows, mark

T = TypeVar("T")
_ANSWER = 1.0  # seconds that a living chassis has to answer


class Ovn:
    """A `NetworkBackend` on the northbound and southbound databases behind these two unix sockets.

    Turns are remembered in the rows that they wrote; those of forgotten objects by this process."""

    def __init__(self, northbound: Path, southbound: Path, timeout: float = 10.0) -> None:
        self._north = Database(northbound, "OVN_Northbound", NORTHBOUND, timeout)
        self._south = Database(southbound, "OVN_Southbound", SOUTHBOUND, timeout)
        self._turns = Turns()
        self._answered = threading.Event()
        self._listening = False

    def ensure_network(self, turn: Turn, network: Network) -> None:
        self._change(turn, network.id, lambda rows: ovn_networks.ensure(rows, turn, network))

    def forget_network(self, turn: Turn, network_id: str) -> None:
        self._change(turn, network_id, lambda rows: ovn_networks.forget(rows, turn, network_id))

    def ensure_port(self, turn: Turn, port: Port) -> None:
        self._change(turn, port.id, lambda rows: ovn_ports.ensure(rows, turn, port))

    def forget_port(self, turn: Turn, port_id: str) -> None:
        self._change(turn, port_id, lambda rows: ovn_ports.forget(rows, turn, port_id))

    def ensure_router(self, turn: Turn, router: Router) -> None:
        chassis = self._south.run(_chassis_names) if router.gateway is not None else []
        self._change(turn, router.id, lambda rows: ovn_routers.ensure(rows, turn, router, chassis))

    def forget_router(self, turn: Turn, router_id: str) -> None:
        self._change(turn, router_id, lambda rows: ovn_routers.forget(rows, turn, router_id))

    def ensure_floating_ip(self, turn: Turn, floating_ip: FloatingIP) -> None:
        self._change(turn, floating_ip.id, lambda rows: ovn_routers.ensure_floating_ip(rows, turn, floating_ip))

    def forget_floating_ip(self, turn: Turn, floating_ip_id: str) -> None:
        self._change(turn, floating_ip_id, lambda rows: ovn_routers.forget_floating_ip(rows, turn, floating_ip_id))

    def ensure_security_group(self, turn: Turn, group: SecurityGroup) -> None:
        self._change(turn, group.id, lambda rows: ovn_security_groups.ensure(rows, turn, group))

    def forget_security_group(self, turn: Turn, group_id: str) -> None:
        self._change(turn, group_id, lambda rows: ovn_security_groups.forget(rows, turn, group_id))

    def port_up(self, port_id: str) -> bool:
        """Whether a chassis has claimed the port and its flows are in place; False for a port that is not there."""
        return self._north.run(lambda rows: _is_up(rows.get("Logical_Switch_Port", port_id)))

    def on_port_change(self, heard: Callable[[str, bool], None]) -> None:
        def on_update(event: str, row: Any, old: Any) -> None:
            # A new port is first not known to be up or down, and then down: that is no news.
            if old is not None and hasattr(old, "up") and _is_up(old) != _is_up(row) and _is_guests(row):
                heard(mark(row, "id"), _is_up(row))

        self._north.on_update("Logical_Switch_Port", on_update)

    def chassis(self) -> list[Chassis]:
        """Every chassis that OVN knows. Alive is what answers a question that is asked now, within a second."""
        if not self._listening:
            self._south.on_update("Chassis_Private", lambda event, row, old: self._answered.set())
            self._listening = True
        asked = self._north.run(_ask)
        deadline = time.monotonic() + _ANSWER
        while True:
            self._answered.clear()
            found = self._south.run(lambda rows: _chassis(rows, asked))
            left = deadline - time.monotonic()
            if all(one.alive for one in found) or left <= 0:
                return found
            self._answered.wait(left)

    def inventory(self) -> Inventory:
        return self._north.run(_inventory)

    def close(self) -> None:
        self._north.close()
        self._south.close()

    def _change(self, turn: Turn, id: str, work: Callable[[Rows], None]) -> None:
        """The newest turn is looked up within the transaction: who was overtaken while waiting is refused."""

        def fenced(rows: Rows) -> None:
            self._turns.check(id, turn)
            work(rows)

        self._north.run(fenced)


def _is_up(row: Any | None) -> bool:
    return row is not None and row.up == [True]


def _is_guests(row: Any) -> bool:
    return mark(row, "kind") == ovn_ports.KIND


def _chassis_names(rows: Rows) -> list[str]:
    """Those that carry gateways."""
    return sorted(r.name for r in rows.all("Chassis") if "enable-chassis-as-gw" in r.other_config.get("ovn-cms-options", ""))


def _ask(rows: Rows) -> int:
    """Count the configuration one up: every living chassis copies the number when it is done with all before."""
    for row in rows.all("NB_Global"):
        asked = int(row.nb_cfg) + 1
        rows.put_columns(row, {"nb_cfg": asked})
        return asked
    return 0


def _chassis(rows: Rows, asked: int) -> list[Chassis]:
    answered = {row.name: int(row.nb_cfg) for row in rows.all("Chassis_Private")}
    return sorted(
        (Chassis(row.name, row.hostname, answered.get(row.name, -1) >= asked) for row in rows.all("Chassis")),
        key=lambda one: one.name,
    )


def _inventory(rows: Rows) -> Inventory:
    ports = {mark(row, "id"): _is_up(row) for row in rows.all("Logical_Switch_Port") if _is_guests(row)}

    def ids(table: str, kind: str) -> frozenset[str]:
        return frozenset(mark(row, "id") for row in rows.all(table) if mark(row, "kind") == kind)

    return Inventory(
        networks=ids("Logical_Switch", ovn_networks.KIND),
        ports=frozenset(ports),
        up=frozenset(id for id, up in ports.items() if up),
        routers=ids("Logical_Router", ovn_routers.KIND),
        floating_ips=ids("NAT", ovn_routers.FLOATING_IP),
        security_groups=ids("Port_Group", ovn_security_groups.KIND),
    )
