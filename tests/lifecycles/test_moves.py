"""Resize, cold migration and evacuation, killed, refused and outrun at every point."""

from __future__ import annotations

import contextlib
import socket
from typing import Any

import pytest
from sqlalchemy import select, update

from api.compute.conftest import ComputeCloud
from lifecycles.harness import Fate, crash_tests
from tiffin.core.asker import Itself
from tiffin.core.tables import LifecycleRow
from tiffin.services.compute import reconcilers
from tiffin.services.compute.resources.server_moves import go_cold
from tiffin.services.compute.tables import ComputeHost, Migration, Server
from tiffin.services.placement.tables import Allocation, Consumer
from tiffin.simulator.hypervisor import Timing
from tiffin.simulator.world import SimulatedGuest


class MoveTrial:
    """A server with a config drive, on two hosts that share one fate, and that never runs on both."""

    hosts: tuple[str, ...] = ("host-1", "host-2")

    def __init__(self, fate: Fate) -> None:
        self.begun, self.fate, self.timing = False, fate, Timing()
        self.cloud = ComputeCloud(fate=self.meet, timing=self.timing)
        self.cloud.furnish()
        self.larger = self.cloud.flavor("larger", ram=1024, vcpus=2, disk=2)
        self.id = self.cloud.server(config_drive=True)
        self.cloud.world.guests[self.id].written = b"what the user has made"
        for name in self.hosts[1:]:
            self.cloud.add_host(name, fate=self.meet, timing=self.timing)
        self.hear_of_all()
        self.prepare()

    def hear_of_all(self, *but: str) -> None:
        """Hosts are heard of for as long as the trial may last."""
        with self.cloud.cloud.database.write() as session:
            alive = update(ComputeHost).where(ComputeHost.name.not_in(but))
            session.execute(alive.values(seen_at=self.cloud.clock.now + 1e6))

    def meet(self, point: str) -> None:
        assert len(self.running()) < 2, f"two copies at {point}"
        if self.begun:
            self.fate(point)

    def prepare(self) -> None:
        """What has happened before."""

    def act(self, name: str, args: Any = None) -> None:
        self.begun = True
        assert self.cloud.act(self.id, name, args, token="admin").status < 300

    def delete(self) -> None:
        assert self.cloud.do("DELETE", f"/servers/{self.id}", token="admin").status == 204

    def running(self) -> list[str]:
        return [name for name, world in self.cloud.worlds.items()
                if self.id_or_none in world.guests and world.guests[self.id_or_none].power == "running"]  # fmt: skip

    @property
    def id_or_none(self) -> str:
        return getattr(self, "id", "")

    def host(self) -> str:
        return str(self.cloud.show(self.id, token="admin")["OS-EXT-SRV-ATTR:host"])

    def held(self) -> dict[str, str]:
        """{type of consumer: host}"""
        query = select(Consumer.type, ComputeHost.name).join(Allocation, Allocation.consumer_id == Consumer.id)
        with self.cloud.cloud.database.read() as session:
            rows = session.execute(query.join(ComputeHost, ComputeHost.id == Allocation.provider_id).distinct())
            return {row[0]: row[1] for row in rows}

    def last_move(self) -> tuple[str, bool]:
        with self.cloud.cloud.database.read() as session:
            row = session.execute(select(Migration).order_by(Migration.number.desc()).limit(1)).scalar_one()
            return row.status, row.settled

    def check_whole(self, host: str, *, aside: str | None) -> None:
        """It runs here with all that it has, and beside what was set aside nothing is left of it anywhere else."""
        assert self.running() == [host] == [self.host()]
        guest = self.cloud.worlds[host].guests[self.id]
        assert (guest.written, bool(guest.config_drive)) == (b"what the user has made", True)
        there = {name for name, world in self.cloud.worlds.items() if self.id in world.guests}
        assert there == {host, aside or host}
        assert {name for name, world in self.cloud.worlds.items() for g in world.guests.values() if g.kept} == (
            {aside} if aside else set()
        )
        ports = {port["id"] for port in self.cloud.ports(self.id)}
        assert {name: set(self.cloud.plugs(name).plugged()) for name in self.hosts} == {
            name: ports if name == host else set() for name in self.hosts
        }
        assert self.held() == {"INSTANCE": host, **({"MIGRATION": aside} if aside else {})}

    def check_failed(self) -> None:
        """It is as promised, as it was, or in ERROR with a reason; whatever is left is still promised to somebody."""
        status, _, task_state, _ = self.cloud.states(self.id)
        assert task_state is None
        if status == "ERROR":
            assert "refused at" in self.cloud.show(self.id, token="admin")["fault"]["message"]
        else:
            assert status in ("ACTIVE", "VERIFY_RESIZE")
            assert self.running() == [self.host()]

    def check_gone(self) -> None:
        reconcilers.metadata(self.cloud.cloud)  # for a host that refused, it is the reconciler who asks again
        self.cloud.settle()
        assert self.cloud.do("GET", f"/servers/{self.id}", token="admin").status == 404
        assert all(world.guests == {} for world in self.cloud.worlds.values())
        assert self.held() == {}
        for name in self.hosts:
            network = self.cloud.plugs(name)
            assert (network.plugged(), network.metadata_networks()) == (frozenset(), frozenset())
        with self.cloud.cloud.database.read() as session:
            assert list(session.scalars(select(Server.vm_state))) == ["deleted"]
            assert "compute.server" not in session.scalars(select(LifecycleRow.kind)).all()
            assert set(session.scalars(select(Migration.settled))) <= {True}


