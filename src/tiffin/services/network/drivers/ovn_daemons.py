"""The processes of OVN for one cloud: its two databases, northd, and one chassis in a network namespace of its own.

Everything lives below one folder and speaks over unix sockets, so that clouds live side by side on one machine, and the
machine's own network stays untouched. Standard library only: this is on the path of every start."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.ovn_chassis import Place, configure, wait_for_bridges, wait_for_chassis
from tiffin.services.network.drivers.ovn_external import External
from tiffin.services.network.drivers.ovn_names import Names
from tiffin.services.network.drivers.ovn_tunnels import Tunnels, connect, disconnect, listen
from tiffin.services.network.drivers.ovsdb_rpc import OvsdbFailed

_SCHEMAS = {
    "nb": "/usr/share/ovn/ovn-nb.ovsschema",
    "sb": "/usr/share/ovn/ovn-sb.ovsschema",
    "conf": "/usr/share/openvswitch/vswitch.ovsschema",
}
_QUIET = ("-vconsole:off", "--detach", "--no-chdir")
_PATIENCE = 15.0  # seconds for a database on another machine to be reached
_LOG_LIMIT = 8 << 20  # bytes; a longer log is put aside at the next start
_LOOK, _LOOK_LATER = 0.5, 30.0  # seconds between two looks at what runs; and at most, where nothing can be started


class DaemonFailed(Exception):
    """A daemon of OVN or Open vSwitch did not start or did not end; the message says which and where its log is."""


@dataclass(frozen=True)
class Daemon:
    """One process as it should be."""

    role: str
    program: str
    arguments: tuple[str, ...]
    folder: Path
    netns: str | None = None

    @property
    def pid_file(self) -> Path:
        return self.folder / f"{self.role}.pid"

    @property
    def log(self) -> Path:
        return self.folder / f"{self.role}.log"

    def pid(self) -> int | None:
        """Its process, if it runs, is really it, and lives in the namespace of today."""
        pid = _recorded(self.pid_file)
        if pid is None or not self.is_me(pid):
            return None
        return pid

    def is_me(self, pid: int) -> bool:
        try:
            command = Path(f"/proc/{pid}/cmdline").read_bytes()
        except OSError:
            return False
        return self.program.encode() in command and os.fsencode(self.pid_file) in command

    def in_its_namespace(self, pid: int) -> bool:
        """False after somebody removed the namespace under it: it then works for interfaces that nobody can reach."""
        if self.netns is None:
            return True
        try:
            return os.stat(f"/proc/{pid}/ns/net").st_ino == netns.inode(self.netns)
        except OSError:
            return False


class Daemons:
    """Start, adopt, watch and end the daemons of the cloud `tag` below `root`.

    `gateway` are the addresses (with prefix length) that the outside namespace has on the public network: those of the
    public subnets' gateways, or, where a real router has these (`external="interface:NAME"`), free ones. `external`
    is `isolated`, `host`, `host+masquerade` or `interface:NAME`, see `ovn_external`. `tunnels` where there are several
    chassis; a member has no central part and no outside of its own."""

    def __init__(
        self,
        root: Path,
        tag: str,
        *,
        host: str = "localhost",
        gateway: tuple[str, ...] = ("172.24.4.1/24",),
        external: str = "isolated",
        tunnels: Tunnels | None = None,
    ) -> None:
        self.names = Names(root.resolve(), tag, host)
        self._external = External(self.names, gateway, external)
        self._tunnels = tunnels
        self._place = Place(str(tunnels.underlay.address.ip), tunnels.southbound) if tunnels else Place()
        self._member = tunnels is not None and tunnels.member
        self._daemons = {daemon.role: daemon for daemon in _daemons(self.names, tunnels)}

    def start(self) -> None:
        """Have everything running: adopts what runs, heals what died, and returns when the chassis is known to OVN.

        Raises `DaemonFailed`, `netns.NetworkCommandFailed` or `ovsdb_rpc.OvsdbFailed`."""
        for folder in (self.names.central, self.names.chassis):
            folder.mkdir(0o700, parents=True, exist_ok=True)
        with ThreadPoolExecutor(8, thread_name_prefix="ovn start") as pool:
            spaces = pool.submit(self._namespaces)
            conf = pool.submit(self._database, "conf")
            central = [] if self._member else [pool.submit(self._database, which) for which in ("nb", "sb")]
            northd = None if self._member else pool.submit(self._after, central, "northd")
            _ = conf.result(), spaces.result()
            running = self.status()
            keep_flows = bool(running["vswitchd"]) and not running["ovn-controller"]
            configure(self.names, keep_flows=keep_flows, place=self._place)
            switch = [pool.submit(self._after, [], role) for role in ("vswitchd", "ovn-controller")]
            for step in (*central, *switch):
                step.result()
            wait_for_bridges(self.names, self._place)
            if self._tunnels is not None:
                connect(self.names, self._tunnels.underlay)
            if northd is None:
                if self._tunnels is not None and not self._tunnels.patient:
                    self._wait_for_southbound()
                return
            self._external.connect()
            northd.result()
            if self._tunnels is not None and self._tunnels.listen is not None:
                listen(self.names, self._tunnels.listen)
            wait_for_chassis(self.names)

    def _wait_for_southbound(self) -> None:
        """Return when this chassis has reached the database on the other machine."""
        chassis, deadline = self.names.chassis, time.monotonic() + _PATIENCE
        ask = ["ovn-appctl", "-t", "ovn-controller", "connection-status"]
        while _run(ask, os.environ | {"OVN_RUNDIR": str(chassis)}).strip() != "connected":
            if time.monotonic() > deadline:
                raise DaemonFailed(f"ovn-controller does not reach {self._place.southbound}, see {chassis}")
            time.sleep(0.1)

    def watch(self, stopping: threading.Event) -> None:
        """Until `stopping` is set, have started again what died."""
        import structlog

        log, pause = structlog.get_logger("network"), _LOOK
        while not stopping.wait(pause):
            dead = [role for role, pid in self.status().items() if pid is None]
            try:
                if dead:
                    log.warning("network.daemons_died", roles=dead)
                    self.start()
                pause = _LOOK
            except (DaemonFailed, OvsdbFailed, netns.NetworkCommandFailed, OSError) as no:
                log.error("network.daemons_stay_away", why=str(no))
                pause = min(2 * pause, _LOOK_LATER)

    def stop(self) -> None:
        """End every process, and remove namespaces and interfaces, those of guests too. Repeatable."""
        _end([pid for pid, _ in self.processes()], [daemon.role for daemon in self._daemons.values()])
        if not self._member:
            self._external.disconnect()
        if self._tunnels is not None:
            disconnect(self.names, self._tunnels.underlay)
        for name in netns.names(self.names.prefix):
            netns.remove(name)

    def status(self) -> dict[str, int | None]:
        """The pid of each role, or None where it does not run."""
        return {role: daemon.pid() for role, daemon in self._daemons.items()}

    def processes(self) -> list[tuple[int, str]]:
        """Every process of ours with its role, the monitor that restarts the switch included."""
        found = [(pid, role) for role, pid in self.status().items() if pid is not None]
        known = {pid for pid, _ in found}
        return found + [(pid, "vswitchd monitor") for pid in _switches(self.names.netns) if pid not in known]

    def _namespaces(self) -> None:
        for name in (self.names.netns,) if self._member else (self.names.netns, self.names.outside):
            netns.create(name)

    def _database(self, which: str) -> None:
        daemon = self._daemons[f"{which}-db"]
        if daemon.pid() is not None:
            return
        file, schema = daemon.folder / f"{which}.db", _SCHEMAS[which]
        if not file.exists():
            _run(["ovsdb-tool", "create", str(file), schema])
        elif _run(["ovsdb-tool", "needs-conversion", str(file), schema]).strip() == "yes":
            _run(["ovsdb-tool", "convert", str(file), schema])
        _launch(daemon)

    def _after(self, others: Iterable[Future[None]], role: str) -> None:
        for other in others:
            other.result()
        daemon = self._daemons[role]
        pid = daemon.pid()
        if pid is not None and not daemon.in_its_namespace(pid):
            _end([known for known, its in self.processes() if its.startswith(role)], [role])
            pid = None
        if pid is None:
            if role == "vswitchd":
                _end(_switches(self.names.netns), [role])
            _launch(daemon)


def _daemons(names: Names, tunnels: Tunnels | None) -> list[Daemon]:
    central, chassis, space = names.central, names.chassis, names.netns
    switch_db = f"unix:{names.switch_db}"
    shown, member = tunnels.certified.flags() if tunnels else (), tunnels is not None and tunnels.member
    chassis_daemons = [
        _database_server("conf", chassis, names.switch_db),
        # Open vSwitch before 3.1.3 aborts on some NAT collisions that any guest can make: --monitor restarts it.
        Daemon(
            "vswitchd", "ovs-vswitchd", ("--monitor", f"--unixctl={chassis}/vswitchd.ctl", switch_db), chassis, space
        ),
        # A member speaks to another machine: from the namespace of this process, where the way there is.
        Daemon("ovn-controller", "ovn-controller", (*shown, switch_db), chassis, None if member else space),
    ]
    if member:
        return chassis_daemons
    return [
        _database_server("nb", central, names.nb, "--remote=db:OVN_Northbound,NB_Global,connections"),
        _database_server("sb", central, names.sb, "--remote=db:OVN_Southbound,SB_Global,connections", *shown),
        Daemon(
            "northd",
            "ovn-northd",
            (f"--unixctl={central}/northd.ctl", f"--ovnnb-db=unix:{names.nb}", f"--ovnsb-db=unix:{names.sb}"),
            central,
        ),
        *chassis_daemons,
    ]


def _database_server(which: str, folder: Path, socket: Path, *remotes: str) -> Daemon:
    return Daemon(
        f"{which}-db",
        "ovsdb-server",
        (f"--unixctl={folder}/{which}.ctl", f"--remote=punix:{socket}", *remotes, f"{folder}/{which}.db"),
        folder,
    )


def _launch(daemon: Daemon) -> None:
    """Start it; it returns when the daemon has detached, which means that it serves."""
    if daemon.log.exists() and daemon.log.stat().st_size > _LOG_LIMIT:
        daemon.log.replace(daemon.log.with_suffix(".log.1"))
    folder = str(daemon.folder)
    folders = ("OVS_RUNDIR", "OVN_RUNDIR", "OVS_LOGDIR", "OVN_LOGDIR", "OVS_DBDIR")
    environment = os.environ | dict.fromkeys(folders, folder)
    inside = ["nsenter", f"--net=/run/netns/{daemon.netns}"] if daemon.netns else []
    _run(
        [
            *inside,
            daemon.program,
            *_QUIET,
            f"--pidfile={daemon.pid_file}",
            f"--log-file={daemon.log}",
            *daemon.arguments,
        ],
        environment,
        errors=daemon.log.with_suffix(".err"),
    )


def _run(command: list[str], environment: dict[str, str] | None = None, errors: Path | None = None) -> str:
    """What the command prints. A daemon keeps the stderr it was given, so that goes to a file, never to a pipe."""
    with contextlib.ExitStack() as stack:
        stderr = stack.enter_context(open(errors, "wb")) if errors else subprocess.DEVNULL
        stdout = subprocess.DEVNULL if errors else subprocess.PIPE
        try:
            done = subprocess.run(
                command,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                timeout=30,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as failure:
            raise DaemonFailed(f"{command[0]}: {failure}") from failure
    if done.returncode:
        said = errors.read_text(errors="replace").strip()[-500:] if errors else ""
        raise DaemonFailed(f"{' '.join(command[:4])}... ended with {done.returncode}: {said}")
    return done.stdout.decode() if done.stdout else ""


def _end(pids: list[int], roles: list[str], patience: float = 5.0) -> None:
    """End these processes, politely first. A pidfd names the process itself, so that a reused pid is never hit."""
    waiting: dict[int, int] = {}
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            waiting[os.pidfd_open(pid)] = pid
    try:
        for sign in (signal.SIGTERM, signal.SIGKILL):
            _signal(waiting, sign)
            deadline = time.monotonic() + patience
            while waiting and (left := deadline - time.monotonic()) > 0:
                for fd in select.select(list(waiting), [], [], left)[0]:
                    os.close(fd)
                    del waiting[fd]
        if waiting:
            raise DaemonFailed(f"processes {sorted(waiting.values())} of {', '.join(roles)} do not end")
    finally:
        for fd in waiting:
            os.close(fd)


def _signal(waiting: Iterable[int], sign: signal.Signals) -> None:
    for fd in waiting:
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(fd, sign)


def _recorded(pid_file: Path) -> int | None:
    try:
        return int(pid_file.read_text())
    except (FileNotFoundError, ValueError):
        return None


def _switches(space: str) -> list[int]:
    """Every process of Open vSwitch in this namespace. The monitor has no pid file and outlives a crashed switch."""
    wanted, found = netns.inode(space), []
    for process in Path("/proc").iterdir():
        if process.name.isdigit():
            with contextlib.suppress(OSError):
                if (process / "cmdline").read_bytes().startswith(b"ovs-vswitchd") and (
                    process / "ns/net"
                ).stat().st_ino == wanted:
                    found.append(int(process.name))
    return found
