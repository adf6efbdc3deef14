"""What a guest is told about itself: the OpenStack and the EC2 layout, for the metadata service and the config drive."""

from __future__ import annotations

import base64
import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from tiffin.services.compute.tables import Server
from tiffin.services.network.public import PortInfo

VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06", "2017-02-22", "2018-08-27",
    "2020-10-14",
)  # fmt: skip
"""Dates of the OpenStack layout, oldest first."""
EC2_VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01", "2008-09-01",
    "2009-04-04",
)  # fmt: skip
_SINCE = {
    "user_data": "2012-08-10",
    "password": "2013-04-04",
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}


SEED_BYTES = 512
"""Randomness that a guest is given for its own pool."""


class About(msgspec.Struct):
    """What the documents are made of."""

    server: Server
    ports: Sequence[PortInfo]
    zone: str
    random_seed: bytes  # drawn anew for each look, so that no two guests ever share one
    password: str | None = None  # for the config drive only


def json(value: Any) -> bytes:
    return msgspec.json.encode(value)


def meta_data(about: About, version: str) -> dict[str, Any]:
    """meta_data.json as of a date of the layout."""
    row = about.server
    found: dict[str, Any] = {
        "uuid": row.id,
        "hostname": row.hostname,
        "name": row.name,
        "launch_index": row.launch_index,
        "availability_zone": about.zone,
        "meta": row.meta,
        "project_id": row.project_id,
        "devices": [],
        "random_seed": base64.b64encode(about.random_seed).decode(),
    }
    if row.key and row.key["type"] == "ssh":
        found["public_keys"] = {row.key["name"]: row.key["data"]}
    if row.key:
        found["keys"] = [{"name": row.key["name"], "type": row.key["type"], "data": row.key["data"]}]
    if row.files:
        found["files"] = [{"content_path": f"/content/{n:04}", "path": one["path"]} for n, one in enumerate(row.files)]
    if about.password is not None:
        found["admin_pass"] = about.password
    for name, date in (("random_seed", "2013-04-04"), ("project_id", "2015-10-15"), ("devices", "2016-06-30")):
        if version != "latest" and version < date:
            found.pop(name, None)
    return found


def user_data(about: About) -> bytes | None:
    return base64.b64decode(about.server.user_data) if about.server.user_data else None


