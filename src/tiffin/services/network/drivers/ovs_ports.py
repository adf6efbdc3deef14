"""Ports of the chassis' bridges, by one transaction each."""

from __future__ import annotations

from typing import Any

from tiffin.services.network.drivers.ovn_chassis import DATABASE
from tiffin.services.network.drivers.ovn_names import Names
from tiffin.services.network.drivers.ovsdb_rpc import OvsdbFailed, from_mapping, mapping, transact, wait_for

_PATIENCE = 5_000  # milliseconds


def add_port(names: Names, bridge: str, interface: str, external_ids: dict[str, str]) -> None:
    """Have this interface of the chassis' namespace on the bridge, with exactly these external ids, and working.

    Raises `OvsdbFailed` when the switch cannot use it."""
    found = transact(names.switch_db, DATABASE, _select(interface))[0]["rows"]
    if not found:
        transact(names.switch_db, DATABASE, *_insert(bridge, interface, external_ids))
    elif from_mapping(found[0]["external_ids"]) != external_ids:
        transact(names.switch_db, DATABASE, _update(interface, external_ids))
    if not found or not isinstance(found[0]["ofport"], int) or found[0]["ofport"] < 0:
        _wait_until_used(names, interface)


def remove_port(names: Names, bridge: str, interface: str) -> None:
    """Take this interface off the bridge; fine when it is not there."""
    port = transact(
        names.switch_db,
        DATABASE,
        {"op": "select", "table": "Port", "where": [["name", "==", interface]], "columns": ["_uuid"]},
    )[0]["rows"]
    if port:
        transact(
            names.switch_db,
            DATABASE,
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", bridge]],
                "mutations": [["ports", "delete", port[0]["_uuid"]]],
            },
            _bump(),
        )


def external_ids_of(names: Names) -> dict[str, dict[str, str]]:
    """The external ids of every interface of the switch, by the interface's name."""
    rows = transact(
        names.switch_db,
        DATABASE,
        {"op": "select", "table": "Interface", "where": [], "columns": ["name", "external_ids"]},
    )[0]["rows"]
    return {row["name"]: from_mapping(row["external_ids"]) for row in rows}


def _select(interface: str) -> dict[str, Any]:
    return {
        "op": "select",
        "table": "Interface",
        "where": [["name", "==", interface]],
        "columns": ["external_ids", "ofport"],
    }


def _insert(bridge: str, interface: str, external_ids: dict[str, str]) -> list[dict[str, Any]]:
    return [
        {
            "op": "insert",
            "table": "Interface",
            "uuid-name": "i",
            "row": {"name": interface, "external_ids": mapping(external_ids)},
        },
        {
            "op": "insert",
            "table": "Port",
            "uuid-name": "p",
            "row": {"name": interface, "interfaces": ["named-uuid", "i"]},
        },
        {
            "op": "mutate",
            "table": "Bridge",
            "where": [["name", "==", bridge]],
            "mutations": [["ports", "insert", ["named-uuid", "p"]]],
        },
        _bump(),
    ]


def _update(interface: str, external_ids: dict[str, str]) -> dict[str, Any]:
    return {
        "op": "update",
        "table": "Interface",
        "where": [["name", "==", interface]],
        "row": {"external_ids": mapping(external_ids)},
    }


def _bump() -> dict[str, Any]:
    return {"op": "mutate", "table": DATABASE, "where": [], "mutations": [["next_cfg", "+=", 1]]}


def _wait_until_used(names: Names, interface: str) -> None:
    where = [["name", "==", interface]]
    transact(
        names.switch_db,
        DATABASE,
        wait_for("Interface", where, "ofport", [{"ofport": ["set", []]}], _PATIENCE),
        timeout=_PATIENCE / 1000 + 1,
    )
    row = transact(
        names.switch_db,
        DATABASE,
        {"op": "select", "table": "Interface", "where": where, "columns": ["ofport", "error"]},
    )[0]["rows"][0]
    if row["ofport"] == -1:
        raise OvsdbFailed(f"the switch cannot use the interface {interface}: {row['error']}")
