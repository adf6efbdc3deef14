"""Show what runs: endpoints, processes, hosts, guests, memory, versions. Exit code 3 when the cloud does not run."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tiffin.cli import api, processes, server
from tiffin.cli.cloud import Cloud, open_cloud

SERVICES = ("identity", "image", "placement", "compute", "network")
NOT_RUNNING = 3  # as the Linux Standard Base says for `status` actions


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    report = look(cloud)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
    else:
        print("\n".join(describe(report)))
    return 0 if report["status"] != "down" else NOT_RUNNING


def look(cloud: Cloud) -> dict[str, Any]:
    """What `status --json` prints. Memory is in bytes, shared pages in proportion."""
    report: dict[str, Any] = {
        "status": "down",
        "home": str(cloud.folder.root),
        "simulated": cloud.settings.simulated,
        "url": cloud.settings.url,
        **({} if cloud.settings.simulated else {"namespace": f"{cloud.settings.tag}-ext"}),
    }
    if server.running(cloud) is None:
        return {**report, "guests": _orphans(cloud), "processes": []}
    try:
        _, body = api.health(cloud, detail=True)
    except api.Unreachable:
        body = {"status": "starting"}
    own = [{**process, "memory": processes.memory(process["pid"])} for process in body.get("processes", [])]
    guests = [
        {**guest, "memory": processes.memory(guest["pid"])} if guest.get("pid") else guest
        for guest in body.get("guests", [])
    ]
    return {
        **report,
        **body,
        "endpoints": body.get("endpoints") or {name: f"{cloud.settings.url}/{name}" for name in SERVICES},
        "processes": own,
        "guests": guests,
        "memory": sum(process["memory"] for process in own),
    }


def describe(report: Mapping[str, Any]) -> list[str]:
    """The report in lines for people."""
    kind = "simulated cloud" if report["simulated"] else "cloud"
    if report["status"] == "down":
        left = len(report["guests"])
        return [
            f"The {kind} in {report['home']} is down; ./tiffin up starts it.",
            *([f"{left} of its guests run on; `up` adopts them, `down` ends them."] if left else []),
        ]
    works = {"ok": "works"}.get(report["status"], f"is {report['status']}: {report.get('step', '')}".rstrip(": "))
    lines = [f"The {kind} in {report['home']} {works}.", "", "Endpoints"]
    lines += _table([(name, url) for name, url in report["endpoints"].items()])
    lines += ["", f"Processes ({_mb(report['memory'])} in all)"]
    lines += _table([(str(p["pid"]), p["role"], _mb(p["memory"])) for p in report["processes"]])
    lines += ["", "Hosts", *_table([_cells(host, "hostname") for host in report.get("hosts", [])])]
    if namespace := report.get("namespace"):
        lines += ["", f"From the external network: ip netns exec {namespace} COMMAND"]
    guests = [{**guest, "memory": _mb(guest["memory"])} if "memory" in guest else guest for guest in report["guests"]]
    lines += ["", f"Guests ({len(guests)})", *_table([_cells(guest, "id") for guest in guests])]
    lines += ["", "Versions", *_table([(name, str(value)) for name, value in report.get("versions", {}).items()])]
    return lines


def _orphans(cloud: Cloud) -> list[dict[str, Any]]:
    from tiffin.cli import guests

    found = {} if cloud.settings.simulated else guests.running(cloud.folder.host)
    return [{"id": guest, "pid": pid, "memory": processes.memory(pid)} for guest, pid in found.items()]


def _cells(thing: Mapping[str, Any], first: str) -> tuple[str, ...]:
    rest = (f"{name}={value}" for name, value in thing.items() if name != first and value not in ("", None, [], ()))
    return (str(thing.get(first, "")), *rest)


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return ["  none"]
    columns = max(map(len, rows))
    widths = [max((len(row[at]) for row in rows if at < len(row)), default=0) for at in range(columns)]
    padded = [[cell.ljust(width) for cell, width in zip(row, widths, strict=False)] for row in rows]
    return [("  " + "  ".join(row)).rstrip() for row in padded]


def _mb(size: int) -> str:
    return f"{size / 1e6:.0f} MB"
