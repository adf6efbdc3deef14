"""The composition root: settings -> drivers -> services. The only module that names drivers."""

from __future__ import annotations

import dataclasses
import ipaddress
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from tiffin.core.cloud import Cloud, ServiceRef
from tiffin.core.database import Database
from tiffin.core.engine import Engine
from tiffin.core.migrate import migrate
from tiffin.core.quota import UnifiedLimits
from tiffin.core.settings import Settings, SettingsError, parts
from tiffin.core.state_folder import StateFolder
from tiffin.core.world import World
from tiffin.host.joined import JoinedHosts
from tiffin.services.compute.drivers.base import DiskSource, Hosts, Hypervisor
from tiffin.services.identity.public import Identity, IdentitySettings, KeptLimits, Keys
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.network.drivers.base import HostNetwork, MetadataListener, NetworkBackend

if TYPE_CHECKING:
    from tiffin.core.certificates import Identity as Certified
    from tiffin.host.agent import AgentHost, Controller, Membership
    from tiffin.services.network.drivers.ovn_tunnels import Tunnels

SERVICES = (
    ServiceRef("identity", "/identity", "tiffin.services.identity.service"),
    ServiceRef("image", "/image", "tiffin.services.image.service"),
    ServiceRef("placement", "/placement", "tiffin.services.placement.service"),
    ServiceRef("compute", "/compute", "tiffin.services.compute.service"),
    ServiceRef("network", "/network", "tiffin.services.network.service"),
)

Tell = Callable[[str], None]
"""Says to people what is being done now."""


@dataclasses.dataclass(frozen=True)
class Composition:
    """A cloud that is ready to serve, and what runs beside it."""

    cloud: Cloud
    engine: Engine
    settings: Settings
    daemons: Any = None  # OVN's, on a real cloud


def compose(settings: Settings, tell: Tell = lambda step: None, world: World | None = None) -> Composition:
    """Put a cloud together from its settings. Opens the database and brings it up to date; starts nothing."""
    world = world or World()
    home = settings.home
    tell("opening the database")
    database = open_database(settings)
    keys = Keys(home / "keys")
    identity = Identity(keys, world, settings.section("identity", IdentitySettings))
    cloud = Cloud(
        database,
        world,
        SERVICES,
        authenticator=identity.authenticate,
        secrets=identity.secrets,
        policy_folder=home / "policy",
        sections=settings.sections,
    )
    cloud.login_seconds = settings.login_days * 86_400.0
    _check_sections(cloud, settings)
    cloud.add(Identity, identity)
    cloud.add(UnifiedLimits, _limits(database, settings, identity))
    cloud.add_lazy(ImageStores, lambda: _image_stores(home))
    if settings.simulated:
        daemons = None
        _simulated(cloud, settings)
    else:
        daemons = _real(cloud, settings)
    return Composition(cloud, Engine(cloud, node()), settings, daemons)


def database_of(settings: Settings) -> Database:
    # the hosts of a simulated cloud do not outlive its process: there is nothing to agree with after a power cut
    return Database(settings.database or f"sqlite:///{settings.home / 'tiffin.db'}", durable=not settings.simulated)


def open_database(settings: Settings) -> Database:
    """The cloud's database, brought up to date."""
    database = database_of(settings)
    migrate(database)
    return database


def _check_sections(cloud: Cloud, settings: Settings) -> None:
    """What an operator wrote is looked at now, not when it is first needed. Raises `SettingsError`."""
    known = {ref.type for ref in SERVICES}
    for name in settings.sections:
        if name not in known:
            raise SettingsError(f"[{name}]: there is no such service; known: {', '.join(sorted(known))}.")
        cloud.service(name)


def _limits(database: Database, settings: Settings, identity: Identity) -> KeptLimits:
    """The limits that the services' quotas may read. Raises `SettingsError` when there are projects beyond their model."""
    limits = KeptLimits(settings.region, identity.settings.shares.enforcement_model)
    with database.read() as session:
        limits.check(session)
    return limits


def listen(composition: Composition) -> None:
    """Hear what drivers tell by themselves. Call it when the engines run that they talk to."""
    from tiffin.services.network.public import watch

    watch(composition.cloud)
    if composition.settings.hosts_listen is not None:
        from tiffin.host.door import Door, Keys

        keys = Keys(composition.settings.home / "keys")
        keys.ensure(composition.cloud.world.clock())
        Door(composition.cloud, keys).open(parts(composition.settings.hosts_listen))


def node() -> str:
    """The name of this machine among the hosts."""
    return socket.gethostname()


def _image_stores(home: Path) -> ImageStores:
    from tiffin.services.image.drivers.files import FileStore

    return ImageStores([FileStore(home / "images")])


def _simulated(cloud: Cloud, settings: Settings) -> None:
    """Hosts and networks in memory."""
    from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor
    from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
    from tiffin.simulator.world import SimulatedWorld

    names = [node()] if settings.hosts == 1 else [f"host-{n:04d}" for n in range(1, settings.hosts + 1)]
    network = SimulatedNetwork()
    source = image_source(cloud)
    hosts: dict[str, tuple[Hypervisor, HostNetwork]] = {
        name: (
            SimulatedHypervisor(source, cloud.world.clock, SimulatedWorld(), msgspec.structs.replace(FACTS, hostname=name),
                                disks=disk_source(cloud, name)),
            SimulatedHostNetwork(network, name),
        )
        for name in names
    }
    cloud.add(NetworkBackend, network)
    cloud.add(Hosts, JoinedHosts(cloud, settings.home / "keys", hosts, cloud.world.clock))


