"""The network of one host: taps of guests on the integration bridge, and the metadata address of each network."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
from collections.abc import Iterator

from tiffin.core.driver import Refused, StaleTurn, Turn, Turns
from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers import ovn_text as text
from tiffin.services.network.drivers.base import MetadataListener, Network
from tiffin.services.network.drivers.metadata_http import MetadataServer
from tiffin.services.network.drivers.ovn_names import INTEGRATION_BRIDGE, Names, metadata_interface, tap
from tiffin.services.network.drivers.ovs_ports import add_port, external_ids_of, remove_port
from tiffin.services.network.drivers.ovsdb_rpc import OvsdbFailed

METADATA_4, METADATA_6 = "169.254.169.254", "fe80::a9fe:a9fe"
_LOCKS = 64
_TURN, _PORT, _NETWORK = "tiffin-turn", "tiffin-port", "tiffin-network"


class OvsHost:
    """A `HostNetwork` in the chassis namespace of this cloud. It adopts the metadata namespaces that it finds."""

    def __init__(self, names: Names, listener: MetadataListener) -> None:
        self._names = names
        self._turns = Turns()
        self._locks = tuple(threading.Lock() for _ in range(_LOCKS))
        self._server = MetadataServer(listener)
        self.metadata_networks()

    def ensure_plugged(self, turn: Turn, port_id: str, mac: str, mtu: int) -> str:
        interface = tap(text.checked_id(port_id))
        with self._alone(port_id), _refused():
            self._fence(turn, port_id, interface)
            create = []
            if not netns.has(self._names.netns, interface):
                self._unplug(interface)
                create = [f"tuntap add dev {interface} mode tap"]
            netns.ip_batch(self._names.netns, *create, f"link set {interface} mtu {int(mtu)} up")
            add_port(
                self._names,
                INTEGRATION_BRIDGE,
                interface,
                {
                    "iface-id": port_id,
                    "attached-mac": text.mac(mac),
                    "iface-status": "active",
                    _PORT: port_id,
                    _TURN: str(turn),
                },
            )
        return interface

    def forget_plugged(self, turn: Turn, port_id: str) -> None:
        interface = tap(text.checked_id(port_id))
        with self._alone(port_id), _refused():
            self._fence(turn, port_id, interface)
            self._unplug(interface)

    def ensure_metadata(self, turn: Turn, network: Network) -> None:
        """A namespace with the metadata port's addresses, wired to the bridge, and a socket that listens in it."""
        if not (network.metadata_port_id and network.metadata_mac):
            self.forget_metadata(turn, network.id)
            return
        interface = metadata_interface(text.checked_id(network.id))
        with self._alone(network.id), _refused():
            self._fence(turn, network.id, interface)
            self._wire(network, interface)
            add_port(
                self._names,
                INTEGRATION_BRIDGE,
                interface,
                {
                    "iface-id": text.checked_id(network.metadata_port_id),
                    "attached-mac": text.mac(network.metadata_mac),
                    _NETWORK: network.id,
                    _TURN: str(turn),
                },
            )
            self._listen(network.id)

    def forget_metadata(self, turn: Turn, network_id: str) -> None:
        interface = metadata_interface(text.checked_id(network_id))
        with self._alone(network_id), _refused():
            self._fence(turn, network_id, interface)
            self._server.stop(network_id)
            self._unplug(interface)
            netns.remove(self._names.metadata_netns(network_id))

    def launch_prefix(self) -> tuple[str, ...]:
        return "nsenter", f"--net=/run/netns/{self._names.netns}", "--"

    def plugged(self) -> frozenset[str]:
        """Ports that the switch knows and whose tap is there: after a boot of the machine, only the former is true."""
        with _refused():
            there = netns.inside(self._names.netns, netns.interfaces)
            known = external_ids_of(self._names)
            return frozenset(ids[_PORT] for name, ids in known.items() if _PORT in ids and name in there)

    def metadata_networks(self) -> frozenset[str]:
        """The networks with a namespace of their own here; those that nobody answers in yet are answered from now on."""
        prefix = self._names.metadata_prefix
        found = frozenset(name.removeprefix(prefix) for name in netns.names(prefix))
        for network_id in found - self._server.served():
            with self._alone(network_id), contextlib.suppress(OSError):  # half made, or a predecessor is about to end
                self._listen(network_id)
        return found

    def close(self) -> None:
        """Stop answering; what guests are plugged into stays."""
        self._server.close()

    def _alone(self, id: str) -> threading.Lock:
        """One call at a time for one id, so that what was checked against its turn is still so when it is done."""
        return self._locks[hash(id) % _LOCKS]

    def _fence(self, turn: Turn, id: str, interface: str) -> None:
        self._turns.check(id, turn)
        seen = int(external_ids_of(self._names).get(interface, {}).get(_TURN, "0"))
        if turn < seen:
            raise StaleTurn(f"{id}: turn {turn} is older than {seen}")

    def _unplug(self, interface: str) -> None:
        """The switch first: it would hold on to an interface that is made again under the same name."""
        remove_port(self._names, INTEGRATION_BRIDGE, interface)
        if netns.has(self._names.netns, interface):
            try:
                netns.ip("-n", self._names.netns, "link", "del", interface)
            except netns.NetworkCommandFailed:  # the kernel was about to: its other end went with a namespace
                if netns.has(self._names.netns, interface):
                    raise

    def _wire(self, network: Network, interface: str) -> None:
        space, chassis = self._names.metadata_netns(network.id), self._names.netns
        if not netns.exists(space):
            self._server.stop(network.id)  # what it answered on is gone with the namespace
        netns.create(space)
        if not netns.has(space, "eth0"):
            self._unplug(interface)
            netns.ip("-n", chassis, "link", "add", interface, "type", "veth", "peer", "name", "eth0", "netns", space)
        wanted = {
            ipaddress.ip_interface(f"{subnet.metadata_ip}/{ipaddress.ip_network(subnet.cidr).prefixlen}")
            for subnet in network.subnets
            if subnet.metadata_ip
        }
        wanted |= {ipaddress.ip_interface(f"{METADATA_4}/32"), ipaddress.ip_interface(f"{METADATA_6}/64")}
        netns.inside(space, _prepared)
        netns.ip_batch(
            space,
            f"link set eth0 address {text.mac(network.metadata_mac or '')} mtu {int(network.mtu)} up",
            *(
                f"address replace {address} dev eth0{' nodad' if address.version == 6 else ''}"
                for address in sorted(wanted, key=str)
            ),
            *(f"address del {address} dev eth0" for address in sorted(_addresses(space) - wanted, key=str)),
        )
        netns.ip_batch(chassis, f"link set {interface} mtu {int(network.mtu)} up")

    def _listen(self, network_id: str) -> None:
        if network_id not in self._server.served():
            self._server.serve(network_id, netns.inside(self._names.metadata_netns(network_id), _listening))


