"""Two chassis, as two machines have them: guests on both meet through a tunnel, and gateways stay where the way out is."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from guests import Guest, Listener, Wires, opens_from, pings_from
from networks import HOST, a_floating_ip, a_network, a_port, eventually
from ovn_cloud import fresh_tag, ovn_of
from ovn_guests import ONE, THREE, Cloud
from tiffin.core.certificates import Authority, Identity
from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.base import Port
from tiffin.services.network.drivers.ovn_daemons import Daemons
from tiffin.services.network.drivers.ovn_tunnels import Certified, Tunnels, read_underlay
from tiffin.services.network.drivers.ovs_host import OvsHost
from tiffin.services.network.drivers.ovsdb_rpc import OvsdbFailed, transact

pytestmark = pytest.mark.real
FAR = "far"


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class TwoMachines(Cloud):
    """The cloud's own chassis, and one that has joined."""

    def __init__(self, root: Path, wires: Wires) -> None:
        self.root, address, tag = root, f"127.0.0.1:{free_port()}", fresh_tag()
        self.cable = f"u{tag[3:9]}"
        subprocess.run(["ip", "link", "add", f"{self.cable}a", "type", "veth", "peer", "name", f"{self.cable}b"], check=True)
        self.hosts, self.controllers = Authority(root / "hosts", "h"), Authority(root / "controllers", "c")
        self.hosts.ensure(time.time())
        self.controllers.ensure(time.time())
        own = self.certified("controller", self.controllers, self.hosts)
        here = Tunnels(read_underlay(f"{self.cable}a=10.99.0.1/24"), own, listen=address)
        self.near = Daemons(root / "near", tag, host=HOST, tunnels=here)
        self.near.start()
        there = Tunnels(
            read_underlay(f"{self.cable}b=10.99.0.2/24"),
            self.certified(FAR, self.hosts, self.controllers),
            southbound=address,
        )
        self.member = Daemons(root / "far", fresh_tag(), host=FAR, tunnels=there)
        self.member.start()
        super().__init__(ovn_of(self.near), self.near.names, wires, root)
        self.shared = a_network("10.0.9")
        self.far_host = OvsHost(self.member.names, self.answer)

    def certified(self, name: str, authority: Authority, other: Authority) -> Certified:
        identity = Identity(self.root / "keys" / name)
        identity.keep(authority.sign(identity.request(name), name, time.time(), 1), other.certificate())
        return Certified(identity.key, identity.certificate, identity.trusted)

    def far_guest(self, port: Port) -> Guest:
        self.ovn.ensure_port(ONE, port)
        tap = self.far_host.ensure_plugged(ONE, port.id, port.mac_address, 1442)
        guest = Guest(self.member.names, self._wires, port, tap, self._folder)
        self.guests.append(guest)
        assert eventually(lambda: self.ovn.port_up(port.id))
        return guest

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        for host in (self.host, self.far_host):
            host.close()
        self.ovn.close()
        self.member.stop()
        self.near.stop()
        subprocess.run(["ip", "link", "del", f"{self.cable}a"], check=False, stderr=subprocess.DEVNULL)


@pytest.fixture(scope="module")
def machines() -> Iterator[TwoMachines]:
    root, wires = Path(tempfile.mkdtemp(prefix="tiffin-ovn-")), Wires()
    made = TwoMachines(root, wires)
    try:
        yield made
    finally:
        made.close()
        wires.close()
        shutil.rmtree(root)


@pytest.fixture
def pair(machines: TwoMachines) -> Iterator[tuple[TwoMachines, Guest, Guest]]:
    """A guest on each machine, on one network."""
    network = machines.shared = machines.network()
    here = machines.guest(a_port(network, "10.0.1.10", machines.open.id))
    there = machines.far_guest(a_port(network, "10.0.1.11", machines.open.id, host=FAR))
    yield machines, here, there
    for guest in (here, there):
        guest.close()
        machines.guests.remove(guest)
        machines.host.forget_plugged(THREE, guest.port.id)
        machines.far_host.forget_plugged(THREE, guest.port.id)
        machines.ovn.forget_port(THREE, guest.port.id)


