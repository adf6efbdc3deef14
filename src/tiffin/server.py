"""The server process: `python -m tiffin.server --home HOME`. Stays in the foreground; SIGTERM ends it and leaves guests
and the network's daemons running.

Granian's main process holds the socket and starts the worker again when it dies; the worker is the cloud: requests,
lifecycles, reconcilers.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import fcntl
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tiffin.core.settings import Settings, SettingsError, load
from tiffin.core.state_folder import StateFolder

if TYPE_CHECKING:
    from tiffin.services.compute.drivers.base import GuestState, HostFacts, Hosts

ENGINE_THREADS = 4
"""Lifecycles that run at a time in one process; most of their time is spent waiting for drivers."""
REQUEST_THREADS = 16
"""Requests at a time: short ones take turns at a gate, the rest stream, or hash passwords."""
STOP_WITHIN = 5
"""Seconds for a worker that was asked to end; then it is killed, which loses nothing."""
RESPAWN_AFTER = 0.2
"""Seconds until a dead worker is replaced."""
BEGIN_AGAIN_AFTER = 1.0
"""Seconds until all begins anew when workers die one after the other."""


class Progress:
    """How far the start has come, for /healthz."""

    def __init__(self) -> None:
        self.step = "starting"
        self.ready = False

    def tell(self, step: str) -> None:
        self.step = step


class Running:
    """The worker's cloud, once it is composed."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.progress = settings, Progress()
        self.stopping = threading.Event()
        self.composition: Any = None

    def make_app(self) -> Callable[..., Any]:
        """Compose the cloud, begin to bring it up, and give the application that answers meanwhile."""
        gc.disable()  # a start makes much and drops little: the collector would look at it all again and again
        from tiffin import main
        from tiffin.core.http.app import make

        self.composition = main.compose(self.settings, self.progress.tell)
        app = make(self.composition.cloud, self.health)
        threading.Thread(target=self._bring_up, args=(app,), name="bring-up", daemon=True).start()
        return app

    def _bring_up(self, app: Callable[..., Any]) -> None:
        import structlog

        from tiffin import bootstrap, main
        from tiffin.core import background

        try:
            composition = self.composition
            bootstrap.identity(composition, self.progress.tell)
            bootstrap.definitions(composition, self.progress.tell)
            main.take_place(composition)
            if composition.daemons is not None:
                self.progress.tell("starting the network")
                composition.daemons.start()
                watch = composition.daemons.watch
                threading.Thread(target=watch, args=(self.stopping,), name="daemons", daemon=True).start()
            main.listen(composition)
            self.progress.tell("looking at the hosts")
            background.reconcile(composition.cloud)
            composition.engine.start(ENGINE_THREADS)
            bootstrap.first_start(composition, app, self.progress.tell)
            structlog.contextvars.clear_contextvars()  # of the first start's own requests
            if composition.data_centre is not None:
                main.control(composition, StateFolder(self.settings.home).run)
            self.progress.ready = True
            gc.freeze()  # what start-up made stays; the collector need not look at it again
            gc.enable()
        except SettingsError as no:
            _give_up(self.progress.step, why=str(no))
            return
        except Exception:
            _give_up(self.progress.step)
            return
        background.run(composition.cloud, self.stopping, composition.engine.peers)

    def health(self, detail: bool) -> tuple[int, dict[str, Any]]:
        if not self.progress.ready:
            return 503, {"status": "starting", "step": self.progress.step}
        if not detail:
            return 200, {"status": "ok"}
        return 200, {"status": "ok", **self._detail()}

    def _detail(self) -> dict[str, Any]:
        from tiffin.services.compute.drivers.base import Hosts

        composition = self.composition
        hosts: Hosts = composition.cloud.part(Hosts)
        daemons = composition.daemons.processes() if composition.daemons else []
        processes = [(os.getppid(), "supervisor"), (os.getpid(), "cloud"), *daemons]
        guests = StateFolder(self.settings.home).host / "guests"
        found = [_look(hosts, name) for name in hosts.names()[:100]]
        return {
            "processes": [{"pid": pid, "role": role} for pid, role in processes],
            "hosts": [host for host, _ in found],
            "guests": [{"id": g.id, "power": g.power, **_pid(guests / g.id / "pid")} for _, on_it in found for g in on_it],
            "versions": {name: version(name) for name in ("falcon", "granian", "msgspec", "sqlalchemy")},
        }


