"""Two machines that are both controllers and hosts, with one database: the first has OVN's databases. Their guests meet,
and each machine's guests go on when the other controller dies."""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import story
from postgresql.pair import ask
from real.test_live_migration import PatientGuest, narrow
from real.test_story import Guest
from real.test_two_machines import HERE, THERE, OtherMachine, hosts
from running_cloud import ADMIN, RunningCloud, running_cloud, tiny
from storm import kill, rows
from tiffin.cli.postgresql import binaries, private_server
from world import assert_becomes, guest_processes

pytestmark = [pytest.mark.real, pytest.mark.long]
DOORS = f"{HERE}:8443", f"{THERE}:8443"
API_THERE = f"{THERE}:8000"
OF_SERVERS = "SELECT frame FROM lifecycle WHERE kind = 'compute.server'"


@dataclass(frozen=True)
class Site:
    first: RunningCloud
    other: OtherMachine
    key: Path

    @property
    def second(self) -> RunningCloud:
        return RunningCloud(self.other.home, API_THERE, simulated=False)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    if binaries() is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    other = OtherMachine()
    try:
        with private_server() as server:
            database = f'database = "{server.make("real")}"\n'
            mine = f'[compute.machines]\nname = "near"\nlisten = "{DOORS[0]}"\nunderlay = "{other.cable}=10.99.77.1/24"\n'
            with running_cloud(simulated=False, settings=database + mine, image=tiny()) as first:
                _second(other, first, database)
                yield _furnished(first, other, tmp_path)
                other.tiffin("destroy", "--yes")
    finally:
        other.tiffin("destroy", "--yes", check=False)
        other.remove()


def _second(other: OtherMachine, first: RunningCloud, database: str) -> None:
    other.home.mkdir(mode=0o700)
    for name in ("keys", "images", "images-src"):
        (other.home / name).symlink_to(first.home / name)
    shutil.copy(first.home / "secrets.json", other.home)
    (other.home / "tiffin.toml").write_text(
        f'simulated = false\n{database}[identity.shares]\ncatalog_url = "http://{first.address}"\n[compute.machines]\n'
        f'name = "far"\nlisten = "{DOORS[1]}"\nnetwork = "{DOORS[0]}"\nunderlay = "{other.cable_far}=10.99.77.2/24"\n'
    )
    other.tiffin("up", "--listen", API_THERE)


def _furnished(first: RunningCloud, other: OtherMachine, folder: Path) -> Site:
    assert_becomes(lambda: hosts(first), {"near": "up", "far": "up"}, patience=60)
    with first.openstack() as openstack:
        key = story.make_key(openstack, folder)
        story.make_network(openstack)
        story.make_security_groups(openstack)
    return Site(first, other, key)


def boot(site: Site, name: str, host: str, address: str) -> story.Server:
    """A server on this host, asked of the controller at this address."""
    (elsewhere,) = {"near", "far"} - {host}
    with site.first.openstack(ADMIN) as admins:
        admins(f"compute service set --disable {elsewhere} nova-compute")
    with site.first.connect() as demo:
        flavor, image = demo.compute.find_flavor(story.FLAVOR).id, demo.image.find_image(story.IMAGE).id
        server = {
            "name": name, "flavorRef": flavor, "imageRef": image, "key_name": story.KEY,
            "networks": [{"uuid": demo.network.find_network(story.NETWORK).id}], "security_groups": [{"name": story.OPEN}],
        }  # fmt: skip
        status, made = ask(address, "POST", "/compute/v2.1/servers", {"server": server}, X_Auth_Token=str(demo.auth_token))
        assert status == 202, made
        built = demo.compute.wait_for_server(demo.compute.get_server(made["server"]["id"]), wait=150)
    with site.first.openstack(ADMIN) as admins:
        admins(f"compute service set --enable {elsewhere} nova-compute")
    with site.first.connect(ADMIN) as admin:
        assert admin.compute.get_server(built.id).hypervisor_hostname == host
    return story.Server(built.id, name, built.addresses[story.NETWORK][0]["addr"])


def test_each_controller_reaches_both_hosts_and_the_networks(site: Site) -> None:
    """Each server is asked of the controller whose machine it is not on."""
    first, other = site.first, site.other
    placed = {"far": first.address, "near": API_THERE}
    built = {name: boot(site, f"on-{name}", name, address) for name, address in placed.items()}
    assert (len(guest_processes(first.home)), len(guest_processes(other.home))) == (1, 1)
    with first.openstack() as openstack:
        floating = [story.give_floating_address(openstack, f"on-{name}") for name in placed]
    near, far = (Guest(first, f"on-{name}", site.key) for name in ("near", "far"))
    near.await_login()
    far.await_login()
    assert near.pings(built["far"].address)
    assert far.pings(built["near"].address)
    metadata = "timeout 5 wget -q -O - http://169.254.169.254/latest/meta-data/hostname"
    assert (near.run(metadata), far.run(metadata)) == ("on-near", "on-far")
    boots = near.boot_id(), far.boot_id()

    for cloud in (first, site.second):
        kill(cloud, "cloud")
        time.sleep(1.0)
        with first.openstack() as openstack:
            story.stop_and_start(openstack, "on-near")
        near.await_login()
        assert near.pings(built["far"].address)
    assert far.boot_id() == boots[1], "nobody has touched it"
    assert near.boot_id() != boots[0]

    other.tiffin("down", "--keep-guests")
    assert far.boot_id() == boots[1]
    assert near.pings(built["far"].address)
    other.tiffin("up")
    with first.openstack() as openstack:
        for address in floating:
            openstack(f"floating ip delete {address}")
        for name in placed:
            openstack(f"server delete --wait on-{name}")
    assert_becomes(lambda: guest_processes(first.home) | guest_processes(other.home), set())
    assert not list((other.home / "host/guests").glob("*"))


