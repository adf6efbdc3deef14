"""The story that must work, told with the unmodified command line client. The same steps run on the simulator
(tests/journeys) and on QEMU and OVN (tests/real), which looks into the guests between the steps."""

from __future__ import annotations

import base64
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from openstack_session import OpenStack

SERVICES = {"identity", "image", "compute", "network", "placement"}
IMAGE, FLAVOR, PUBLIC = "tiffin-tiny", "m1.tiny", "public"
KEY, NETWORK, SUBNET, ROUTER = "story-key", "story-net", "story-subnet", "story-router"
OPEN, CLOSED = "story-open", "story-closed"  # security groups
FIRST, SECOND, THIRD, SNAPSHOT = "story-1", "story-2", "story-3", "story-snapshot"
RENAMED = "story-renamed"
CIDR = "10.66.0.0/24"
USER_DATA = "#!/bin/sh\necho 'user data ran' > /root/user-data-ran\n"


@dataclass(frozen=True)
class Server:
    id: str
    name: str
    address: str


def look_around(openstack: OpenStack) -> None:
    """Log in and see what a fresh cloud offers to a newcomer."""
    assert openstack.json("token issue")["id"]
    assert {entry["Type"] for entry in openstack.json("catalog list")} >= SERVICES
    assert {"Name": IMAGE, "Status": "active"}.items() <= _named(openstack.json("image list"), IMAGE).items()
    assert _named(openstack.json("flavor list"), FLAVOR)["VCPUs"] == 1


def make_key(openstack: OpenStack, folder: Path) -> Path:
    """A key pair; gives the file of its private part."""
    private = folder / "story-key"
    openstack(f"keypair create --private-key {private} {KEY}")
    private.chmod(0o600)
    assert openstack.json(f"keypair show {KEY}")["name"] == KEY
    return private


def make_network(openstack: OpenStack) -> None:
    """A network with a subnet behind a router that leads outside."""
    openstack(f"network create {NETWORK}")
    openstack(f"subnet create --network {NETWORK} --subnet-range {CIDR} {SUBNET}")
    openstack(f"router create {ROUTER}")
    openstack(f"router add subnet {ROUTER} {SUBNET}")
    openstack(f"router set --external-gateway {PUBLIC} {ROUTER}")
    assert openstack.json(f"router show {ROUTER}")["external_gateway_info"]["external_fixed_ips"]


def make_security_groups(openstack: OpenStack) -> None:
    """One group that lets ping and ssh in, and one that lets nothing in."""
    openstack(f"security group create {OPEN}")
    openstack(f"security group rule create --protocol icmp {OPEN}")
    openstack(f"security group rule create --protocol tcp --dst-port 22 {OPEN}")
    openstack(f"security group create {CLOSED}")


def boot(openstack: OpenStack, name: str, options: str) -> Server:
    """Create a server on the story's network and wait until it is ACTIVE."""
    shown = openstack.json(
        f"server create --flavor {FLAVOR} --network {NETWORK} --key-name {KEY} {options} --wait {name}"
    )
    assert shown["status"] == "ACTIVE", shown
    return Server(shown["id"], name, shown["addresses"][NETWORK][0])


def boot_first(openstack: OpenStack, folder: Path) -> Server:
    """The first server: with user data, a property and the open group."""
    script = folder / "user-data"
    script.write_text(USER_DATA)
    options = f"--image {IMAGE} --security-group {OPEN} --user-data {script} --property role=first"
    server = boot(openstack, FIRST, options)
    assert _named(openstack.json("server list"), FIRST)["Status"] == "ACTIVE"
    shown = openstack.json(f"server show {FIRST}")
    assert shown["properties"] == {"role": "first"}
    assert shown["key_name"] == KEY
    assert base64.b64encode(USER_DATA.encode()).decode() not in shown.values()  # for the admin only
    return server


def boot_second(openstack: OpenStack) -> Server:
    return boot(openstack, SECOND, f"--image {IMAGE} --security-group {CLOSED}")


def open_second_for_first(openstack: OpenStack) -> None:
    """Let members of the open group ping the closed one."""
    openstack(f"security group rule create --protocol icmp --remote-group {OPEN} {CLOSED}")


def give_floating_address(openstack: OpenStack, server: str) -> str:
    address: str = openstack.json(f"floating ip create {PUBLIC}")["floating_ip_address"]
    openstack(f"server add floating ip {server} {address}")
    assert address in openstack.json(f"server show {server}")["addresses"][NETWORK]
    return address


def stop_and_start(openstack: OpenStack, server: str) -> None:
    openstack(f"server stop {server}")
    await_status(openstack, server, "SHUTOFF")
    assert "409" in openstack.refused(f"server stop {server}")
    openstack(f"server start {server}")
    await_status(openstack, server, "ACTIVE")


def pause_and_unpause(openstack: OpenStack, server: str) -> None:
    openstack(f"server pause {server}")
    await_status(openstack, server, "PAUSED")
    openstack(f"server unpause {server}")
    await_status(openstack, server, "ACTIVE")


def reboot(openstack: OpenStack, server: str, kind: str) -> None:
    """`kind` is `soft` or `hard`."""
    openstack(f"server reboot --{kind} --wait {server}")
    await_status(openstack, server, "ACTIVE")


def snapshot(openstack: OpenStack, server: str) -> None:
    openstack(f"server image create --name {SNAPSHOT} --wait {server}")
    shown = openstack.json(f"image show {SNAPSHOT}")
    assert (shown["status"], shown["visibility"]) == ("active", "private")
    assert shown["size"] > 0


def boot_third(openstack: OpenStack) -> Server:
    """A server from the snapshot, with a config drive."""
    return boot(
        openstack, THIRD, f"--image {SNAPSHOT} --security-group {OPEN} --config-drive true --property role=third"
    )


def rename(openstack: OpenStack, server: str) -> None:
    openstack(f"server set --name {RENAMED} {server}")
    assert openstack.json(f"server show {RENAMED}")["name"] == RENAMED


def delete_everything(openstack: OpenStack, floating_address: str) -> None:
    """Take all down in the order that the interface asks for; what is in use refuses."""
    assert "409" in openstack.refused(f"network delete {NETWORK}")
    openstack(f"server delete --wait {RENAMED} {SECOND} {THIRD}")
    openstack(f"floating ip delete {floating_address}")
    openstack(f"router remove subnet {ROUTER} {SUBNET}")
    openstack(f"router unset --external-gateway {ROUTER}")
    openstack(f"router delete {ROUTER}")
    openstack(f"network delete {NETWORK}")  # its subnet goes with it
    openstack(f"security group delete {CLOSED} {OPEN}")
    openstack(f"image delete {SNAPSHOT}")
    openstack(f"keypair delete {KEY}")
    assert openstack.json("server list") == []


def await_status(openstack: OpenStack, server: str, status: str, patience: float = 90) -> None:
    """Look until the server is in `status` and at rest; a real guest may take half a minute to shut down."""
    seen = set()
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        shown = openstack.json(f"server show -c status -c OS-EXT-STS:task_state {server}")
        if shown["status"] == status and shown["OS-EXT-STS:task_state"] is None:
            return
        seen.add((shown["status"], shown["OS-EXT-STS:task_state"]))
    raise AssertionError(f"{server} should have become {status}, but was {seen}")


def _named(listed: list[dict[str, Any]], name: str) -> dict[str, Any]:
    (one,) = [item for item in listed if item["Name"] == name]
    return one
