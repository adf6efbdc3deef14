"""How our objects read in OVN's language; and that nothing of a tenant's gets into it unparsed."""

from __future__ import annotations

import re
from collections.abc import Callable

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from networks import a_group, a_network, a_port, a_rule
from tiffin.core.driver import Impossible
from tiffin.services.network.drivers import ovn_dhcp, ovn_ports, ovn_security_groups
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import SecurityGroupRule


def match(rule: SecurityGroupRule, stateful: bool = True) -> str:
    group = msgspec.structs.replace(a_group(rule, stateful=stateful), id="0-1")
    return str(ovn_security_groups.acl(group, rule)["match"])


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (a_rule("ingress"), "outport == @pg_0_1 && ip4"),
        (a_rule("egress", "IPv6"), "inport == @pg_0_1 && ip6"),
        (a_rule("ingress", protocol="tcp"), "outport == @pg_0_1 && ip4 && tcp"),
        (
            a_rule("ingress", protocol="6", port_range_min=22, port_range_max=22),
            "outport == @pg_0_1 && ip4 && tcp.dst == 22",
        ),
        (
            a_rule("egress", protocol="udp", port_range_min=1, port_range_max=9),
            "inport == @pg_0_1 && ip4 && udp.dst >= 1 && udp.dst <= 9",
        ),
        (
            a_rule("ingress", protocol="icmp", port_range_min=8, port_range_max=0),
            "outport == @pg_0_1 && ip4 && icmp4.type == 8 && icmp4.code == 0",
        ),
        (
            a_rule("ingress", "IPv6", protocol="icmp", port_range_min=128),
            "outport == @pg_0_1 && ip6 && icmp6.type == 128",
        ),
        (a_rule("ingress", protocol="vrrp"), "outport == @pg_0_1 && ip4 && ip.proto == 112"),
        (a_rule("ingress", remote_ip_prefix="0.0.0.0/0"), "outport == @pg_0_1 && ip4"),
        (a_rule("ingress", remote_ip_prefix="10.1.2.3/16"), "outport == @pg_0_1 && ip4 && ip4.src == 10.1.0.0/16"),
        (a_rule("egress", remote_ip_prefix="10.0.0.0/8"), "inport == @pg_0_1 && ip4 && ip4.dst == 10.0.0.0/8"),
        (a_rule("ingress", remote_group_id="a-b"), "outport == @pg_0_1 && ip4 && ip4.src == $pg_a_b_ip4"),
        (
            a_rule("ingress", "IPv6", remote_address_group=("fd00::/8", "10.0.0.1")),
            "outport == @pg_0_1 && ip6 && ip6.src == {fd00::/8}",
        ),
    ],
)
def test_a_rule_reads_as_a_match(rule: SecurityGroupRule, expected: str) -> None:
    assert match(rule) == expected


def test_a_group_follows_connections_unless_it_is_stateless() -> None:
    rule = a_rule("ingress")
    actions = [ovn_security_groups.acl(a_group(rule, stateful=stateful), rule)["action"] for stateful in (True, False)]
    assert actions == ["allow-related", "allow-stateless"]


def test_port_security_lists_every_pair_under_its_mac() -> None:
    port = a_port(
        a_network(),
        "10.0.1.5",
        mac_address="FA:16:3E:00:00:01",
        allowed_address_pairs=(
            ("10.0.1.9", "fa:16:3e:00:00:01"),
            ("10.9.0.0/16", "fa:16:3e:00:00:02"),
        ),
    )
    assert ovn_ports.port_security(port) == [
        "fa:16:3e:00:00:01 10.0.1.5 10.0.1.9",
        "fa:16:3e:00:00:02 10.9.0.0/16",
    ]
    assert ovn_ports.addresses(port) == ["fa:16:3e:00:00:01 10.0.1.5", "fa:16:3e:00:00:02"]
    free = msgspec.structs.replace(port, port_security_enabled=False)
    assert ovn_ports.port_security(free) == []
    assert ovn_ports.addresses(free)[-1] == "unknown"


def test_a_port_may_ask_for_no_dhcp_and_gets_no_option_of_the_other_version() -> None:
    base = {"mtu": "1442"}
    assert ovn_dhcp.with_extra(base, [("dhcp_disabled", "true", 4)], 4) is None
    assert ovn_dhcp.with_extra(base, [("mtu", "1300", 6), ("unknown", "x", 4)], 4) == base
    with pytest.raises(Impossible):
        ovn_dhcp.with_extra(base, [("dns-server", "fd00::1", 4)], 4)


@pytest.mark.parametrize("value", ['1500); output("x', "{1.2.3.4}", "١٢", "1" * 11, ""])
def test_a_number_is_a_number(value: str) -> None:
    with pytest.raises(Impossible):
        ovn_dhcp.with_extra({}, [("mtu", value, 4)], 4)


SPECIAL = st.text(alphabet=st.sampled_from('a1.:/-_ "\\;{}()$@&|,\n\x00é')) | st.text()


@settings(settings.get_profile("ci"))  # it takes as long as it takes
@given(SPECIAL)
@pytest.mark.parametrize(
    ("parse", "harmless"),
    [
        (text.checked_id, r"[0-9A-Za-z_-]+"),
        (text.mac, r"[0-9a-f:]{17}"),
        (text.address, r"[0-9a-f.:]+"),
        (text.network, r"[0-9a-f.:/]+"),
        (text.interface, r"[0-9a-f.:/]+"),
        (text.domain, r"[0-9a-z._-]*"),
        (text.quoted, r'"[0-9A-Za-z ._:/@,=+-]+"'),
    ],
)
def test_no_text_passes_that_could_be_an_expression(
    parse: Callable[[str], str], harmless: str, given_text: str
) -> None:
    try:
        passed = parse(given_text)
    except Impossible:
        return
    assert re.fullmatch(harmless, passed, re.ASCII)
