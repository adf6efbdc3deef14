"""What the first start leaves in a cloud: an admin, a demo project, a public network, flavors, a guest image, definitions.

Every part may be repeated, so that a kill anywhere is mended by the next start; when all is there, a fact in the database
says so, and what users removed later stays removed.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tiffin.core.cloud import Cloud
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.settings import Settings
from tiffin.core.state_folder import StateFolder
from tiffin.core.tables import Fact
from tiffin.core.world import World
from tiffin.main import Composition, open_database

FLAVORS = (
    # name, MiB of memory, vCPUs, GiB of disk: the names that users know, at sizes that a small box can hold
    ("m1.nano", "41", 128, 1, 1),
    ("m1.micro", "42", 192, 1, 1),
    ("m1.tiny", "1", 512, 1, 1),
    ("m1.small", "2", 2048, 1, 20),
    ("m1.medium", "3", 4096, 2, 40),
    ("m1.large", "4", 8192, 4, 80),
    ("m1.xlarge", "5", 16384, 8, 160),
)
COUNTED_BY_UNIFIED_LIMITS = ("image",)
DONE = "first_start"
IMAGE = "tiffin-tiny"

Tell = Callable[[str], None]


class FirstStartFailed(Exception):
    """A request of the first start was refused."""


def identity(composition: Composition, tell: Tell) -> None:
    """The admin, the roles, the catalogue; and the demo project with its user at the very first start."""
    tell("preparing identity")
    cloud, settings = composition.cloud, composition.settings
    with cloud.database.read() as session:
        done = session.get(Fact, DONE) is not None
    if not done or _moved(cloud, settings):
        _accounts(composition, done)
    _limits(cloud)


def _accounts(composition: Composition, done: bool) -> None:
    from tiffin.services.identity import public

    cloud, settings = composition.cloud, composition.settings
    secrets = StateFolder(settings.home).secrets()
    with cloud.database.write() as session:
        public.bootstrap(session, cloud.world, secrets.admin_password, settings.region, _url(settings))
        if not done:
            project = public.ensure_project(session, cloud.world, "demo", description="To try things out.")
            user = public.ensure_user(session, cloud.world, "demo", secrets.demo_password)
            public.ensure_role_on_project(session, user, project, "member")
        session.merge(Fact(name="url", value=_url(settings)))


def _limits(cloud: Cloud) -> None:
    """The unified limits of the services that count by them from the first; once, so that what an operator removes stays
    removed."""
    from tiffin.services.identity import public

    for service in COUNTED_BY_UNIFIED_LIMITS:
        fact = f"limits {service}"
        with cloud.database.read() as session:
            if session.get(Fact, fact) is not None:
                continue
        if cloud.service(service).unified_limits:
            defaults = {quota.unified_name: quota.default for quota in cloud.service(service).quotas.values()}
            with cloud.database.write() as session:
                public.ensure_limits(session, cloud.world, service, defaults)
                session.merge(Fact(name=fact, value="registered"))


def let_admin_in(settings: Settings) -> list[str]:
    """What was amiss with the administrator's account and roles, and is mended now; the cloud may run meanwhile."""
    from tiffin.services.identity import public

    folder = StateFolder(settings.home)
    own = settings.section("identity", public.IdentitySettings)
    database = open_database(settings)
    try:
        return public.let_in(database, World(), folder.secrets().admin_password, own)
    finally:
        database.close()
        folder.write_clouds_yaml(settings)


def _url(settings: Settings) -> str:
    """Where the catalogue says that the cloud is."""
    from tiffin.services.identity.public import IdentitySettings

    return settings.section("identity", IdentitySettings).shares.catalog_url.rstrip("/") or settings.url


def _moved(cloud: Cloud, settings: Settings) -> bool:
    """Whether the cloud is elsewhere than its catalogue says."""
    with cloud.database.read() as session:
        known = session.get(Fact, "url")
    return known is None or known.value != _url(settings)


def definitions(composition: Composition, tell: Tell) -> None:
    """The metadata definitions, also for a cloud that had its first start before there were any."""
    from tiffin.services.image import metadef_catalogue

    cloud = composition.cloud
    with cloud.database.read() as session:
        if metadef_catalogue.loaded(session):
            return
    tell("loading metadata definitions")
    with cloud.database.write() as session:
        metadef_catalogue.load(session, cloud.world)