def network_data(ports: Sequence[PortInfo]) -> dict[str, Any]:
    """network_data.json: links, the networks on them, and name servers."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for port in ports:
        link = f"tap{port.id[:11]}"
        links.append(
            {"id": link, "vif_id": port.id, "type": "ovs", "mtu": port.mtu, "ethernet_mac_address": port.mac_address}
        )
        subnets = {subnet.id: subnet for subnet in port.subnets}
        for fixed in port.fixed_ips:
            subnet = subnets[fixed["subnet_id"]]
            networks.append(_network(len(networks), link, port, (subnet, fixed["ip_address"])))
            services += [{"type": "dns", "address": dns} for dns in subnet.dns_nameservers]
    unique = list({one["address"]: one for one in services}.values())
    return {"links": links, "networks": networks, "services": unique}


def _network(number: int, link: str, port: PortInfo, place: tuple[Any, str]) -> dict[str, Any]:
    subnet, address = place
    version = subnet.ip_version
    found: dict[str, Any] = {"id": f"network{number}", "link": link, "network_id": port.network_id}
    if version == 4 and subnet.enable_dhcp:
        return {**found, "type": "ipv4_dhcp"}
    if version == 6 and subnet.ipv6_address_mode:
        return {**found, "type": f"ipv6_{subnet.ipv6_address_mode}"}
    cidr = ipaddress.ip_network(subnet.cidr)
    routes = [_route(one["destination"], one["nexthop"]) for one in subnet.host_routes]
    if subnet.gateway_ip:
        routes.insert(0, _route("0.0.0.0/0" if version == 4 else "::/0", subnet.gateway_ip))
    return {
        **found,
        "type": f"ipv{version}",
        "ip_address": address,
        "netmask": str(cidr.netmask),
        "routes": routes,
        "services": [{"type": "dns", "address": dns} for dns in subnet.dns_nameservers],
    }


def _route(destination: str, gateway: str) -> dict[str, str]:
    cidr = ipaddress.ip_network(destination)
    return {"network": str(cidr.network_address), "netmask": str(cidr.netmask), "gateway": gateway}


# --- the OpenStack layout -----------------------------------------------------------------------------------------------


def documents(about: About, version: str) -> dict[str, bytes]:
    """The files of /openstack/VERSION."""
    found: dict[str, bytes] = {"meta_data.json": json(meta_data(about, version))}
    data = user_data(about)
    if data is not None:
        found["user_data"] = data
    found["vendor_data.json"] = b"{}"
    found["vendor_data2.json"] = b"{}"
    found["network_data.json"] = json(network_data(about.ports))
    dated = version if version != "latest" else VERSIONS[-1]
    return {name: body for name, body in found.items() if _SINCE.get(name, VERSIONS[0]) <= dated}


def config_drive(about: About) -> dict[str, bytes]:
    """Every file of the config drive, by relative path."""
    found: dict[str, bytes] = {}
    for version in (*VERSIONS, "latest"):
        for name, body in documents(about, version).items():
            found[f"openstack/{version}/{name}"] = body
    for n, one in enumerate(about.server.files or []):
        found[f"openstack/content/{n:04}"] = base64.b64decode(one["contents"])
    found["ec2/latest/meta-data.json"] = json(ec2(about))
    found["ec2/2009-04-04/meta-data.json"] = found["ec2/latest/meta-data.json"]
    data = user_data(about)
    if data is not None:
        found["ec2/latest/user-data"] = found["ec2/2009-04-04/user-data"] = data
    return found


# --- the EC2 layout -----------------------------------------------------------------------------------------------------


def ec2(about: About) -> dict[str, Any]:
    """The tree under /latest/meta-data."""
    row = about.server
    fixed = [ip["ip_address"] for port in about.ports for ip in port.fixed_ips if ":" not in ip["ip_address"]]
    floating = [ip["floating_ip_address"] for port in about.ports for ip in port.floating_ips]
    found: dict[str, Any] = {
        "ami-id": f"ami-{row.number:08x}",
        "ami-launch-index": str(row.launch_index),
        "ami-manifest-path": "",
        "block-device-mapping": {"ami": "vda", "root": "/dev/vda"},
        "hostname": row.hostname,
        "instance-action": "none",
        "instance-id": f"i-{row.number:08x}",
        "instance-type": row.flavor["name"],
        "local-hostname": row.hostname,
        "local-ipv4": fixed[0] if fixed else "",
        "placement": {"availability-zone": about.zone},
        "public-hostname": row.hostname,
        "public-ipv4": floating[0] if floating else "",
        "reservation-id": row.reservation_id,
        "security-groups": [],
    }
    if row.key and row.key["type"] == "ssh":
        found["public-keys"] = {"0": {"_name": row.key["name"], "openssh-key": row.key["data"]}}
    return found


def ec2_answer(tree: Any, path: Sequence[str]) -> bytes | None:
    """A leaf's text, a branch's list of names, or None for what is not there."""
    for segment in path:
        if not isinstance(tree, Mapping) or segment not in tree or segment == "_name":
            return None
        tree = tree[segment]
    if isinstance(tree, Mapping):
        return "\n".join(_entry(name, branch) for name, branch in sorted(tree.items()) if name != "_name").encode()
    return ("\n".join(tree) if isinstance(tree, list) else str(tree)).encode()


def _entry(name: str, branch: Any) -> str:
    if isinstance(branch, Mapping) and "_name" in branch:
        return f"{name}={branch['_name']}"
    return f"{name}/" if isinstance(branch, Mapping) else name