def _look(hosts: Hosts, name: str) -> tuple[dict[str, Any], list[GuestState]]:
    """A host, and the guests on it; the reason where it does not answer."""
    from tiffin.core.driver import Refused

    try:
        hypervisor = hosts.hypervisor(name)
        return _host(hypervisor.facts()), hypervisor.guests()
    except Refused as no:
        return {"hostname": name, "silent": str(no)}, []


def _host(facts: HostFacts) -> dict[str, Any]:
    return {
        "hostname": facts.hostname,
        "hypervisor": facts.hypervisor_type,
        "accelerator": facts.accelerator,
        "vcpus": facts.vcpus,
        "memory_mb": facts.memory_mb,
        "disk_gb": facts.disk_gb,
    }


def _pid(file: Path) -> dict[str, int]:
    try:
        return {"pid": int(file.read_text())}
    except (FileNotFoundError, ValueError):
        return {}


def _die_with_parent() -> None:
    """Have the kernel end this process when the one that holds the socket dies: two clouds on one state must not be."""
    death_signal = 1  # PR_SET_PDEATHSIG, prctl(2)
    ctypes.CDLL(None).prctl(death_signal, signal.SIGKILL)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tiffin.server", description="Serve one cloud in the foreground.")
    parser.add_argument("--home", type=Path, required=True)
    settings = load(parser.parse_args(argv).home)
    folder = StateFolder(settings.home)
    folder.create()
    lock = os.open(folder.run / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"The cloud in {settings.home} is being served already.", file=sys.stderr)  # noqa: T201 (for people)
        return 1
    folder.server_pid.write_text(f"{os.getpid()}\n")
    serve(settings, folder)
    return 0


def serve(settings: Settings, folder: StateFolder) -> None:
    """Until SIGTERM or SIGINT. Granian gives up on a worker that dies twice in some seconds; whoever kills it often, or
    the machine's want of memory, must not end the cloud: it begins anew."""
    from tiffin.core import logs

    def load_app(*_: Any, **__: Any) -> Callable[..., Any]:
        _die_with_parent()
        logs.configure(folder.log)
        try:
            return Running(settings).make_app()
        except SettingsError as no:
            _give_up("reading the settings", why=str(no))
            raise SystemExit(1) from None
        except Exception:
            _give_up("composing the cloud")
            raise

    while True:
        server = _granian(settings)
        with contextlib.suppress(SystemExit):  # its word for a worker that died often
            server.serve(target_loader=load_app)
        if server.interrupt_signal:
            return
        time.sleep(BEGIN_AGAIN_AFTER)


def _give_up(step: str, why: str = "") -> None:
    """What cannot start once would not start a second time: end the process that would try. `why` it was, where that is a
    person's affair and not a defect."""
    import structlog

    log = structlog.get_logger("server")
    log.error("start.failed", step=step, why=why) if why else log.exception("start.failed", step=step)
    os.kill(os.getppid(), signal.SIGTERM)


def _granian(settings: Settings) -> Any:
    from granian import Granian
    from granian.constants import HTTPModes, Interfaces

    host, port = settings.address
    return Granian(
        "tiffin",
        address=host,
        port=port,
        interface=Interfaces.WSGI,
        workers=1,
        blocking_threads=REQUEST_THREADS,
        log_enabled=False,
        respawn_failed_workers=True,
        respawn_interval=RESPAWN_AFTER,
        http=HTTPModes.http1,
        workers_kill_timeout=STOP_WITHIN,
    )


if __name__ == "__main__":
    sys.exit(main())