@contextlib.contextmanager
def _refused() -> Iterator[None]:
    """The world's own failures, as the protocol names them."""
    try:
        yield
    except (OvsdbFailed, netns.NetworkCommandFailed, OSError) as failure:
        raise Refused(str(failure)) from failure


def _prepared() -> None:
    netns.sysctl({"net/ipv6/conf/eth0/disable_ipv6": "0", "net/ipv6/conf/eth0/accept_ra": "0"})
    netns.full_checksums("eth0")


def _addresses(space: str) -> set[ipaddress.IPv4Interface | ipaddress.IPv6Interface]:
    """The addresses of the metadata interface, but for those that the kernel gives by itself."""
    lines = netns.ip("-n", space, "-oneline", "address", "show", "dev", "eth0").splitlines()
    found = {ipaddress.ip_interface(line.split()[3]) for line in lines}
    return {address for address in found if not (address.version == 6 and address.is_link_local)}


def _listening() -> list[socket.socket]:
    """The sockets of the metadata address, opened in the namespace of the calling thread."""
    sockets = []
    scope = socket.if_nametoindex("eth0")
    for family, address in ((socket.AF_INET, (METADATA_4, 80)), (socket.AF_INET6, (METADATA_6, 80, 0, scope))):
        one = socket.socket(family, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.bind(address)
        one.listen(64)
        sockets.append(one)
    return sockets
