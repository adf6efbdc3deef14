# long: the one place that names every driver
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
from tiffin.core.tables import Fact
from tiffin.core.world import World
from tiffin.host.joined import JoinedHosts, Local, LocalHosts
from tiffin.services.compute.drivers.base import DiskSource, Hosts, Hypervisor
from tiffin.services.compute.drivers.departure import Channel, TunnelSource
from tiffin.services.compute.settings import Machines
from tiffin.services.compute.settings import Settings as ComputeSettings
from tiffin.services.identity.public import Identity, IdentitySettings, KeptLimits, Keys
from tiffin.services.image.drivers.base import ImageCaches, ImageStore, ImageStores
from tiffin.services.image.scratch import Scratch
from tiffin.services.image.settings import Settings as ImageSettings
from tiffin.services.image.settings import Store as StoreSettings
from tiffin.services.network.drivers.base import HostNetwork, MetadataListener, NetworkBackend
from tiffin.simulator.clock import SimulatedClock

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

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

AHEAD = "simulator.ahead"
"""The fact that tells how far the time of a simulated cloud was moved on, in seconds."""
Tell = Callable[[str], None]
"""Says to people what is being done now."""


@dataclasses.dataclass(frozen=True)
class Composition:
    """A cloud that is ready to serve, and what runs beside it."""

    cloud: Cloud
    engine: Engine
    settings: Settings
    daemons: Any = None  # OVN's, on a real cloud
    data_centre: Any = None  # simulator.DataCentre, on a simulated one


def compose(settings: Settings, tell: Tell = lambda step: None) -> Composition:
    """Put a cloud together from its settings. Opens the database and brings it up to date; starts nothing."""
    tell("opening the database")
    database = open_database(settings)
    try:
        return _compose(settings, database)
    except BaseException:
        database.close()  # the next try has connections of its own
        raise


def _compose(settings: Settings, database: Database) -> Composition:
    clock = SimulatedClock() if settings.simulated else None
    world = World(clock=clock) if clock else World()
    home = settings.home
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
    cloud.add_lazy(ImageStores, lambda: _image_stores(home, cloud.service("image").settings))
    cloud.add_lazy(ImageCaches, lambda: _image_caches(cloud))
    cloud.add(Scratch, Scratch(home / "scratch"))
    _protect_properties(cloud, settings)
    machines = _machines(settings)
    engine = Engine(cloud, f"{node(machines)}:{settings.tag}")
    if clock:
        return Composition(cloud, engine, settings, data_centre=_simulated(cloud, settings, clock))
    return Composition(cloud, engine, settings, daemons=_real(cloud, settings))


def database_of(settings: Settings) -> Database:
    """The cloud's database, as it is. Raises `SettingsError` for one that no driver is there for."""
    kind = (settings.database or "sqlite:").partition(":")[0]
    if kind not in ("sqlite", "postgresql", "postgresql+psycopg"):
        raise SettingsError(f"database: there is no driver for {kind}:// here; write postgresql://user@host/name.")
    # the hosts of a simulated cloud do not outlive its process: there is nothing to agree with after a power cut
    return Database(settings.database or f"sqlite:///{settings.home / 'tiffin.db'}", durable=not settings.simulated)


def open_database(settings: Settings) -> Database:
    """The cloud's database, brought up to date."""
    database = database_of(settings)
    try:
        migrate(database)
    except BaseException:
        database.close()
        raise
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


def take_place(composition: Composition) -> None:
    """Be one of the cloud's controllers, without what a predecessor here left half done. Raises `SettingsError` when it
    cannot be beside the others."""
    from tiffin.services.compute import controllers

    cloud, machines = composition.cloud, _machines(composition.settings)
    cloud.part(Scratch).clear()
    hosts = tuple(cloud.part(JoinedHosts).local.names())
    controllers.take_place(cloud, controllers.Mine(node(machines), composition.engine.node, machines, hosts))


def listen(composition: Composition) -> None:
    """Hear what drivers tell by themselves, and what other machines ask. Call it when the drivers work."""
    from tiffin.services.network.public import watch

    cloud, machines = composition.cloud, _machines(composition.settings)
    if not machines.network:
        watch(cloud)
    if machines.listen:
        from tiffin.host.door import Door, Keys
        from tiffin.host.exports import Exports

        keys = Keys(composition.settings.home / "keys")
        keys.ensure(cloud.world.clock())
        exports = Exports(cloud.part(JoinedHosts).local, None if machines.network else cloud.part(NetworkBackend))
        Door(cloud, keys, machines, exports).open(parts(machines.listen))