def test_both_are_known(machines: TwoMachines) -> None:
    assert [(one.name, one.alive) for one in machines.ovn.chassis()] == sorted([(FAR, True), (HOST, True)])


def test_guests_of_two_machines_meet(
    pair: tuple[TwoMachines, Guest, Guest], listening: Callable[[str, int], Listener]
) -> None:
    _, here, there = pair
    for guest, address in ((here, "10.0.1.10"), (there, "10.0.1.11")):
        assert guest.lease()["ip"] == address
    assert pings_from(here.netns, "10.0.1.11")
    listening(there.netns, 80)
    assert opens_from(here.netns, "10.0.1.11", 80)


def test_a_floating_ip_reaches_a_guest_on_the_other_machine(
    pair: tuple[TwoMachines, Guest, Guest], listening: Callable[[str, int], Listener]
) -> None:
    machines, _, there = pair
    there.lease()
    router = machines.router("172.24.4.10", machines.shared)
    machines.ovn.ensure_floating_ip(ONE, a_floating_ip(router, there.port, "172.24.4.50"))
    listening(there.netns, 80)
    assert eventually(lambda: opens_from(machines.outside, "172.24.4.50", 80))
    carried = transact(
        machines.names.nb, "OVN_Northbound",
        {"op": "select", "table": "Gateway_Chassis", "where": [], "columns": ["chassis_name"]},
    )[0]["rows"]  # fmt: skip
    assert {row["chassis_name"] for row in carried} == {HOST}


def test_a_chassis_changes_what_is_its_own_only(machines: TwoMachines) -> None:
    """What a stolen host could say to southbound: by its certificate it is `far`, and no other."""
    tls = machines.certified(FAR, machines.hosts, machines.controllers)
    target = next(iter(_connections(machines)))
    _, port, host = target.split(":")
    words = [
        "ovn-sbctl", f"--db=ssl:{host}:{port}", f"-p{tls.key}", f"-c{tls.certificate}", f"-C{tls.trusted}", "--timeout=10",
    ]  # fmt: skip
    shown = subprocess.run([*words, "list", "Chassis"], capture_output=True, text=True, check=False)
    assert shown.returncode == 0, shown.stderr
    stolen = subprocess.run([*words, "chassis-del", HOST], capture_output=True, text=True, check=False)
    assert stolen.returncode != 0
    assert "permission error" in stolen.stderr
    assert [one.name for one in machines.ovn.chassis()] == sorted([FAR, HOST])


def _connections(machines: TwoMachines) -> list[str]:
    rows = transact(
        machines.names.sb, "OVN_Southbound", {"op": "select", "table": "Connection", "where": [], "columns": ["target"]}
    )[0]["rows"]
    return [str(row["target"]) for row in rows]


def test_strangers_are_not_answered(machines: TwoMachines) -> None:
    _, port, host = _connections(machines)[0].split(":")
    words = ["ovn-sbctl", f"--db=tcp:{host}:{port}", "--timeout=3", "list", "Chassis"]
    assert subprocess.run(words, capture_output=True, check=False).returncode != 0


def test_starting_again_changes_nothing(machines: TwoMachines) -> None:
    before = machines.near.status(), machines.member.status()
    machines.near.start()
    machines.member.start()
    assert (machines.near.status(), machines.member.status()) == before
    assert not netns.exists(machines.member.names.outside)
    with pytest.raises(OvsdbFailed):
        transact(machines.member.names.sb, "OVN_Southbound")


@pytest.mark.parametrize("text", ["eth1", "eth1=10.0.0.1", "=10.0.0.1/24", "a/b=10.0.0.1/24", "-x=10.0.0.1/24", "e=x/24"])
def test_underlays_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match=r"INTERFACE=ADDRESS/PREFIX|does not appear"):
        read_underlay(text)
