"""Real packets through a real OVN, between namespaces that stand for guests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from guests import Listener, VlanSniffer, opens_from, pings_from, silent_from
from networks import (
    a_floating_ip,
    a_group,
    a_network,
    a_port,
    a_router,
    a_rule,
    an_interface,
    an_open_group,
    eventually,
    new_id,
)
from ovn_guests import ONE, THREE, TWO, Cloud
from tiffin.services.network.drivers.base import Network, Router, Subnet
from tiffin.services.network.drivers.ovn_dhcp import EXTRA_4

pytestmark = pytest.mark.real


def test_dhcp_tells_a_guest_its_address_and_its_network(cloud: Cloud) -> None:
    network = cloud.network(mtu=1400)
    subnet = msgspec.structs.replace(
        network.subnets[0], dns_nameservers=("9.9.9.9",), host_routes=(("10.77.0.0/16", "10.0.1.77"),)
    )
    cloud.ovn.ensure_network(TWO, msgspec.structs.replace(network, subnets=(subnet,)))
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id, hostname="web"))
    lease = guest.lease()
    assert (lease["ip"], lease["mask"], lease["mtu"], lease["dns"]) == ("10.0.1.10", "24", "1400", "9.9.9.9")
    assert lease["hostname"] == "web"
    assert lease["domain"] == "tiffin.test"
    assert lease["staticroutes"].split() == [
        "169.254.169.254/32",
        "10.0.1.2",
        "10.77.0.0/16",
        "10.0.1.77",
        "0.0.0.0/0",
        "10.0.1.1",
    ]


def test_a_guest_without_any_rule_still_gets_its_address(cloud: Cloud) -> None:
    guest = cloud.guest(a_port(cloud.network(), "10.0.1.10", cloud.group().id))
    assert guest.lease()["ip"] == "10.0.1.10"


def test_dhcp_that_is_switched_on_later_reaches_ports_that_were_there_before(cloud: Cloud) -> None:
    network = a_network()
    silent = msgspec.structs.replace(network, subnets=(msgspec.structs.replace(network.subnets[0], enable_dhcp=False),))
    cloud.ovn.ensure_network(ONE, silent)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id))
    cloud.ovn.ensure_network(TWO, network)
    assert guest.lease()["ip"] == "10.0.1.10"


def test_a_port_has_dhcp_options_of_its_own(cloud: Cloud) -> None:
    network = cloud.network()
    guest = cloud.guest(
        a_port(
            network,
            "10.0.1.10",
            cloud.open.id,
            extra_dhcp_opts=(("mtu", "1300", 4), ("bootfile-name", "boot.ipxe", 4), ("no-such-option", "x", 4)),
        )
    )
    lease = guest.lease()
    assert (lease["mtu"], lease["bootfile"]) == ("1300", "boot.ipxe")


def test_ovn_understands_every_rule_and_option_that_we_translate(cloud: Cloud) -> None:
    rules = [
        a_rule(direction, family, protocol=protocol, **ports, **remote)
        for direction in ("ingress", "egress")
        for family, net in (("IPv4", "10.3.0.0/16"), ("IPv6", "fd03::/32"))
        for remote in ({}, {"remote_ip_prefix": net}, {"remote_address_group": (net, net.replace("3", "4"))})
        for protocol, ports in (
            *((name, {}) for name in (None, "tcp", "udp", "sctp", "icmp", "icmpv6", "vrrp", "udplite", "47")),
            *((name, {"port_range_min": 5, "port_range_max": 7}) for name in ("tcp", "udp", "sctp", "icmp")),
            ("icmp", {"port_range_min": 8}),
        )
    ]
    told = {"number": "600", "address": "255.255.255.0", "addresses": "10.0.1.9, 10.0.1.8", "text": "a.b-c/d"}
    options = tuple((name, told[form], 4) for name, (_, form) in EXTRA_4.items())
    network = cloud.network()
    cloud.guest(a_port(network, "10.0.1.10", cloud.group(*rules).id, hostname="x", extra_dhcp_opts=options)).lease()
    log = (cloud.names.chassis / "ovn-controller.log").read_text()
    assert not [line for line in log.splitlines() if "error parsing" in line]


def test_guests_of_a_network_reach_each_other(cloud: Cloud, listening: Callable[[str, int], Listener]) -> None:
    network = cloud.network()
    one, other = (cloud.guest(a_port(network, f"10.0.1.{n}", cloud.open.id)).configured(network) for n in (10, 11))
    listening(other.netns, 8000)
    assert one.pings("10.0.1.11")
    assert one.pings("10.0.1.11", "-s", "1414", "-M", "do")
    assert one.opens("10.0.1.11", 8000)


def test_a_router_joins_two_networks(cloud: Cloud, listening: Callable[[str, int], Listener]) -> None:
    left, right = cloud.network(), cloud.network("10.0.2")
    one = cloud.guest(a_port(left, "10.0.1.10", cloud.open.id)).configured(left)
    other = cloud.guest(a_port(right, "10.0.2.10", cloud.open.id)).configured(right)
    listening(other.netns, 8000)
    assert one.is_refused("10.0.2.10")
    router = a_router(an_interface(left), an_interface(right))
    cloud.ovn.ensure_router(ONE, router)
    assert one.pings("10.0.2.10")
    assert one.opens("10.0.2.10", 8000)
    cloud.ovn.ensure_router(TWO, msgspec.structs.replace(router, admin_state_up=False))
    assert eventually(lambda: one.is_refused("10.0.2.10"))


def test_a_guest_reaches_the_outside_behind_the_routers_address(
    cloud: Cloud, listening: Callable[[str, int], Listener]
) -> None:
    network = cloud.network()
    cloud.router("172.24.4.20", network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id)).configured(network)
    outside = listening(cloud.outside, 8001)
    assert guest.pings("172.24.4.1")
    assert guest.opens("172.24.4.1", 8001)
    assert eventually(lambda: outside.remotes == ["172.24.4.20"])


def test_a_floating_ip_leads_to_its_guest_until_it_is_forgotten(
    cloud: Cloud, listening: Callable[[str, int], Listener]
) -> None:
    network = cloud.network()
    router = cloud.router("172.24.4.21", network)
    port = a_port(network, "10.0.1.10", cloud.open.id)
    guest = cloud.guest(port).configured(network)
    floating = a_floating_ip(router, port, "172.24.4.31")
    cloud.ovn.ensure_floating_ip(ONE, floating)
    inside, outside = listening(guest.netns, 8000), listening(cloud.outside, 8002)
    assert pings_from(cloud.outside, "172.24.4.31")
    assert opens_from(cloud.outside, "172.24.4.31", 8000)
    assert eventually(lambda: inside.remotes == ["172.24.4.1"])
    assert guest.opens("172.24.4.1", 8002)
    assert eventually(lambda: outside.remotes == ["172.24.4.31"])
    cloud.ovn.forget_floating_ip(ONE, floating.id)
    assert eventually(lambda: silent_from(cloud.outside, "172.24.4.31"))


def test_nothing_passes_without_a_rule_and_everything_ends_with_it(
    cloud: Cloud, listening: Callable[[str, int], Listener]
) -> None:
    network, group = cloud.network(), cloud.group()
    one = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id)).configured(network)
    other = cloud.guest(a_port(network, "10.0.1.11", group.id)).configured(network)
    listening(other.netns, 8000)
    listening(other.netns, 8001)
    assert not one.opens("10.0.1.11", 8000)
    assert one.is_refused("10.0.1.11")
    allowed = msgspec.structs.replace(
        group,
        rules=(
            a_rule("ingress", protocol="tcp", port_range_min=8000, port_range_max=8000, remote_ip_prefix="10.0.1.0/28"),
            a_rule("ingress", protocol="icmp", port_range_min=8, port_range_max=0),
        ),
    )
    cloud.ovn.ensure_security_group(TWO, allowed)
    assert eventually(lambda: one.opens("10.0.1.11", 8000))
    assert one.pings("10.0.1.11")
    assert not one.opens("10.0.1.11", 8001)
    assert other.is_refused("10.0.1.10")
    cloud.ovn.ensure_security_group(THREE, group)
    assert eventually(lambda: not one.opens("10.0.1.11", 8000))
    assert one.is_refused("10.0.1.11")


def test_a_group_is_filled_after_its_port_was_made(cloud: Cloud) -> None:
    network, group = cloud.network(), an_open_group()
    one = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id)).configured(network)
    cloud.guest(a_port(network, "10.0.1.11", group.id)).configured(network)
    assert one.is_refused("10.0.1.11")
    cloud.ovn.ensure_security_group(ONE, group)
    assert one.pings("10.0.1.11")


@pytest.mark.parametrize("stateful", [True, False])
def test_a_remote_group_admits_its_members_only(cloud: Cloud, stateful: bool) -> None:
    network, friends = cloud.network(), a_group(a_rule("egress"), a_rule("ingress"))
    guarded = a_group(
        a_rule("ingress", protocol="icmp", remote_group_id=friends.id), a_rule("egress"), stateful=stateful
    )
    cloud.ovn.ensure_security_group(ONE, guarded)  # before the group that it names
    friend = cloud.guest(a_port(network, "10.0.1.10", friends.id)).configured(network)
    stranger = cloud.guest(a_port(network, "10.0.1.11", cloud.open.id)).configured(network)
    cloud.guest(a_port(network, "10.0.1.12", guarded.id)).configured(network)
    cloud.ovn.ensure_security_group(ONE, friends)
    assert friend.pings("10.0.1.12")
    assert stranger.is_refused("10.0.1.12")
    cloud.ovn.ensure_port(TWO, msgspec.structs.replace(stranger.port, security_group_ids=(cloud.open.id, friends.id)))
    assert stranger.pings("10.0.1.12")


def test_a_guest_cannot_take_anothers_address(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.guest(a_port(network, "10.0.1.11", cloud.open.id)).configured(network)
    liar = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id)).configured(network)
    assert liar.pings("10.0.1.11")
    liar.address("10.0.1.99/24")
    assert liar.is_refused("10.0.1.11", "-I", "10.0.1.99")
    pairs = (("10.0.1.99", liar.port.mac_address),)
    cloud.ovn.ensure_port(TWO, msgspec.structs.replace(liar.port, allowed_address_pairs=pairs))
    assert liar.pings("10.0.1.11", "-I", "10.0.1.99")
    liar.run("ip", "link", "set", "eth0", "address", "fa:16:3e:de:ad:01")
    assert liar.is_refused("10.0.1.11")


def test_a_guest_without_an_address_has_none(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.guest(a_port(network, "10.0.1.11", cloud.open.id)).configured(network)
    bare = cloud.guest(a_port(network, None, cloud.open.id))
    bare.address("10.0.1.66/24")
    assert bare.is_refused("10.0.1.11")


def test_port_security_switched_off_lets_a_guest_speak_for_others(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.guest(a_port(network, "10.0.1.11", cloud.open.id)).configured(network)
    free = cloud.guest(a_port(network, "10.0.1.10", port_security_enabled=False)).configured(network)
    free.address("10.0.1.99/24")
    assert free.pings("10.0.1.11", "-I", "10.0.1.99")
    cloud.ovn.ensure_port(TWO, msgspec.structs.replace(free.port, port_security_enabled=True))
    assert eventually(lambda: free.is_refused("10.0.1.11", "-I", "10.0.1.99"))


def test_a_port_that_is_down_carries_nothing(cloud: Cloud) -> None:
    network = cloud.network()
    one, other = (cloud.guest(a_port(network, f"10.0.1.{n}", cloud.open.id)).configured(network) for n in (10, 11))
    assert one.pings("10.0.1.11")
    cloud.ovn.ensure_port(TWO, msgspec.structs.replace(other.port, admin_state_up=False))
    assert eventually(lambda: one.is_refused("10.0.1.11"))


def test_names_of_ports_are_answered(cloud: Cloud) -> None:
    network = cloud.network()
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id, hostname="one"))
    cloud.guest(a_port(network, "10.0.1.11", cloud.open.id, hostname="Two"))
    guest.lease()
    for question, answer in ((("-type=a", "two.tiffin.test"), "10.0.1.11"), (("10.0.1.11",), "two.tiffin.test")):
        told = guest.run("busybox", "nslookup", *question, "10.0.1.2")
        assert answer in told.stdout, told


def test_a_provider_network_leaves_with_its_tag(cloud: Cloud) -> None:
    network = cloud.network("10.100.0", physical_network="public", vlan=100)
    cloud.guest(a_port(network, "10.100.0.5", cloud.open.id)).configured(network)
    with VlanSniffer(cloud.outside) as sniffer:
        assert cloud.guests[-1].is_refused("10.100.0.9")
        assert eventually(lambda: 100 in sniffer.tags)


def ipv6_network(cloud: Cloud, mode: str) -> tuple[Network, Router]:
    subnet = Subnet(
        id=new_id(),
        ip_version=6,
        cidr="fd01::/64",
        gateway_ip="fd01::1",
        enable_dhcp=True,
        dns_nameservers=("fd01::53",),
        ipv6_address_mode=mode,
        ipv6_ra_mode=mode,
    )
    network = cloud.network(subnets=(subnet,))
    router = a_router(an_interface(network, "fd01::1/64", ra_mode=mode, snat_cidrs=()))
    cloud.ovn.ensure_router(ONE, router)
    return network, router


def test_an_ipv6_guest_makes_its_own_address(cloud: Cloud) -> None:
    network, _ = ipv6_network(cloud, "slaac")
    port = a_port(network, None, cloud.open.id)
    octets = [int(part, 16) for part in port.mac_address.split(":")]
    eui = f"fd01::{octets[0] ^ 2:02x}{octets[1]:02x}:{octets[2]:02x}ff:fe{octets[3]:02x}:{octets[4]:02x}{octets[5]:02x}"
    fixed = msgspec.structs.replace(a_port(network, eui, cloud.open.id), mac_address=port.mac_address)
    guest = cloud.guest(fixed)
    assert eventually(lambda: "fd01::" in guest.run("ip", "-6", "address", "show", "dev", "eth0").stdout, 10)
    assert guest.pings("fd01::1")


def test_an_ipv6_guest_is_given_its_address(cloud: Cloud, tmp_path: Path) -> None:
    network, _ = ipv6_network(cloud, "dhcpv6-stateful")
    guest = cloud.guest(a_port(network, "fd01::55", cloud.open.id))
    script = tmp_path / "script"
    script.write_text(
        f'#!/bin/sh\n[ -z "$new_ip6_address" ] || echo "$new_ip6_address $new_dhcp6_name_servers" >> {tmp_path}/told\n'
    )
    script.chmod(0o700)
    done = guest.run(
        "timeout",
        "4",
        "dhclient",
        "-6",
        "-1",
        "-d",
        "-sf",
        str(script),
        "-lf",
        str(tmp_path / "leases"),
        "-pf",
        str(tmp_path / "pid"),
        "eth0",
        timeout=12,
    )
    assert "fd01::55 fd01::53" in (tmp_path / "told").read_text(), done