def test_a_running_guest_goes_between_the_controllers_machines(site: Site) -> None:
    """Whichever is asked; and whichever is killed meanwhile, of the machine that it leaves or of the other."""
    server = boot(site, "runner", "near", API_THERE)
    with site.first.openstack() as openstack:
        floating = story.give_floating_address(openstack, "runner")
    guest = PatientGuest(site.first, "runner", site.key)
    guest.await_login()
    guest.run("echo precious > /root/data; echo fleeting > /dev/shm/data")
    booted, homes = guest.boot_id(), {"near": site.first.home, "far": site.other.home}
    for number, killed in enumerate((None, None, site.second, site.second, site.first, site.first)):
        left, host, asked = ("far", "near", site.first.address) if number % 2 else ("near", "far", API_THERE)
        if killed is None:
            go(site, server, asked, host)
        else:
            with narrow(site.other):
                go(site, server, asked, host)
                assert_becomes(lambda: "disk_total" in str(last_move(site)), True, patience=60)
                kill(killed, "cloud")
                assert_becomes(lambda: "ways" in str(rows(site.first.home, OF_SERVERS)), True, patience=60)
        assert_becomes(lambda: last_move(site)[0], "completed", patience=120)
        with site.first.connect(ADMIN) as admin:
            assert admin.compute.get_server(server.id).hypervisor_hostname == host
        assert guest.boot_id() == booted
        assert guest.run("head -n1 /root/data; cat /dev/shm/data").split() == ["precious", "fleeting"]
        assert (len(guest_processes(homes[host])), len(guest_processes(homes[left]))) == (1, 0)
        assert not list((homes[left] / "host/guests").glob("*")), "nothing of it is left there"
    with site.first.openstack() as openstack:
        openstack(f"floating ip delete {floating}")
        openstack("server delete --wait runner")


def go(site: Site, server: story.Server, asked: str, host: str) -> None:
    """Have the controller at this address send it there."""
    with site.first.connect(ADMIN) as admin:
        headers = {"X_Auth_Token": str(admin.auth_token), "OpenStack_API_Version": "compute 2.90"}
    body = {"os-migrateLive": {"host": host, "block_migration": "auto"}}
    status, said = ask(asked, "POST", f"/compute/v2.1/servers/{server.id}/action", body, **headers)
    assert status == 202, said


def last_move(site: Site) -> tuple[Any, ...]:
    """Its status and how far it is."""
    found = rows(site.first.home, "SELECT status, progress FROM migration ORDER BY number DESC LIMIT 1")
    return found[0] if found else ("none", None)


def test_the_first_is_away_and_then_gone_for_good(site: Site) -> None:
    """The second starts while the first is away, and what changes networks waits. When it does not come back, the second
    takes the networks over; its own guests go on."""
    other = site.other
    other.tiffin("down")
    site.first.tiffin("down", "--keep-guests")
    other.tiffin("up")
    site.first.tiffin("up")
    stays = boot(site, "stays", "far", API_THERE)
    guests = guest_processes(other.home)
    with site.first.connect() as demo:
        token, flavor = str(demo.auth_token), demo.compute.find_flavor(story.FLAVOR).id
        image, network = demo.image.find_image(story.IMAGE).id, demo.network.find_network(story.NETWORK).id
    with site.first.openstack(ADMIN) as admins:
        admins("compute service set --disable near nova-compute")
    site.first.tiffin("down")

    other.tiffin("down", "--keep-guests")
    settings = other.home / "tiffin.toml"
    settings.write_text(settings.read_text().replace(f'network = "{DOORS[0]}"', 'network = ""'))
    other.tiffin("host", "remove", "near")
    other.tiffin("up")
    server = {"name": "later", "flavorRef": flavor, "imageRef": image, "networks": [{"uuid": network}]}
    status, made = ask(API_THERE, "POST", "/compute/v2.1/servers", {"server": server}, X_Auth_Token=token)
    assert status == 202, made
    wanted = {stays.id: "ACTIVE", made["server"]["id"]: "ACTIVE"}

    def ports() -> dict[str, str]:
        found = ask(API_THERE, "GET", "/network/v2.0/ports?device_owner=compute:nova", X_Auth_Token=token)[1]["ports"]
        return {port["device_id"]: port["status"] for port in found}

    assert_becomes(ports, wanted, patience=120)
    assert len(guest_processes(other.home)) == 2
    assert guests < guest_processes(other.home), "it runs on"
    for id in wanted:
        assert ask(API_THERE, "DELETE", f"/compute/v2.1/servers/{id}", X_Auth_Token=token)[0] == 204
    assert_becomes(lambda: guest_processes(other.home), set(), patience=60)