class MigrateTrial(MoveTrial):
    def begin(self) -> None:
        self.act("migrate")

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("VERIFY_RESIZE", "resized", None, 1)
        self.check_whole("host-2", aside="host-1")
        assert self.last_move() == ("finished", False)


class ResizeHereTrial(MoveTrial):
    hosts = ("host-1",)

    def begin(self) -> None:
        self.act("resize", {"flavorRef": self.larger})

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("VERIFY_RESIZE", "resized", None, 1)
        self.check_whole("host-1", aside="host-1")
        assert self.cloud.world.guests[self.id].disk == 2 << 30


class ConfirmTrial(MoveTrial):
    def prepare(self) -> None:
        self.cloud.act(self.id, "migrate", token="admin")
        self.cloud.settle()

    def begin(self) -> None:
        self.act("confirmResize")

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-2", aside=None)
        assert self.last_move() == ("confirmed", True)


class EmptyTrial(MoveTrial):
    """A host is emptied: nobody has to confirm."""

    def begin(self) -> None:
        self.begun = True
        with self.cloud.cloud.database.write() as session:
            server = session.scalars(select(Server).where(Server.id == self.id)).one()
            go_cold(Itself(self.cloud.cloud.world, session), server, emptying=True)

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-2", aside=None)
        assert self.last_move() == ("confirmed", True)
        listed = self.cloud.ok("GET", f"/servers/{self.id}/os-instance-actions", token="admin")["instanceActions"]
        assert [one["action"] for one in listed] == ["confirmResize", "migrate", "create"]


class RevertTrial(ConfirmTrial):
    def begin(self) -> None:
        self.act("revertResize")

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-1", aside=None)
        assert self.last_move() == ("reverted", True)


class RevertHereTrial(MoveTrial):
    hosts = ("host-1",)

    def prepare(self) -> None:
        self.cloud.act(self.id, "resize", {"flavorRef": self.larger})
        self.cloud.settle()

    def begin(self) -> None:
        self.act("revertResize")

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-1", aside=None)
        assert self.cloud.world.guests[self.id].disk == 1 << 30


class EvacuateTrial(MoveTrial):
    """Its host is cut off, and answers again when all is done: it loses its copy before it counts as running here."""

    def prepare(self) -> None:
        self.gone = self.cloud.hosts.there.pop("host-1")
        self.cloud.clock.now += 100.0
        self.hear_of_all("host-1")
        with self.cloud.cloud.database.write() as session:
            session.execute(update(ComputeHost).where(ComputeHost.name == "host-1").values(seen_at=0.0))

    def running(self) -> list[str]:
        """Who is cut off is out of sight."""
        return [name for name in super().running() if name in self.cloud.hosts.there]

    def begin(self) -> None:
        self.begun = True
        assert self.cloud.act(self.id, "evacuate", {}, token="admin", at="compute 2.94").status == 200

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        assert self.running() == [self.host()] == ["host-2"]
        assert self.held() == {"INSTANCE": "host-2"}
        assert self.last_move() == ("done", True)
        self.answer_again()
        assert [name for name, world in self.cloud.worlds.items() if self.id in world.guests] == ["host-2"]
        assert self.cloud.plugs("host-1").plugged() == frozenset()

    def answer_again(self) -> None:
        self.fate.spare()
        if "host-1" in self.cloud.hosts.there:
            return
        assert self.cloud.worlds["host-1"].guests[self.id].power == "running", "all the while"
        self.cloud.hosts.there["host-1"] = self.gone
        self.begun = False
        for reconcile in (reconcilers.guests, reconcilers.plugs, reconcilers.metadata):
            reconcile(self.cloud.cloud)
            self.cloud.settle()

    def meet(self, point: str) -> None:
        if self.begun:
            super().meet(point)

    def check_gone(self) -> None:
        self.answer_again()
        super().check_gone()


