"""How to make trouble in the simulated hypervisor, and how it tells time."""
from __future__ import annotations

import pytest

from drivers.hypervisor_labs import ONE, SimulatedLab
from tiffin.core.driver import Impossible, Refused, StaleTurn, Turn
from tiffin.simulator.hypervisor import SimulatedHypervisor, Timing
from tiffin.simulator.world import Troubles


class Killed(BaseException):
    """What a crash test raises: nothing catches it."""


def test_trouble_comes_for_a_call_and_an_id_so_many_times() -> None:
    lab, troubles = SimulatedLab(), Troubles()
    lab.hypervisor = SimulatedHypervisor(lab.source, lambda: 0.0, lab.world, fate=troubles)
    guest, other = lab.guest(), lab.guest()
    troubles.set("ensure_disks", guest.id, Refused("no room"), times=2)
    lab.build(other)
    for _ in range(2):
        with pytest.raises(Refused, match="no room"):
            lab.build(guest)
    lab.build(guest)
    troubles.set("ensure_running", "*", Impossible("no"))
    with pytest.raises(Impossible):
        lab.hypervisor.ensure_running(ONE, other)
    lab.hypervisor.ensure_running(ONE, guest)


def test_fate_is_asked_before_and_after_every_effect() -> None:
    lab, heard = SimulatedLab(), list[str]()
    guest = lab.guest()

    def fate(point: str) -> None:
        heard.append(point)
        if point == f"ensure_running/{guest.id}!":
            raise Killed

    lab.hypervisor = SimulatedHypervisor(lab.source, lambda: 0.0, lab.world, fate=fate)
    lab.build(guest)
    with pytest.raises(Killed):
        lab.hypervisor.ensure_running(ONE, guest)
    calls = ("ensure_image", "ensure_disks", "ensure_running")
    assert heard == [f"{call}/{guest.id}{mark}" for call in calls for mark in "?!"]
    assert lab.power(guest) == "running", "the effect had happened"


def test_who_is_slow_before_an_effect_finds_his_turn_gone() -> None:
    lab = SimulatedLab()
    guest = lab.build(lab.guest())
    successor = lab.hypervisor

    def slow(point: str) -> None:
        successor.ensure_stopped(Turn(2), guest.id, 0)

    late = SimulatedHypervisor(lab.source, lambda: 0.0, lab.world, fate=slow)
    with pytest.raises(StaleTurn):
        late.ensure_running(ONE, guest)
    assert lab.power(guest) == "shutdown"


def test_booting_takes_its_time() -> None:
    lab = SimulatedLab()
    lab.hypervisor = SimulatedHypervisor(lab.source, lambda: lab.now, lab.world, timing=Timing(boot=10, shutdown=5))
    guest = lab.build(lab.guest(hostname="web-1"))
    lab.hypervisor.ensure_running(ONE, guest)
    assert lab.hypervisor.console_log(guest.id, None) == b""
    lab.now += 10
    console = lab.hypervisor.console_log(guest.id, None).decode()
    assert console.startswith("[    0.000000] Linux version")
    assert console.endswith("web-1 login: ")
    assert not lab.hypervisor.ensure_stopped(ONE, guest.id, 60)
    lab.now += 5
    assert lab.hypervisor.ensure_stopped(ONE, guest.id, 60)
