"""Trouble in a simulated cloud while it runs, and its time."""

from __future__ import annotations

import stat
import threading
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from api.compute.conftest import ComputeCloud
from tiffin.core import channel
from tiffin.core.channel import Wrong
from tiffin.core.driver import Refused
from tiffin.host.joined import JoinedHosts
from tiffin.main import disk_source, tunnel_source
from tiffin.services.compute import reconcilers
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.image.public import open_image
from tiffin.services.network.drivers.base import NetworkBackend
from tiffin.services.network.public import watch
from tiffin.simulator.clock import SimulatedClock
from tiffin.simulator.control import CALLS, Control
from tiffin.simulator.data_centre import DataCentre, Sources
from tiffin.simulator.hypervisor import SimulatedHypervisor
from tiffin.simulator.network import SimulatedNetwork


class FrozenClock(SimulatedClock):
    """Moves only when it is told to."""

    def __init__(self, cloud: ComputeCloud) -> None:
        super().__init__()
        self._cloud = cloud

    def __call__(self) -> float:
        return self._cloud.clock.now

    def advance(self, seconds: float) -> None:
        super().advance(seconds)
        self._cloud.clock.now += seconds


class Centre(ComputeCloud):
    """A cloud on a data centre of three hosts, and its control."""

    def __init__(self) -> None:
        super().__init__()
        network = SimulatedNetwork()
        names = ["host-1", "host-2", "host-3"]
        self.centre = DataCentre(
            names,
            Sources(
                lambda id: open_image(self.cloud, id),
                lambda name: disk_source(self.cloud, name),
                lambda name: tunnel_source(self.cloud, name),
            ),
            FrozenClock(self),
            network,
        )
        self.cloud.add(NetworkBackend, network)
        self.cloud.add(Hosts, JoinedHosts(self.cloud, Path("/nowhere"), self.centre, self.clock))
        watch(self.cloud)
        self.told: list[float] = []
        self.control = Control(self.centre, self.moved)
        reconcilers.hosts(self.cloud)
        self.furnish()

    def moved(self, ahead: float) -> None:
        self.told.append(ahead)
        reconcilers.hosts(self.cloud)

    def say(self, words: str) -> str:
        return self.control.do(words.split())


@pytest.fixture
def cloud() -> Iterator[Centre]:
    made = Centre()
    yield made
    made.close()


def test_what_can_fail_is_what_a_hypervisor_does() -> None:
    assert all(hasattr(SimulatedHypervisor, call) for call in CALLS)


def test_a_call_fails_so_often_on_one_host(cloud: Centre) -> None:
    cloud.say("fail host-1 ensure_running 2 times")
    told = msgspec.json.decode(cloud.say("show"))
    assert told["fail"] == [{"host": "host-1", "call": "ensure_running", "times": 2}]
    id = cloud.server(networks="none")
    assert cloud.states(id)[0] == "BUILD"
    for _ in range(2):
        cloud.clock.now += 20
        cloud.settle()
    assert cloud.states(id)[0] == "ACTIVE"
    assert msgspec.json.decode(cloud.say("show"))["fail"] == []


def test_a_call_fails_for_good_on_any_host(cloud: Centre) -> None:
    cloud.say("fail * ensure_disks 1 for-good")
    assert "told to fail" in cloud.show(cloud.server(networks="none"))["fault"]["message"]
    assert cloud.states(cloud.server(networks="none"))[0] == "ACTIVE"


def test_a_host_that_is_cut_is_heard_of_no_more(cloud: Centre) -> None:
    cloud.say("cut host-1")
    with pytest.raises(Refused, match="does not answer"):
        cloud.centre.hypervisor("host-1")
    cloud.say("advance 61")
    states = {s["host"]: s["state"] for s in cloud.ok("GET", "/os-services", token="admin")["services"]}
    assert states == {"host-1": "down", "host-2": "up", "host-3": "up"}
    cloud.say("mend host-1")
    cloud.moved(0.0)
    states = {s["host"]: s["state"] for s in cloud.ok("GET", "/os-services", token="admin")["services"]}
    assert set(states.values()) == {"up"}


def test_guests_boot_as_long_as_is_set(cloud: Centre) -> None:
    cloud.say("set boot-seconds 30")
    id = cloud.server(networks="none")
    hypervisor = cloud.centre.hypervisor(cloud.show(id, token="admin")["OS-EXT-SRV-ATTR:host"])
    assert hypervisor.console_log(id, None) == b""
    cloud.say("advance 30")
    assert b"login:" in hypervisor.console_log(id, None)
    assert cloud.told == [30.0]


def test_a_guest_dies(cloud: Centre) -> None:
    id = cloud.server(networks="none")
    cloud.say(f"crash {id}")
    reconcilers.guests(cloud.cloud)
    cloud.settle()
    assert cloud.states(id)[0] == "SHUTOFF"
    assert msgspec.json.decode(cloud.say("show"))["guests"] == 1


@pytest.mark.parametrize(
    "words",
    [
        "",
        "dance",
        "show me",
        "set",
        "set color 1",
        "set boot 1",
        "set boot-seconds x",
        "set boot-seconds -1",
        "set boot-seconds nan",
        "set boot-seconds inf",
        "fail host-1",
        "fail host-9 ensure_running",
        "fail host-1 dance",
        "fail host-1 ensure_running 0",
        "fail host-1 ensure_running x",
        "fail host-1 ensure_running 1001",
        "fail host-1 ensure_running 1 often",
        "cut *",
        "cut host-9",
        "mend host-9",
        "crash nobody",
        "advance -1",
        "advance 1e99",
    ],
)
def test_what_cannot_be_meant_changes_nothing(cloud: Centre, words: str) -> None:
    before = cloud.say("show")
    with pytest.raises(Wrong):
        cloud.say(words)
    assert cloud.say("show") == before
    assert cloud.told == []


def test_the_channel_is_its_owners_alone(tmp_path: Path) -> None:
    folder = tmp_path / ("long" * 40)
    folder.mkdir()
    heard: list[tuple[list[str], str]] = []

    def do(words: list[str]) -> str:
        heard.append((words, threading.current_thread().name))
        if words == ["no"]:
            raise Wrong("not that")
        return "done"

    for _ in range(2):  # the second takes over from a first that was killed
        channel.listen(folder, "x.sock", do)
    assert stat.S_IMODE((folder / "x.sock").stat().st_mode) == 0o600
    assert channel.ask(folder, "x.sock", ["a", "b"]) == (True, "done")
    assert channel.ask(folder, "x.sock", ["no"]) == (False, "not that")
    assert channel.ask(folder, "x.sock", ["x" * 5000])[0] is False
    assert [words for words, _ in heard] == [["a", "b"], ["no"]]
    with pytest.raises(OSError, match="No such file"):
        channel.ask(folder, "y.sock", [])