class LiveTrial(MoveTrial):
    """It executes on one host at every point, but for the moment when it goes over."""

    def prepare(self) -> None:
        self.timing.migration = 0.01

    def begin(self) -> None:
        self.starts = self.cloud.world.guests[self.id].starts
        self.act("os-migrateLive", {"host": None, "block_migration": "auto"})

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-2", aside=None)
        assert self.cloud.worlds["host-2"].guests[self.id].starts == self.starts
        assert self.last_move() == ("completed", True)

    def check_failed(self) -> None:
        """Whatever happens, it has not been started anew."""
        super().check_failed()
        if self.cloud.states(self.id)[0] == "ACTIVE":
            assert self.cloud.worlds[self.host()].guests[self.id].starts == self.starts


class PausedLiveTrial(LiveTrial):
    def prepare(self) -> None:
        super().prepare()
        self.cloud.act(self.id, "pause")
        self.cloud.settle()

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("PAUSED", "paused", None, 3)
        assert [name for name, world in self.cloud.worlds.items() if self.id in world.guests] == ["host-2"]
        assert self.running() == []
        assert self.last_move() == ("completed", True)

    def check_failed(self) -> None:
        status, _, task_state, _ = self.cloud.states(self.id)
        assert (status in ("PAUSED", "ERROR"), task_state, self.running()) == (True, None, [])


class AbortTrial(LiveTrial):
    """Aborted when it is on its way: it never was away."""

    def begin(self) -> None:
        super().begin()
        (move,) = self.cloud.ok("GET", f"/servers/{self.id}/migrations", token="admin")["migrations"]
        reply = self.cloud.do("DELETE", f"/servers/{self.id}/migrations/{move['id']}", token="admin")
        assert reply.status == 202

    def check_promise(self) -> None:
        assert self.cloud.states(self.id) == ("ACTIVE", "active", None, 1)
        self.check_whole("host-1", aside=None)
        assert self.last_move() == ("cancelled", True)


class LateAbortTrial(AbortTrial):
    def begin(self) -> None:
        LiveTrial.begin(self)
        self.begun = False
        self.timing.migration = 1e9
        self.cloud.settle()
        self.begun = True
        (move,) = self.cloud.ok("GET", f"/servers/{self.id}/migrations", token="admin")["migrations"]
        assert self.cloud.do("DELETE", f"/servers/{self.id}/migrations/{move['id']}", token="admin").status == 202


class RelayTrial(LiveTrial):
    """Whoever is killed relayed: the ways end, and what was on them is lost. It sets out anew."""

    def prepare(self) -> None:
        super().prepare()
        self.fate.last_breath = self.die

    def die(self) -> None:
        for guest in [world.guests[self.id] for world in self.cloud.worlds.values() if self.id in world.guests]:
            cut(guest)


def cut(guest: SimulatedGuest) -> None:
    """What it goes and comes by breaks off."""
    for stream in (guest.coming or {}).values():
        with contextlib.suppress(BlockingIOError):
            while stream.socket.recv(65536):
                pass
    for way in guest.departure.ways.values() if guest.departure else ():
        with contextlib.suppress(OSError):  # closed already
            way.shutdown(socket.SHUT_RDWR)


TestLive = crash_tests(LiveTrial, every=3)
TestRelay = crash_tests(RelayTrial, every=3)
TestPausedLive = pytest.mark.long(crash_tests(PausedLiveTrial))
TestAbort = crash_tests(AbortTrial, every=3)
TestLateAbort = pytest.mark.long(crash_tests(LateAbortTrial))
TestMigrate = crash_tests(MigrateTrial, every=2)
TestResizeHere = crash_tests(ResizeHereTrial, every=3)
TestEmpty = crash_tests(EmptyTrial, every=2)
TestConfirm = crash_tests(ConfirmTrial, every=2)
TestRevert = crash_tests(RevertTrial, every=2)
TestRevertHere = crash_tests(RevertHereTrial, every=3)
TestEvacuate = crash_tests(EvacuateTrial, every=2)