def node(machines: Machines) -> str:
    """The name of this machine among the hosts and the controllers."""
    return machines.name or socket.gethostname()


def _machines(settings: Settings) -> Machines:
    return settings.section("compute", ComputeSettings).machines


def _far_networks(cloud: Cloud, settings: Settings, address: str) -> NetworkBackend:
    """Those that another controller runs."""
    from tiffin.host.door import Keys
    from tiffin.host.exports import networks_at

    keys = Keys(settings.home / "keys")
    keys.ensure(cloud.world.clock())
    return networks_at(keys, address)


def _image_stores(home: Path, image: ImageSettings) -> ImageStores:
    from tiffin.services.image.drivers.files import FileStore

    if not image.stores:
        return ImageStores([FileStore(home / "images")])
    stores = {name: _image_store(name, store, image, home) for name, store in image.stores.items()}
    return ImageStores(
        [made for name, made in stores.items() if not image.stores[name].staging],
        default=next(name for name, store in image.stores.items() if store.default),
        staging=next((made for name, made in stores.items() if image.stores[name].staging), None),
        weights={name: store.weight for name, store in image.stores.items() if store.weight},
    )


def _image_store(name: str, store: StoreSettings, image: ImageSettings, home: Path) -> ImageStore:
    if store.kind == "file":
        from tiffin.services.image.drivers.files import FileStore

        folder = Path(store.folder) / "tiffin-images" if store.folder else home / "images"
        return FileStore(folder, name=name, description=store.description)
    if store.kind == "rbd":
        from tiffin.services.image.drivers.librbd import Account
        from tiffin.services.image.drivers.rbd import RbdStore

        account = Account(conf=store.conf, user=store.user, pool=store.pool, seconds=store.seconds)
        return RbdStore(account, name=name, description=store.description)
    from tiffin.services.image.drivers.http import HttpStore
    from tiffin.services.image.web import WebReader

    return HttpStore(WebReader(image.web, image.limits.bytes), name=name, description=store.description)


def _protect_properties(cloud: Cloud, settings: Settings) -> None:
    """The file that says which properties of images only some may touch. Raises `SettingsError` when there is a mistake."""
    if "property_protection" in settings.sections.get("image", {}):
        from tiffin.services.image.protections import Protections, load

        found = load(settings.home / "policy", cloud.service("image").settings.property_protection)
        if found is not None:
            cloud.add(Protections, found)
            cloud.policy("image").asked = found.rules()


def _image_caches(cloud: Cloud) -> ImageCaches:
    from tiffin.services.compute.image_caches import HostCaches

    return HostCaches(cloud)


def _simulated(cloud: Cloud, settings: Settings, clock: SimulatedClock) -> Any:
    """Hosts and networks in memory."""
    from tiffin.simulator.data_centre import DataCentre, Sources
    from tiffin.simulator.network import FarPlugs, SimulatedNetwork

    machines = _machines(settings)
    name = machines.name or "host"
    names = [node(machines)] if settings.hosts == 1 else [f"{name}-{n:04d}" for n in range(1, settings.hosts + 1)]
    network = SimulatedNetwork(elsewhere=FarPlugs(lambda host: cloud.part(Hosts).network(host).plugged()))
    with cloud.database.read() as session:
        clock.ahead = ahead(session)
    sources = Sources(
        image_source(cloud), lambda name: disk_source(cloud, name), lambda name: tunnel_source(cloud, name)
    )
    centre = DataCentre(names, sources, clock, network)
    if machines.network:
        cloud.add_lazy(NetworkBackend, lambda: _far_networks(cloud, settings, machines.network))
    else:
        cloud.add(NetworkBackend, network)
    _add_hosts(cloud, settings, centre)
    return centre


def _add_hosts(cloud: Cloud, settings: Settings, own: Local) -> None:
    hosts = JoinedHosts(cloud, settings.home / "keys", own, cloud.world.clock)
    cloud.add(JoinedHosts, hosts)
    cloud.add(Hosts, hosts)


def control(composition: Composition, folder: Path) -> None:
    """Let people make trouble in a simulated cloud, by a socket in this folder. Call it when the cloud works."""
    from tiffin.core import background, channel
    from tiffin.simulator.control import Control

    cloud = composition.cloud

    def moved(ahead: float) -> None:
        with cloud.database.write() as session:
            session.merge(Fact(name=AHEAD, value=str(ahead)))
        background.reconcile(cloud)  # hosts have been there all that time
        composition.engine.hint()

    channel.listen(folder, "simulator.sock", Control(composition.data_centre, moved).do)


