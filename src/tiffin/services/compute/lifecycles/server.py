"""The life of a server: scheduled, built, run, and torn down."""

from __future__ import annotations

from sqlalchemy import delete

from tiffin.core.driver import Impossible
from tiffin.core.lifecycle import Outcome, done, go, inside, outside, rest, sleep
from tiffin.services.compute import rules
from tiffin.services.compute.drivers.base import Hosts
from tiffin.services.compute.host_rows import build_ended
from tiffin.services.compute.lifecycles import scheduling, wiring
from tiffin.services.compute.lifecycles.live import LiveMoving
from tiffin.services.compute.lifecycles.moving import promised
from tiffin.services.compute.lifecycles.parts import KIND, LOOK
from tiffin.services.compute.resources import instance_actions as log
from tiffin.services.compute.scheduler.model import NoHost
from tiffin.services.compute.tables import Server, ServerTag
from tiffin.services.image import public as image
from tiffin.services.placement import public as placement

_INTO = {"active": rules.RUNNING, "stopped": rules.SHUTDOWN, "paused": rules.PAUSED}
_FATAL = ("start", "build", "built", "rebuild", "wipe")
"""Steps whose failure leaves a server in ERROR; after the failure of any other it is what it was."""


class ServerLife(LiveMoving):
    requests = {  # noqa: RUF012  (a ClassVar by its base)
        "stop": "stop",
        "start": "power_on",
        "reboot": "reboot",
        "pause": "pause",
        "unpause": "unpause",
        "snapshot": "snapshot",
        "attach": "attach",
        "detach": "detach",
        "rebuild": "rebuild",
        "sync": "sync",
        "resize": "resize",
        "confirm": "confirm",
        "revert": "retreat",
        "evacuate": "evacuate",
        "leave": "leave",
        "live_migrate": "live_migrate",
        "recall": "recall",
    }

    # --- building -------------------------------------------------------------------------------------------------------

    @inside
    def start(self) -> Outcome:
        row, refused = self._row(), self.frame.get("refused_by", ())
        try:
            scheduling.place(self.cloud, self.db, row, avoid=refused)
        except NoHost as none:
            self._fail(row, self.reason if refused else f"No valid host was found. {none}")
            return rest()
        row.task_state = "spawning"
        self._bind(row)
        return go("build")

    @outside
    def build(self) -> Outcome:
        found = self._wiring()
        hypervisor = self._hypervisor(found)
        for one in wiring.images(found.server):
            hypervisor.ensure_image(self.turn, self.id, one)
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        hypervisor.ensure_disks(self.turn, guest)
        if found.server.config_drive:
            kept = found.server.admin_password
            password = self.cloud.secrets.decrypt(kept).decode() if kept else None
            hypervisor.ensure_config_drive(self.turn, self.id, wiring.config_drive(found, self.cloud.world, password))
        hypervisor.ensure_running(self.turn, guest)
        return go("built")

    @inside
    def built(self) -> Outcome:
        row = self._row()
        build_ended(self.db, str(row.host), well=True)
        row.vm_state, row.power_state, row.fault = "active", rules.RUNNING, None
        row.launched_at, row.admin_password = self.now, None
        self.frame.pop("refused_by", None)
        self._evacuated("done")
        if self.frame.pop("was_stopped", False):
            row.task_state = "powering-off"
            return go("halt")
        return self._settled(row, "create.end" if "rebuilt" not in self.frame else "rebuild.end")

    @outside
    def unbuild(self) -> Outcome:
        """Have nothing left on the host where the build has failed."""
        self._forget_on(str(self._wiring().server.host))
        return go("unbuilt")

    @inside
    def unbuilt(self) -> Outcome:
        """No host has it, and it has no room; another host is tried when it was this one that refused."""
        row, host = self._row(), str(self._row().host)
        tried = [*self.frame.get("refused_by", ()), host]
        self._leave_metadata(host)
        placement.release(self.db, self.id)
        row.host = row.node = None
        self._bind(row)
        self.frame["reason"] = self.frame.pop("unbuilt")
        if self.frame.pop("was_refused"):
            build_ended(self.db, host, well=False)
            if len(tried) < self.cloud.service("compute").settings.scheduler.max_attempts and not row.forced_host:
                self.frame["refused_by"], row.task_state = tried, "scheduling"
                return go("start")
        self._fail(row, self.reason)
        return rest()

    @inside
    def rebuild(self) -> Outcome:
        self.frame["was_stopped"] = bool(self.args.get("was_stopped"))
        self.frame["rebuilt"] = True
        return go("wipe")

    @outside
    def wipe(self) -> Outcome:
        """A rebuilt server starts from nothing but its ports."""
        self._hypervisor(self._wiring()).forget_guest(self.turn, self.id)
        return go("build")

    # --- power ----------------------------------------------------------------------------------------------------------

    @outside
    def power_on(self) -> Outcome:
        found = self._wiring()
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        self._hypervisor(found).ensure_running(self.turn, guest)
        return self._into("active")

    @outside
    def stop(self) -> Outcome:
        graceful = self.cloud.service("compute").settings.shutdown_seconds
        stopped = self._hypervisor(self._wiring()).ensure_stopped(self.turn, self.id, graceful)
        return self._into("stopped") if stopped else sleep(LOOK)

    @outside
    def halt(self) -> Outcome:
        """Stop without asking the guest."""
        stopped = self._hypervisor(self._wiring()).ensure_stopped(self.turn, self.id, 0.0)
        return self._into("stopped") if stopped else sleep(LOOK)

    @outside
    def reboot(self) -> Outcome:
        found = self._wiring()
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        graceful = self.cloud.service("compute").settings.shutdown_seconds
        key, hard = str(self.frame["request"]["request_id"]), bool(self.args["hard"])
        rebooted = self._hypervisor(found).ensure_rebooted(self.turn, guest, key, hard, graceful)
        return self._into("active") if rebooted else sleep(LOOK)

    @outside
    def pause(self) -> Outcome:
        self._hypervisor(self._wiring()).ensure_paused(self.turn, self.id)
        return self._into("paused")

    @outside
    def unpause(self) -> Outcome:
        found = self._wiring()
        guest = wiring.guest(found.server, wiring.plug(self.part(Hosts), self.turn, found))
        self._hypervisor(found).ensure_running(self.turn, guest)
        return self._into("active")

    @inside
    def settle(self) -> Outcome:
        """The guest is where it was asked to be."""
        row = self._row()
        row.vm_state = self.frame.pop("into")
        row.power_state, row.fault = _INTO[row.vm_state], None
        return self._settled(row, "power")

    # --- snapshots ------------------------------------------------------------------------------------------------------

    @inside
    def snapshot(self) -> Outcome:
        self.frame["snapshot"] = self.args["image_id"]
        self._row().task_state = "image_uploading"
        return go("upload")

    @outside
    def upload(self) -> Outcome:
        hypervisor, id = self._hypervisor(self._wiring()), str(self.frame["snapshot"])
        made = hypervisor.ensure_snapshot(self.turn, self.id, id)
        if made is None:
            return sleep(LOOK)
        try:
            image.finish_image(
                self.cloud, id, hypervisor.read_snapshot(id), disk_format=made.disk_format, request_id=self.request_id
            )
        except Impossible as no:  # the user deleted the image meanwhile, or it was judged unfit
            self.frame["unfit"] = str(no)
        hypervisor.forget_snapshot(self.turn, id)
        return go("uploaded")

    @inside
    def uploaded(self) -> Outcome:
        id, unfit = self.frame.pop("snapshot"), self.frame.pop("unfit", None)
        if unfit:
            self._fail_image(id, unfit)
        return self._settled(self._row(), "snapshot.end", error=unfit)

    # --- interfaces -----------------------------------------------------------------------------------------------------

    @outside
    def attach(self) -> Outcome:
        found = self._wiring()
        nics = wiring.plug(self.part(Hosts), self.turn, found)
        for nic in nics:
            if nic.port_id == self.args["port_id"]:
                self._hypervisor(found).ensure_nic(self.turn, self.id, nic)
        return go("attached")

    @inside
    def attached(self) -> Outcome:
        return self._settled(self._row(), "interface.attach.end")

    @outside
    def detach(self) -> Outcome:
        found, port_id = self._wiring(), str(self.args["port_id"])
        self._hypervisor(found).forget_nic(self.turn, self.id, port_id)
        self.part(Hosts).network(str(found.server.host)).forget_plugged(self.turn, port_id)
        return go("detached")

    @inside
    def detached(self) -> Outcome:
        self._let_go(str(self.args["port_id"]))
        return self._settled(self._row(), "interface.detach.end")

    # --- reality --------------------------------------------------------------------------------------------------------

    @outside
    def sync(self) -> Outcome:
        """See what the guest does, and have a running one plugged."""
        found = self._wiring()
        if found.server.host is None:
            return rest()
        state = self._hypervisor(found).state(self.id)
        if state.power in ("running", "paused"):
            wiring.plug(self.part(Hosts), self.turn, found)
        self.frame["seen"] = {"power": state.power, "reason": state.reason}
        return go("synced")

    @inside
    def synced(self) -> Outcome:
        row, seen = self._row(), self.frame.pop("seen")
        if row.task_state is not None or row.vm_state not in ("active", "paused", "stopped"):
            return rest()
        power = rules.POWER[seen["power"]]
        if rules.as_promised(row.vm_state, row.power_state, power):
            return rest()
        row.power_state, row.updated_at = power, self.now
        if seen["power"] in ("shutdown", "crashed", "absent"):
            if row.vm_state != "stopped":
                row.vm_state = "stopped"
                after = {"power": seen["power"], "reason": seen["reason"]}
                self.record("power_off.unasked", KIND, after=after, project_id=row.project_id)
        elif row.vm_state == "stopped":
            return go("halt")
        elif row.vm_state == "active" and seen["power"] == "paused":
            return go("unpause")
        return rest()

    # --- the ways down --------------------------------------------------------------------------------------------------

    @inside
    def failed(self) -> Outcome:
        row, step = self._row(), str(self.frame.get("failed_step", self.step))
        if step in ("sweep", "leave"):
            return rest()
        if row.vm_state == "building" and row.host is not None:
            return self._not_built(step)
        if (turned := self._move_failed(row, step)) is not None:
            return turned
        left: dict[str, str] = {}
        if "snapshot" in self.frame:
            left["snapshot"] = self.frame.pop("snapshot")
            self._fail_image(left["snapshot"], self.reason)
        if step in ("attach", "attached"):
            left["port"] = str(self.args["port_id"])
            self._let_go(left["port"])
        fatal = row.vm_state == "building" or step in _FATAL or (step == "reboot" and self.args.get("hard"))
        if fatal:
            self._evacuated("failed")
            if step == "build" and self.frame.get("refusal"):  # by the host, not for what the user brought
                build_ended(self.db, str(row.host), well=False)
            self._fail(row, self.reason)
            return rest()
        self._settled(row, f"{step}.error", error=self.reason)
        if not left:
            return rest()
        self.frame["left"] = left
        return go("sweep")

    def _not_built(self, step: str) -> Outcome:
        """What a silent host still has goes when that host answers again: no row names it any more."""
        if step in ("unbuild", "unbuilt"):
            return go("unbuilt")
        self.frame |= {"unbuilt": self.reason, "was_refused": bool(self.frame.get("refusal"))}
        return go("unbuild")

    @outside
    def sweep(self) -> Outcome:
        """Forget on the host what a failed request left there; the teardown does the same if this is refused."""
        left, found = self.frame["left"], self._wiring()
        self._forget_left(left, found)
        self.frame.pop("left")
        return rest()

    def _forget_left(self, left: dict[str, str], found: wiring.Wiring) -> None:
        hypervisor = self._hypervisor(found)
        if "snapshot" in left:
            hypervisor.forget_snapshot(self.turn, left["snapshot"])
        if "port" in left:
            hypervisor.forget_nic(self.turn, self.id, left["port"])
            self.part(Hosts).network(str(found.server.host)).forget_plugged(self.turn, left["port"])

    @outside
    def teardown(self) -> Outcome:
        found = self._wiring()
        if found.server.host is None:
            return go("gone")
        with self.read() as session:
            places = {found.server.host, *promised(session, self.id)}
        for host in sorted(places):
            self._forget_on(host)
        if "snapshot" in self.frame:
            self._hypervisor(found).forget_snapshot(self.turn, str(self.frame["snapshot"]))
        self._forget_left(self.frame.get("left", {}), found)
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        row = self._row()
        self.db.execute(delete(ServerTag).where(ServerTag.server_id == self.id))
        placement.release(self.db, self.id)
        self._settle_moves()
        if "snapshot" in self.frame:
            self._fail_image(str(self.frame["snapshot"]), "The server was deleted.")
        row.vm_state, row.task_state, row.power_state = "deleted", None, rules.NOSTATE
        row.deleted_at = row.terminated_at = row.updated_at = self.now
        self._leave_networks(row)
        row.user_data = row.files = row.admin_password = None
        log.finish(self.db, self.now, (self.id, self.request_id), host=row.host)
        self.record("delete.end", KIND, project_id=row.project_id)
        return done()

    def late(self) -> None:
        row = self._row()
        row.fault = self._fault(self.reason)
        row.vm_state, row.updated_at = "error", self.now

    def _leave_networks(self, row: Server) -> None:
        """Let the ports go, and metadata where no other server is left."""
        if row.host:
            self._leave_metadata(row.host)
        for port_id in self._ports():
            self._let_go(port_id)

    def _into(self, state: str) -> Outcome:
        self.frame["into"] = state
        return go("settle")