def _real(cloud: Cloud, settings: Settings) -> Any:
    """QEMU and OVN on this machine."""
    from tiffin.services.compute.drivers.qemu import Qemu
    from tiffin.services.compute.drivers.qemu import Settings as QemuSettings
    from tiffin.services.network.drivers.ovn import Ovn
    from tiffin.services.network.drivers.ovn_daemons import Daemons
    from tiffin.services.network.drivers.ovs_host import OvsHost

    home = StateFolder(settings.home)
    tunnels = _tunnels(settings, cloud.world.clock())
    daemons = Daemons(
        home.ovn, settings.tag, host=node(), gateway=(gateway(settings),), external=settings.external, tunnels=tunnels
    )
    network = OvsHost(daemons.names, metadata_listener(cloud))
    options = QemuSettings(full_checksums=tunnels is not None)
    source, disks = image_source(cloud), disk_source(cloud, node())
    qemu = Qemu(home.host, source, network.launch_prefix, cloud.world.clock, node(), options, disks=disks)
    cloud.add_lazy(NetworkBackend, lambda: Ovn(daemons.names.nb, daemons.names.sb))
    cloud.add(Hosts, JoinedHosts(cloud, settings.home / "keys", {node(): (qemu, network)}, cloud.world.clock))
    return daemons


def _tunnels(settings: Settings, now: float) -> Tunnels | None:
    """Those to the other machines of the cloud. Raises `SettingsError`."""
    if settings.underlay is None:
        return None
    from tiffin.host.door import Keys
    from tiffin.host.tunnels import of_controller

    Keys(settings.home / "keys").ensure(now)
    return of_controller(settings)


def compose_agent(folder: StateFolder) -> AgentHost:
    """The agent of a host that has joined a cloud, and the drivers that it serves."""
    from tiffin.core.certificates import Identity as Certified
    from tiffin.host.agent import Agent, AgentHost, Controller, Membership

    membership = msgspec.json.decode(folder.agent_file.read_bytes(), type=Membership)
    identity = Certified(folder.keys / "host")
    controller = Controller(membership, identity)
    make = _simulated_host if membership.simulated else _real_host
    hypervisor, network = make(folder, membership, identity, controller)
    agent = Agent(membership, identity, hypervisor, network)
    return AgentHost(membership, identity, controller, agent, (hypervisor, network))


def _real_host(
    folder: StateFolder, membership: Membership, identity: Certified, controller: Controller
) -> tuple[Hypervisor, HostNetwork]:
    """QEMU on this machine, and a chassis of the cloud's OVN."""
    from tiffin.host import tunnels
    from tiffin.services.compute.drivers.qemu import Qemu
    from tiffin.services.compute.drivers.qemu import Settings as QemuSettings
    from tiffin.services.network.drivers.ovn_daemons import Daemons
    from tiffin.services.network.drivers.ovs_host import OvsHost

    to_others = tunnels.of_member(membership, identity)
    daemons = Daemons(folder.ovn, tunnels.tag(folder), host=membership.name, tunnels=to_others)
    daemons.start()
    network = OvsHost(daemons.names, controller.metadata)
    options = QemuSettings(full_checksums=True)
    prefix, name = network.launch_prefix, membership.name
    return Qemu(folder.host, controller.image, prefix, World().clock, name, options, disks=controller.disk), network


def _simulated_host(
    folder: StateFolder, membership: Membership, identity: Certified, controller: Controller
) -> tuple[Hypervisor, HostNetwork]:
    from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor
    from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
    from tiffin.simulator.world import SimulatedWorld

    facts = msgspec.structs.replace(FACTS, hostname=membership.name)
    return (
        SimulatedHypervisor(controller.image, World().clock, SimulatedWorld(), facts, disks=controller.disk),
        SimulatedHostNetwork(SimulatedNetwork(), membership.name),
    )


def gateway(settings: Settings) -> str:
    """The address, with prefix length, that the outside world has on the public network: the first of its range."""
    public = ipaddress.IPv4Network(settings.public_cidr)
    return f"{public[1]}/{public.prefixlen}"


def image_source(cloud: Cloud) -> Callable[[str], Iterator[bytes]]:
    from tiffin.services.image.public import open_image

    return lambda image_id: open_image(cloud, image_id)


def disk_source(cloud: Cloud, host: str) -> DiskSource:
    """The disks of guests that move to this host of the controller's own."""

    def read(guest_id: str, name: str, offset: int, length: int) -> Iterator[bytes]:
        from tiffin.services.compute import agents

        return agents.disk_for(cloud, host, agents.DiskRange(guest_id, name, offset, length))

    return read


def metadata_listener(cloud: Cloud) -> MetadataListener:
    def answer(
        network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        from tiffin.services.compute.public import answer_metadata

        return answer_metadata(cloud, network_id, remote, method, path, headers)

    return answer
