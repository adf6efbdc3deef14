"""Start the cloud and wait until it works. The first time, install what it needs and leave something to work with."""

from __future__ import annotations

import argparse
import signal
import subprocess
from pathlib import Path
from typing import Any

from tiffin.cli import down, fitness, packages, server
from tiffin.cli.cloud import Cloud, alone, command, home_of
from tiffin.cli.errors import CliError
from tiffin.cli.progress import step
from tiffin.core.settings import Settings, change, load, save
from tiffin.core.state_folder import StateFolder


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--simulated", action="store_true", help="hypervisor and network in memory: no root, no packages"
    )
    parser.add_argument(
        "--hosts", type=int, metavar="N", help="how many hosts a simulated cloud has (default: 1), until it is set anew"
    )
    parser.add_argument("--listen", metavar="HOST:PORT", help="where the APIs answer (default: 127.0.0.1:8000)")
    parser.add_argument("--foreground", action="store_true", help="stay until interrupted, then stop the cloud")


def run(options: argparse.Namespace) -> int:
    home = home_of(options.home)
    wanted = _wanted(options, home)  # before anything is made, so that a wrong call leaves nothing
    if not wanted.simulated:
        _demand_fitness(options.home)
    folder = StateFolder(home)
    cloud = Cloud(wanted, folder)
    started: subprocess.Popen[bytes] | None = None
    with alone(folder):
        if server.running(cloud) is None or not _works_already(cloud, options):
            started = _start(cloud)
    _tell(cloud, options.home, already=started is None)
    if options.foreground and started is not None:
        _stay(cloud, started)
    return 0


def _wanted(options: argparse.Namespace, home: Path) -> Settings:
    exists = StateFolder(home).settings_file.exists()  # looked at first: another `up` may write it at this moment
    settings = load(home)
    if options.simulated and exists and not settings.simulated:
        raise CliError(f"the cloud in {home} is a real one; choose another --home for a simulated one.")
    changes: dict[str, Any] = {"simulated": True} if options.simulated else {}
    if options.hosts is not None:
        if not (settings.simulated or options.simulated):
            raise CliError("--hosts is for simulated clouds: add --simulated.")
        changes["hosts"] = options.hosts
    return change(settings, **changes, **({"listen": options.listen} if options.listen else {}))


def _demand_fitness(chosen: Path | None) -> None:
    found = fitness.obstacles()
    if found:
        reasons = "\n".join(f"    - {reason}" for reason in found)
        offer = command("up --simulated", chosen)
        raise CliError(
            f"real guests cannot run here:\n{reasons}\n"
            f"  `{offer}` starts a cloud in memory instead, with the same APIs; it needs none of this."
        )


def _start(cloud: Cloud) -> subprocess.Popen[bytes]:
    server.check_port(cloud)
    cloud.folder.create()
    if not cloud.settings.simulated:
        setup_log = cloud.folder.log.with_name("setup.log")
        packages.ensure({**packages.CLOUD, **packages.TINY_IMAGE}, setup_log)
        from tiffin.cli import image

        image.ensure("tiny", cloud.folder.image_sources / "tiffin-tiny.qcow2", cloud.folder.cache, setup_log)
    save(cloud.settings)
    cloud.folder.write_clouds_yaml(cloud.settings)
    with step("Starting the cloud") as current:
        started = server.start(cloud)
        try:
            server.wait_until_works(cloud, started, current)
        except BaseException:
            # Guests of an earlier `down --keep-guests` are none of a failed start's business.
            down.stop(cloud, keep_guests=True)
            raise
    return started


def _works_already(cloud: Cloud, options: argparse.Namespace) -> bool:
    """Wait until the server works that runs; False when it was about to end, and has. Raises `CliError`."""
    _check_same(cloud, load(cloud.settings.home), options.foreground)
    with step("The cloud") as current:
        try:
            server.wait_until_works(cloud, None, current)
        except server.Ended:
            return False
    return True


def _check_same(cloud: Cloud, stored: Settings, foreground: bool) -> None:
    if foreground:
        raise CliError("the cloud runs in the background already; `./tiffin down` it first.")
    if cloud.settings.hosts != stored.hosts:
        raise CliError(f"the cloud runs with {stored.hosts} hosts already; `./tiffin down` it before that can change.")
    if cloud.settings.listen != stored.listen:
        raise CliError(f"the cloud runs on {stored.listen} already; `./tiffin down` it before it can move.")


def _tell(cloud: Cloud, chosen: Path | None, already: bool) -> None:
    secrets = cloud.folder.secrets()
    kind = "simulated cloud" if cloud.settings.simulated else "cloud"
    lines = [
        f"The {kind} {'runs already' if already else 'is up'}: {cloud.settings.url}",
        "",
        f"  state        {cloud.folder.root}",
        f"  clouds.yaml  {cloud.folder.clouds_yaml}  (entries: tiffin, tiffin-demo)",
        f"  admin        password {secrets.admin_password}",
        f"  demo         password {secrets.demo_password}",
        *(
            [f"  outside      ip netns exec {cloud.settings.tag}-ext COMMAND  (reaches floating addresses)"]
            if not cloud.settings.simulated
            else []
        ),
        "",
        "Next:",
        f"  {command('openstack', chosen)} --project demo image list",
        f'  eval "$({command("env", chosen)} --project demo)"',
        f"  {command('status', chosen)}",
        f"  {command('down', chosen)}",
    ]
    print("\n".join(lines), flush=True)


def _stay(cloud: Cloud, started: subprocess.Popen[bytes]) -> None:
    """Live as long as the server; a signal to us takes the whole cloud down."""

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupted)
    try:
        code = started.wait()
    except KeyboardInterrupt:
        with alone(cloud.folder):
            down.stop(cloud, keep_guests=False)
        return
    if code != 0:
        raise CliError(f"the server ended with code {code}; see `./tiffin logs`.")