def first_start(composition: Composition, app: Callable[..., Any], tell: Tell) -> None:
    """Flavors, the public network and the guest image, through the cloud's own API as its admin."""
    cloud, settings = composition.cloud, composition.settings
    with cloud.database.read() as session:
        if session.get(Fact, DONE) is not None:
            return
    folder = StateFolder(settings.home)
    secrets = folder.secrets()
    client = LoggedIn(app, settings, "admin", secrets.admin_password)
    tell("making flavors")
    for flavor in FLAVORS:
        _flavor(client, *flavor)
    tell("making the public network")
    _public_network(client, settings)
    tell("making the default security groups")
    for who in (client, LoggedIn(app, settings, "demo", secrets.demo_password)):
        who("GET", "/network/v2.0/security-groups")  # a project's first look at its groups makes it, as upstream's does
    tell("registering the guest image")
    _image(client, folder, settings)
    with cloud.database.write() as session:
        session.merge(Fact(name=DONE, value="done"))


class LoggedIn:
    """A user in the project of the same name, inside the process."""

    def __init__(self, app: Callable[..., Any], settings: Settings, name: str, password: str) -> None:
        self.client = LocalClient(app, settings.url.removeprefix("http://"))
        domain = {"id": "default"}
        user = {"name": name, "domain": domain, "password": password}
        login = {
            "auth": {
                "identity": {"methods": ["password"], "password": {"user": user}},
                "scope": {"project": {"name": name, "domain": domain}},
            }
        }
        reply = self.client.request("POST", "/identity/v3/auth/tokens", json=login)
        if reply.status != 201:
            raise FirstStartFailed(f"{name} cannot log in: HTTP {reply.status}")
        self.token = reply.headers["x-subject-token"]

    def __call__(self, method: str, url: str, json: Any = None, body: bytes | None = None, **headers: str) -> Reply:
        """A request; `headers` with _ for -. Raises `FirstStartFailed` when it is refused."""
        sent = {"X-Auth-Token": self.token, **{name.replace("_", "-"): value for name, value in headers.items()}}
        reply = self.client.request(method, url, headers=sent, json=json, body=body)
        if reply.status >= 400:
            raise FirstStartFailed(f"{method} {url}: HTTP {reply.status} {reply.body.decode(errors='replace')[:500]}")
        return reply


def _flavor(client: LoggedIn, name: str, id: str, ram: int, vcpus: int, disk: int) -> None:
    known = client("GET", "/compute/v2.1/flavors").json["flavors"]
    if not any(f["id"] == id for f in known):
        client("POST", "/compute/v2.1/flavors", {"flavor": {"name": name, "id": id, "ram": ram, "vcpus": vcpus, "disk": disk}})


def _public_network(client: LoggedIn, settings: Settings) -> None:
    found = client("GET", "/network/v2.0/networks?name=public&router:external=true").json["networks"]
    if found:
        network = found[0]
    else:
        wanted = {
            "name": "public",
            "router:external": True,
            "is_default": True,
            "provider:network_type": "flat",
            "provider:physical_network": "public",
        }
        network = client("POST", "/network/v2.0/networks", {"network": wanted}).json["network"]
    if not network["subnets"]:
        public = ipaddress.IPv4Network(settings.public_cidr)
        wanted_subnet = {
            "network_id": network["id"],
            "name": "public-subnet",
            "ip_version": 4,
            "cidr": str(public),
            "gateway_ip": str(public[1]),
            "enable_dhcp": False,
            "allocation_pools": [{"start": str(public[2]), "end": str(public[-2])}],
        }
        client("POST", "/network/v2.0/subnets", {"subnet": wanted_subnet})


def _image(client: LoggedIn, folder: StateFolder, settings: Settings) -> None:
    found = client("GET", f"/image/v2/images?name={IMAGE}").json["images"]
    if any(image["status"] == "active" for image in found):
        return
    if found:
        id = found[0]["id"]
    else:
        wanted = {"name": IMAGE, "disk_format": "qcow2", "container_format": "bare", "visibility": "public", "min_ram": 96}
        id = client("POST", "/image/v2/images", wanted).json["id"]
    content = _image_bytes(folder.image_sources / f"{IMAGE}.qcow2", settings)
    client("PUT", f"/image/v2/images/{id}/file", body=content, Content_Type="application/octet-stream")


def _image_bytes(file: Path, settings: Settings) -> bytes:
    if not settings.simulated:
        return file.read_bytes()
    from tiffin.simulator.qcow2 import empty_qcow2

    return empty_qcow2(1 << 30)
