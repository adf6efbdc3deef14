"""The story that must work, told with openstacksdk."""

from __future__ import annotations

import base64
from typing import Any

import openstack.exceptions
import pytest
from openstack.connection import Connection

from story import CIDR, FLAVOR, IMAGE, PUBLIC, USER_DATA


def whole_story(cloud: Connection) -> None:
    """From logging in to having deleted everything."""
    assert cloud.authorize()
    network = _make_network(cloud)
    group = _make_group(cloud)
    key = cloud.compute.create_keypair(name="sdk-key")
    assert key.private_key.startswith("-----BEGIN")
    server = _boot(cloud, "sdk-1", cloud.image.find_image(IMAGE, ignore_missing=False).id, network, group)
    address = _give_floating_address(cloud, server)
    assert "sdk-1 login:" in cloud.compute.get_server_console_output(server)["output"]
    _change_power(cloud, server)
    image = cloud.compute.create_server_image(server, "sdk-snapshot", wait=True, timeout=30)
    copy = _boot(cloud, "sdk-2", image.id, network, group, config_drive=True)
    assert cloud.compute.update_server(server, name="sdk-renamed").name == "sdk-renamed"
    _delete_everything(cloud, [server, copy], address, image, network, group)


def _make_network(cloud: Connection) -> Any:
    network = cloud.network.create_network(name="sdk-net")
    subnet = cloud.network.create_subnet(network_id=network.id, ip_version=4, cidr=CIDR, name="sdk-subnet")
    outside = cloud.network.find_network(PUBLIC, ignore_missing=False)
    router = cloud.network.create_router(name="sdk-router", external_gateway_info={"network_id": outside.id})
    cloud.network.add_interface_to_router(router, subnet.id)
    return network


def _make_group(cloud: Connection) -> Any:
    group = cloud.network.create_security_group(name="sdk-group")
    for rule in ({"protocol": "icmp"}, {"protocol": "tcp", "port_range_min": 22, "port_range_max": 22}):
        cloud.network.create_security_group_rule(security_group_id=group.id, direction="ingress", **rule)
    return group


def _boot(cloud: Connection, name: str, image: str, network: Any, group: Any, **more: Any) -> Any:
    flavor = cloud.compute.find_flavor(FLAVOR, ignore_missing=False)
    server = cloud.compute.create_server(
        name=name,
        image_id=image,
        flavor_id=flavor.id,
        networks=[{"uuid": network.id}],
        key_name="sdk-key",
        security_groups=[{"name": group.name}],
        metadata={"role": name},
        user_data=base64.b64encode(USER_DATA.encode()).decode(),
        **more,
    )
    server = _await(cloud, server, "ACTIVE")
    assert server.metadata == {"role": name}
    assert len(server.addresses[network.name]) == 1
    return server


def _await(cloud: Connection, server: Any, status: str) -> Any:
    now = cloud.compute.get_server(server.id)  # what was told of it earlier may be that status already
    return cloud.compute.wait_for_server(now, status, interval=0.05, wait=30)


def _give_floating_address(cloud: Connection, server: Any) -> Any:
    (port,) = cloud.network.ports(device_id=server.id)
    outside = cloud.network.find_network(PUBLIC, ignore_missing=False)
    address = cloud.network.create_ip(floating_network_id=outside.id, port_id=port.id)
    assert address.fixed_ip_address == port.fixed_ips[0]["ip_address"]
    return address


def _change_power(cloud: Connection, server: Any) -> None:
    compute = cloud.compute
    compute.stop_server(server)
    _await(cloud, server, "SHUTOFF")
    with pytest.raises(openstack.exceptions.ConflictException):
        compute.pause_server(server)
    compute.start_server(server)
    _await(cloud, server, "ACTIVE")
    for kind in ("SOFT", "HARD"):
        compute.reboot_server(server, kind)
        _await(cloud, server, "ACTIVE")
    compute.pause_server(server)
    _await(cloud, server, "PAUSED")
    compute.unpause_server(server)
    _await(cloud, server, "ACTIVE")


def _delete_everything(
    cloud: Connection, servers: list[Any], address: Any, image: Any, network: Any, group: Any
) -> None:
    for server in servers:
        cloud.compute.delete_server(server)
    for server in servers:
        cloud.compute.wait_for_delete(server, interval=0.05, wait=30)
    cloud.network.delete_ip(address)
    router = cloud.network.find_router("sdk-router", ignore_missing=False)
    subnet = cloud.network.find_subnet("sdk-subnet", ignore_missing=False)
    cloud.network.remove_interface_from_router(router, subnet.id)
    cloud.network.delete_router(router)
    cloud.network.delete_network(network)
    cloud.network.delete_security_group(group)
    cloud.image.delete_image(image)
    cloud.compute.delete_keypair("sdk-key")
