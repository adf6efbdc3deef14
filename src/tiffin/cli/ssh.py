"""Log in to a guest, or run a command there: by its floating address from the external network, else by its fixed
address from inside its network. Guests' host keys are not checked: addresses are used again, keys are not."""

from __future__ import annotations

import argparse
import os
import re
import sys
from typing import Any, NamedTuple
from urllib.parse import quote

from tiffin.cli.api import Session
from tiffin.cli.cloud import open_cloud
from tiffin.cli.errors import CliError

UUID = re.compile(r"[0-9a-f]{8}-([0-9a-f]{4}-){3}[0-9a-f]{12}")


class Reach(NamedTuple):
    """An address of a guest and the network namespace from which it can be reached."""

    address: str
    namespace: str


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-i", dest="key", metavar="KEY", help="private key file")
    parser.add_argument("-l", dest="user", metavar="USER", help="default: the image's os_admin_user, else root")
    parser.add_argument("server", metavar="SERVER", help="name or id")
    parser.add_argument("command", nargs="*", metavar="COMMAND", help="what to run there, after --")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    if cloud.settings.simulated:
        raise CliError("guests of a simulated cloud exist in memory only; nobody can log in to them.")
    if os.geteuid() != 0:
        raise CliError("only root may enter the cloud's network namespaces; try again by sudo.")
    session = Session(cloud)
    server = find_server(session, options.server)
    reach = find_address(session, server, cloud.settings.tag)
    argv = command_line(reach, options.user or _user_of(session, server), options.key, options.command)
    sys.stdout.flush()
    os.execvp(argv[0], argv)  # noqa: S606  # a list, no shell; ssh takes over the terminal


def command_line(reach: Reach, user: str, key: str | None, command: list[str]) -> list[str]:
    """What is executed: ssh inside the namespace, which leaves the user's known_hosts alone."""
    unchecked = {"StrictHostKeyChecking": "no", "UserKnownHostsFile": "/dev/null", "LogLevel": "ERROR"}
    options = [word for name, value in unchecked.items() for word in ("-o", f"{name}={value}")]
    identity = ["-i", key, "-o", "IdentitiesOnly=yes"] if key else []
    enter = ["ip", "netns", "exec", reach.namespace]
    return [*enter, "ssh", *options, "-o", "ConnectTimeout=10", *identity, "-l", user, "--", reach.address, *command]


def find_server(session: Session, wanted: str) -> dict[str, Any]:
    """The server with this id or exact name, of any project. Raises `CliError` for none and for several."""
    if UUID.fullmatch(wanted):
        found = session.get(f"/compute/v2.1/servers/{wanted}")
        servers = [found["server"]] if found else []
    else:
        pattern = quote(f"^{re.escape(wanted)}$")
        listed = session.get(f"/compute/v2.1/servers/detail?all_tenants=1&name={pattern}")
        servers = [server for server in listed["servers"] if server["name"] == wanted]
    if not servers:
        raise CliError(f"there is no server {wanted}; `./tiffin openstack server list --all-projects` shows them all.")
    if len(servers) > 1:
        raise CliError(f"several servers are called {wanted}; say which: {', '.join(s['id'] for s in servers)}.")
    return dict(servers[0])


def find_address(session: Session, server: dict[str, Any], tag: str) -> Reach:
    """Where to reach a server: a floating address in the namespace `TAG-ext`, where the external network's gateway is,
    or its fixed address in `TAG-md-NETWORK`, where the metadata address of its network is."""
    if server["status"] not in ("ACTIVE", "MIGRATING", "VERIFY_RESIZE"):
        raise CliError(f"server {server['name']} is {server['status']}; only an ACTIVE one can be reached.")
    ports = session.get(f"/network/v2.0/ports?device_id={server['id']}")["ports"]
    floating = session.get("/network/v2.0/floatingips")["floatingips"]
    own = {port["id"] for port in ports}
    for one in floating:
        if one["port_id"] in own:
            return Reach(one["floating_ip_address"], f"{tag}-ext")
    for port in ports:
        for fixed in port["fixed_ips"]:
            if ":" not in fixed["ip_address"]:
                return Reach(fixed["ip_address"], f"{tag}-md-{port['network_id']}")
    raise CliError(f"server {server['name']} has no IPv4 address; add a port to it.")


def _user_of(session: Session, server: dict[str, Any]) -> str:
    image = server.get("image") or {}
    found = session.get(f"/image/v2/images/{image['id']}") if image else None
    return str((found or {}).get("os_admin_user") or "root")
