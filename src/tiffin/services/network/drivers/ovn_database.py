"""A live connection to one of OVN's databases: a replica of the tables that we need, and transactions on it.

ovsdbapp runs the replica on a thread of its own, and every change and every question is executed there, one after the
other. So what a change reads is what it is applied to."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tiffin.core.driver import Refused
from tiffin.services.network.drivers.ovn_rows import Rows

if TYPE_CHECKING:
    from ovsdbapp.backend.ovs_idl.connection import Connection

T = TypeVar("T")
Heard = Callable[[str, Any, Any], None]

NORTHBOUND: Mapping[str, tuple[str, ...]] = {
    "NB_Global": ("nb_cfg",),
    "Logical_Switch": ("name", "ports", "dns_records", "other_config", "external_ids"),
    "Logical_Switch_Port": (
        "name",
        "type",
        "addresses",
        "port_security",
        "enabled",
        "up",
        "tag",
        "options",
        "dhcpv4_options",
        "dhcpv6_options",
        "external_ids",
    ),
    "DHCP_Options": ("cidr", "options", "external_ids"),
    "DNS": ("records", "external_ids"),
    "Port_Group": ("name", "ports", "acls", "external_ids"),
    "ACL": ("direction", "priority", "match", "action", "external_ids"),
    "Logical_Router": ("name", "ports", "static_routes", "nat", "enabled", "options", "external_ids"),
    "Logical_Router_Port": ("name", "mac", "networks", "gateway_chassis", "ipv6_ra_configs", "options", "external_ids"),
    "Gateway_Chassis": ("name", "chassis_name", "priority"),
    "Logical_Router_Static_Route": ("ip_prefix", "nexthop", "output_port", "external_ids"),
    "NAT": ("type", "external_ip", "logical_ip", "external_ids"),
}
SOUTHBOUND: Mapping[str, tuple[str, ...]] = {
    "Chassis": ("name", "hostname", "other_config"),
    "Chassis_Private": ("name", "nb_cfg"),
}


class Database:
    """One database. It connects at the first use, and again by itself when the server comes back."""

    def __init__(self, socket: Path, name: str, tables: Mapping[str, tuple[str, ...]], timeout: float = 10.0) -> None:
        self._socket, self._name, self._tables, self._timeout = socket, name, tables, timeout
        self._lock = threading.Lock()
        self._connection: Connection | None = None
        self._events: Any = None

    def run(self, work: Callable[[Rows], T]) -> T:
        """Do `work` on the rows as one transaction and give what it gives. `work` may run again after a conflict.

        Raises what `work` raises, and `Refused` when the database does not answer in time or says no."""
        from ovsdbapp.backend.ovs_idl.transaction import Transaction
        from ovsdbapp.exceptions import TimeoutException

        connection = self._connect()
        command = _Command(work)
        transaction = Transaction(connection, connection, check_error=True, log_errors=False)
        transaction.add(command)
        try:
            transaction.commit()
        except TimeoutException as late:  # ovsdbapp raises some without the words that their str() needs
            raise Refused(f"{self._name}: no answer within {self._timeout} seconds") from late
        except RuntimeError as failure:
            raise Refused(f"{self._name}: {str(failure)[:500]}") from failure
        return command.result[0]

    def on_update(self, table: str, heard: Heard) -> None:
        """Call `heard(event, row, old)` on a thread of its own whenever a row of this table is created or updated."""
        self._connect()
        self._events.watch_event(_update_event(table, heard))

    def close(self) -> None:
        with self._lock:
            if self._connection is not None:
                self._connection.stop(self._timeout)
                self._events.shutdown()
                self._connection = None

    def _connect(self) -> Connection:
        with self._lock:
            if self._connection is None:
                try:
                    self._connection = self._open()
                except Exception as failure:  # python-ovs raises what it met, down to bare Exception
                    if self._events is not None:
                        self._events.shutdown()
                    raise Refused(f"{self._name} at {self._socket}: {failure}") from failure
            return self._connection

    def _open(self) -> Connection:
        from ovsdbapp.backend.ovs_idl import idlutils
        from ovsdbapp.backend.ovs_idl.connection import Connection, OvsdbIdl
        from ovsdbapp.backend.ovs_idl.event import RowEventHandler

        remote = f"unix:{self._socket}"
        schema = idlutils.get_schema_helper(remote, self._name)
        for table, columns in self._tables.items():
            schema.register_columns(table, list(columns))
        idl = OvsdbIdl(remote, schema)
        self._events = RowEventHandler()
        idl.notify = self._events.notify
        connection = Connection(idl, self._timeout)
        connection.start()
        return connection


class _Command(Generic[T]):
    """What ovsdbapp's transaction wants: it calls `run_idl` on the thread of the replica."""

    def __init__(self, work: Callable[[Rows], T]) -> None:
        self._work = work
        self.result: list[T] = []

    def run_idl(self, transaction: Any) -> None:
        self.result = [self._work(Rows(transaction))]

    def post_commit(self, transaction: Any) -> None:
        """Nothing is to be read back: the keys of new rows are known before."""


def _update_event(table: str, heard: Heard) -> Any:
    from ovsdbapp.backend.ovs_idl.event import RowEvent

    class Update(RowEvent):  # type: ignore[misc]
        """Hands every creation and update of a row of one table to one listener."""

        @property
        def key(self) -> Any:
            return table, heard  # two listeners of one table are two events

        def run(self, event: str, row: Any, old: Any) -> None:
            heard(event, row, old)

    return Update((RowEvent.ROW_CREATE, RowEvent.ROW_UPDATE), table, None)
