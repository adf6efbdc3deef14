"""The daemons of one cloud: started, adopted, healed, and gone without a trace."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from networks import HOST, a_gateway, a_network, a_port, a_router, an_open_group, eventually
from ovn_cloud import fresh_tag, ovn_daemons, ovn_of
from tiffin.core.driver import Refused, StaleTurn, Turn
from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.ovn import Ovn
from tiffin.services.network.drivers.ovn_daemons import Daemons
from tiffin.services.network.drivers.ovs_host import OvsHost

pytestmark = pytest.mark.real
ONE, TWO = Turn(1), Turn(2)
ROLES = {"nb-db", "sb-db", "conf-db", "northd", "vswitchd", "ovn-controller"}


@pytest.fixture
def daemons() -> Iterator[Daemons]:
    with ovn_daemons() as running:
        yield running


def kill(daemons: Daemons, *roles: str) -> None:
    for pid, role in daemons.processes():
        if role in roles:
            os.kill(pid, signal.SIGKILL)
    assert eventually(lambda: not set(roles) & {role for _, role in daemons.processes()})


def interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def test_nothing_is_left_after_stop(tmp_path: Path) -> None:
    before = interfaces()
    daemons = Daemons(tmp_path, fresh_tag(), host=HOST)
    daemons.start()
    processes = [pid for pid, _ in daemons.processes()]
    assert {role for _, role in daemons.processes()} == ROLES | {"vswitchd monitor"}
    assert interfaces() == before
    daemons.stop()
    assert daemons.processes() == []
    assert eventually(lambda: not [pid for pid in processes if Path(f"/proc/{pid}").exists()])
    assert netns.names(daemons.names.prefix) == []
    assert interfaces() == before
    daemons.stop()


def test_start_adopts_what_runs(daemons: Daemons) -> None:
    before = daemons.status()
    assert set(before) == ROLES
    Daemons(daemons.names.root, daemons.names.tag, host=HOST).start()
    assert daemons.status() == before


@pytest.mark.parametrize("roles", [*((role,) for role in sorted(ROLES)), tuple(sorted(ROLES))])
def test_start_heals_what_died_and_leaves_the_rest(daemons: Daemons, roles: tuple[str, ...]) -> None:
    before = daemons.status()
    kill(daemons, *roles)
    daemons.start()
    after = daemons.status()
    assert None not in after.values()
    assert {role for role in ROLES if after[role] != before[role]} == set(roles)


def test_a_switch_that_crashes_comes_back_by_itself(daemons: Daemons) -> None:
    before = daemons.status()["vswitchd"]
    assert before is not None
    os.kill(before, signal.SIGSEGV)
    assert eventually(lambda: daemons.status()["vswitchd"] not in (None, before))


def test_who_watches_starts_what_died_and_says_what_stays_away(daemons: Daemons) -> None:
    before, stopping = daemons.status(), threading.Event()
    watch = threading.Thread(target=daemons.watch, args=(stopping,))
    watch.start()
    try:
        for pid, role in daemons.processes():
            if role in ROLES:
                os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: set(daemons.status().values()).isdisjoint({None, *before.values()}), 20)
        database = daemons.names.central / "nb.db"
        database.rename(database.with_suffix(".away"))
        database.mkdir()  # nobody can serve that
        for pid, role in daemons.processes():
            if role == "nb-db":
                os.kill(pid, signal.SIGKILL)
        assert eventually(lambda: daemons.status()["nb-db"] is None)
        time.sleep(1.0)
        database.rmdir()
        database.with_suffix(".away").rename(database)
        assert eventually(lambda: None not in daemons.status().values(), 20)
    finally:
        stopping.set()
        watch.join()


def test_a_namespace_that_was_removed_comes_back_with_its_daemons(daemons: Daemons) -> None:
    before = daemons.status()
    netns.remove(daemons.names.netns)
    daemons.start()
    after = daemons.status()
    assert {role for role in ROLES if after[role] != before[role]} == {"vswitchd", "ovn-controller"}


def test_two_clouds_live_side_by_side(daemons: Daemons) -> None:
    with ovn_daemons() as other:
        assert {pid for pid, _ in daemons.processes()}.isdisjoint(pid for pid, _ in other.processes())
    assert None not in daemons.status().values()


def test_a_pid_file_of_another_process_is_not_believed(tmp_path: Path) -> None:
    daemons = Daemons(tmp_path, fresh_tag())
    daemons.names.central.mkdir()
    (daemons.names.central / "nb-db.pid").write_text(str(os.getpid()))
    assert daemons.status()["nb-db"] is None
    daemons.stop()


@pytest.mark.parametrize("tag", ["", "tf-", "tf-123456789", "tf-XYZ", "eth0", "tf-1/2"])
def test_a_tag_is_short_and_hexadecimal(tmp_path: Path, tag: str) -> None:
    with pytest.raises(ValueError, match="tag"):
        Daemons(tmp_path, tag)


def test_a_restarted_host_finds_what_is_plugged(daemons: Daemons) -> None:
    port = "12345678-0000-0000-0000-000000000000"
    host = OvsHost(daemons.names, lambda *request: (200, {}, b""))
    tap = host.ensure_plugged(ONE, port, "fa:16:3e:00:00:01", 1442)
    host.close()
    host = OvsHost(daemons.names, lambda *request: (200, {}, b""))
    assert host.plugged() == {port}
    netns.ip("-n", daemons.names.netns, "link", "del", tap)
    assert host.plugged() == frozenset()
    host.ensure_plugged(ONE, port, "fa:16:3e:00:00:01", 1442)
    assert host.plugged() == {port}
    host.close()


def test_what_is_there_already_is_not_written_again(daemons: Daemons) -> None:
    ovn = ovn_of(daemons)
    network, public, group = a_network(), a_network("172.24.4", physical_network="public"), an_open_group()
    router = a_router(gateway=a_gateway(public, "172.24.4.9"))
    port = a_port(network, "10.0.1.5", group.id, hostname="web", extra_dhcp_opts=(("mtu", "1300", 4),))

    def ensure_all() -> None:
        ovn.ensure_network(ONE, network)
        ovn.ensure_network(ONE, public)
        ovn.ensure_port(ONE, port)
        ovn.ensure_security_group(ONE, group)
        ovn.ensure_router(ONE, router)

    ensure_all()
    database = daemons.names.central / "nb.db"
    assert settled(database)
    before = database.stat().st_size
    ensure_all()
    assert database.stat().st_size == before
    ovn.close()


def settled(database: Path) -> bool:
    """Whether northd has written back what it had to say."""
    sizes: list[int] = []

    def still() -> bool:
        sizes.append(database.stat().st_size)
        return len(sizes) > 30 and len(set(sizes[-30:])) == 1

    return eventually(still)


def test_turns_outlive_the_process_that_saw_them(daemons: Daemons) -> None:
    network = a_network()
    first = ovn_of(daemons)
    first.ensure_network(TWO, network)
    first.close()
    second = ovn_of(daemons)
    with pytest.raises(StaleTurn):
        second.ensure_network(ONE, network)
    second.close()


def test_ovn_is_refused_while_its_database_is_away_and_works_when_it_is_back(daemons: Daemons) -> None:
    ovn = Ovn(daemons.names.nb, daemons.names.sb, timeout=1)
    network = a_network()
    ovn.ensure_network(ONE, network)
    kill(daemons, "nb-db")
    with pytest.raises(Refused):
        ovn.ensure_network(TWO, network)
    daemons.start()

    def again() -> bool:
        try:
            ovn.ensure_network(TWO, network)
        except Refused:
            return False
        return True

    assert eventually(again, 15)
    assert ovn.inventory().networks == {network.id}
    ovn.close()


def test_ovn_that_is_not_there_is_refused(tmp_path: Path) -> None:
    ovn = Ovn(tmp_path / "nb.sock", tmp_path / "sb.sock", timeout=1)
    with pytest.raises(Refused):
        ovn.inventory()
    ovn.close()


def test_the_machine_reaches_the_public_network_when_tied_to_it() -> None:
    before = interfaces()
    with ovn_daemons(external="host", gateway=("198.51.100.1/24",)) as daemons:
        assert interfaces() - before == {daemons.names.host_interface}
        assert (
            subprocess.run(
                ["ping", "-c", "1", "-w", "3", "198.51.100.1"], stdout=subprocess.DEVNULL, check=False
            ).returncode
            == 0
        )
    assert interfaces() == before


def test_an_interface_is_lent_to_the_public_network_and_given_back() -> None:
    name = f"tt{os.urandom(3).hex()}"
    netns.ip("link", "add", name, "type", "veth", "peer", "name", f"{name}p")
    try:
        with ovn_daemons(external=f"interface:{name}") as daemons:
            assert netns.has(daemons.names.netns, name)
            daemons.start()
        assert name in interfaces()
    finally:
        netns.ip("link", "del", name)


@pytest.mark.parametrize("external", ["", "elsewhere", "interface:", "host:eth0", "interface:../etc", "interface:-n"])
def test_an_unknown_external_side_is_refused(tmp_path: Path, external: str) -> None:
    with pytest.raises(ValueError, match=r"external|interface"):
        Daemons(tmp_path, fresh_tag(), external=external)