def ahead(session: Session) -> float:
    """How far the time of a cloud was moved on, in seconds; 0 for a real one."""
    moved = session.get(Fact, AHEAD)
    return float(moved.value) if moved else 0.0


def _real(cloud: Cloud, settings: Settings) -> Any:
    """QEMU and OVN on this machine."""
    from tiffin.services.compute.drivers.qemu import Qemu
    from tiffin.services.compute.drivers.qemu import Settings as QemuSettings
    from tiffin.services.network.drivers.ovn import Ovn
    from tiffin.services.network.drivers.ovn_daemons import Daemons
    from tiffin.services.network.drivers.ovs_host import OvsHost

    home = StateFolder(settings.home)
    machines = _machines(settings)
    host = node(machines)
    tunnels = _tunnels(settings, host, cloud.world.clock())
    daemons = Daemons(
        home.ovn, settings.tag, host=host, gateway=(gateway(settings),), external=settings.external, tunnels=tunnels
    )
    network = OvsHost(daemons.names, metadata_listener(cloud))
    options = QemuSettings(full_checksums=tunnels is not None)
    source, disks, tunnels_out = image_source(cloud), disk_source(cloud, host), tunnel_source(cloud, host)
    prefix, clock = network.launch_prefix, cloud.world.clock
    qemu = Qemu(home.host, source, prefix, clock, host, options, disks=disks, tunnels=tunnels_out)
    if machines.network:
        cloud.add_lazy(NetworkBackend, lambda: _far_networks(cloud, settings, machines.network))
    else:
        cloud.add_lazy(NetworkBackend, lambda: Ovn(daemons.names.nb, daemons.names.sb))
    _add_hosts(cloud, settings, LocalHosts({host: (qemu, network)}))
    return daemons


def _tunnels(settings: Settings, host: str, now: float) -> Tunnels | None:
    """Those to the other machines of the cloud. Raises `SettingsError`."""
    if not _machines(settings).listen:
        return None
    from tiffin.host.tunnels import certify, of_controller

    certify(settings, host, now)
    return of_controller(settings)


def compose_agent(folder: StateFolder) -> AgentHost:
    """The agent of a host that has joined a cloud, and the drivers that it serves."""
    from tiffin.core.certificates import Identity as Certified
    from tiffin.host.agent import Agent, AgentHost, Controller, Membership, learn

    known = msgspec.json.decode(folder.agent_file.read_bytes(), type=Membership)
    identity = Certified(folder.keys / "host")
    controller = Controller(known, identity)
    learn(controller, folder.agent_file)
    membership = controller.membership
    make = _simulated_host if membership.simulated else _real_host
    hypervisor, network, daemons = make(folder, membership, identity, controller)
    agent = Agent(membership, identity, hypervisor, network)
    return AgentHost(membership, identity, controller, agent, (hypervisor, network), daemons)


def _real_host(
    folder: StateFolder, membership: Membership, identity: Certified, controller: Controller
) -> tuple[Hypervisor, HostNetwork, Any]:
    """QEMU on this machine, a chassis of the cloud's OVN, and its daemons."""
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
    source, clock = controller.image, World().clock
    qemu = Qemu(
        folder.host, source, prefix, clock, name, options, disks=controller.disk, tunnels=controller.tunnel
    )
    return qemu, network, daemons


def _simulated_host(
    folder: StateFolder, membership: Membership, identity: Certified, controller: Controller
) -> tuple[Hypervisor, HostNetwork, Any]:
    from tiffin.simulator.hypervisor import FACTS, SimulatedHypervisor
    from tiffin.simulator.network import SimulatedHostNetwork, SimulatedNetwork
    from tiffin.simulator.world import SimulatedWorld

    facts = msgspec.structs.replace(FACTS, hostname=membership.name)
    return (
        SimulatedHypervisor(
            controller.image,
            World().clock,
            SimulatedWorld(),
            facts,
            disks=controller.disk,
            tunnels=controller.tunnel,
        ),
        SimulatedHostNetwork(SimulatedNetwork(), membership.name),
        None,
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


def tunnel_source(cloud: Cloud, host: str) -> TunnelSource:
    """Ways for guests that leave this host of the controller's own while they run."""

    def open(guest_id: str, channel: Channel) -> socket.socket:
        from tiffin.services.compute import agents

        return agents.tunnel_for(cloud, host, agents.Way(guest_id, channel))

    return open


def metadata_listener(cloud: Cloud) -> MetadataListener:
    def answer(
        network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        from tiffin.services.compute.public import answer_metadata

        return answer_metadata(cloud, network_id, remote, method, path, headers)

    return answer
