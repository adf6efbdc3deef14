"""Hosts that are other machines. On the controller: `token`, `list`, `maintenance NAME`, `remove NAME`. On the machine that
shall run guests: `join HOST:PORT --token WORD --listen HOST:PORT`, then `stop` and `start`; `leave` ends it for good."""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from tiffin.cli import fitness, maintenance, packages, processes
from tiffin.cli.cloud import alone, command, home_of, open_cloud
from tiffin.cli.errors import CliError, told
from tiffin.cli.progress import step
from tiffin.core.settings import parts
from tiffin.core.state_folder import StateFolder

PATIENCE = 40.0
"""Seconds for an agent to answer after its start, or to end."""


def arguments(parser: argparse.ArgumentParser) -> None:
    kinds = parser.add_subparsers(dest="action", required=True, metavar="token|list|maintenance|remove|...")
    token = kinds.add_parser("token", help="on the controller: a word that lets one machine join")
    token.add_argument("--host", metavar="NAME", help="the only name that may join with it")
    token.add_argument("--minutes", type=float, default=60.0, help="for how long it is good (default: 60)")
    listed = kinds.add_parser("list", help="on the controller: every machine that runs guests")
    listed.add_argument("--json", action="store_true", help="for programs")
    maintenance.arguments(kinds.add_parser("maintenance", help="on the controller: move all servers away from a host"))
    kinds.add_parser("remove", help="on the controller: let a machine take part no more").add_argument("name")
    join = kinds.add_parser("join", help="on another machine: run guests for a cloud")
    join.add_argument("controller", metavar="HOST:PORT", help="where the controller answers machines")
    join.add_argument("--token", required=True, metavar="WORD")
    join.add_argument("--listen", required=True, metavar="HOST:PORT", help="where the controller reaches this machine")
    join.add_argument(
        "--name", default=socket.gethostname(), help="this machine's among the hosts (default: %(default)s)"
    )
    join.add_argument(
        "--underlay",
        metavar="INTERFACE=ADDRESS/PREFIX",
        default="",
        help="the interface that leads to the other machines, which the cloud takes, and this one's address there",
    )
    join.add_argument("--simulated", action="store_true", help="guests in memory: no root, no packages")
    kinds.add_parser("start", help="start the agent again")
    kinds.add_parser("stop", help="stop the agent; guests go on")
    kinds.add_parser("leave", help="stop the agent and remove this host's state")
    for kind in kinds.choices.values():  # the option may stand behind the action, too
        kind.add_argument("--home", type=Path, metavar="DIR", default=argparse.SUPPRESS, help=argparse.SUPPRESS)


def run(options: argparse.Namespace) -> int:
    actions = {
        "token": _token, "list": _list, "maintenance": maintenance.run, "remove": _remove,
        "join": _join, "start": _start, "stop": _stop, "leave": _leave,
    }  # fmt: skip
    return actions[options.action](options)


# --- on the controller --------------------------------------------------------------------------------------------------


def _token(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    from tiffin.host import admin, tunnels

    door = tunnels.machines(cloud.settings).listen
    if not door:
        file = cloud.folder.settings_file
        raise CliError(f"machines have no way in: set listen under [compute.machines] in {file}, then `down` and `up`.")
    word = told(admin.token, cloud.settings, options.host, options.minutes * 60)
    print(word)
    print(
        f"\nOn the other machine, within {options.minutes:g} minutes:\n"
        f"  ./tiffin host join {door} --listen ITS_ADDRESS:8443 --token {word}",
        file=sys.stderr,
    )
    return 0


def _list(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    from tiffin.host import admin

    found = admin.hosts(cloud.settings)
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
        return 0
    for host in found:
        taking = "maintenance" if host.maintenance else "disabled" if host.disabled else "enabled"
        state = "forced down" if host.forced_down else taking
        seen = f"seen {max(0, time.time() - host.seen_at):.0f} s ago" if host.seen_at else "never seen"
        print(f"{host.name:<24} {host.address or 'this machine':<24} {state:<12} {seen}")
    return 0


def _remove(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    from tiffin.host import admin

    if not told(admin.remove, cloud.settings, options.name):
        raise CliError(f"no machine {options.name} has joined; `{command('host list', options.home)}` shows who has.")
    print(f"{options.name} takes part no more.")
    return 0


# --- on the machine that runs guests ------------------------------------------------------------------------------------


def _join(options: argparse.Namespace) -> int:
    from tiffin.core.certificates import Identity, write_private
    from tiffin.host.agent import Membership
    from tiffin.host.joining import JoinFailed, join

    folder = StateFolder(home_of(options.home))
    if folder.settings_file.exists():
        raise CliError(f"{folder.root} is a controller's state; choose another --home for a host.")
    try:
        controller, listen = parts(options.controller), parts(options.listen)
    except ValueError:
        raise CliError("write addresses as HOST:PORT, as in 192.0.2.1:8443.") from None
    if not options.simulated:
        _prepare(options, folder)
    with alone(folder):
        folder.create()
        with step("Joining"):
            try:
                join(controller, options.token, options.name, options.listen, Identity(folder.keys / "host"))
            except JoinFailed as no:
                raise CliError(str(no)) from no
        member = Membership(options.name, options.listen, options.controller, options.simulated, options.underlay)
        write_private(folder.agent_file, msgspec.json.format(msgspec.json.encode(member)))
        _end(folder)
        _run_agent(folder, listen)
    print(f"{options.name} runs guests for {options.controller}.")
    return 0


def _start(options: argparse.Namespace) -> int:
    folder = _joined(options)
    member = _membership(folder)
    with alone(folder):
        if _pid(folder) is None:
            _run_agent(folder, parts(member.listen))
    print("The agent runs.")
    return 0


def _stop(options: argparse.Namespace) -> int:
    folder = _joined(options)
    with alone(folder):
        _end(folder)
    print("The agent is stopped; guests go on.")
    return 0


def _leave(options: argparse.Namespace) -> int:
    folder = _joined(options)
    member = _membership(folder)
    with alone(folder):
        _end(folder)
        if any((folder.host / "guests").glob("*")):
            raise CliError("guests are on this host; move or delete them first (`host start` lets the cloud do so).")
        if not member.simulated:
            _end_network(folder, member)
        shutil.rmtree(folder.root)
    print("This machine is no host any more. On the controller: `./tiffin host remove NAME`.")
    return 0


def _joined(options: argparse.Namespace) -> StateFolder:
    folder = StateFolder(home_of(options.home))
    if not folder.agent_file.exists():
        raise CliError(f"{folder.root} has joined no cloud; `{command('host join', options.home)}` does that.")
    return folder


def _membership(folder: StateFolder) -> Any:
    from tiffin.host.agent import Membership

    return msgspec.json.decode(folder.agent_file.read_bytes(), type=Membership)


def _prepare(options: argparse.Namespace, folder: StateFolder) -> None:
    """What real guests need of this machine. Raises `CliError`."""
    from tiffin.services.network.drivers.ovn_tunnels import read_underlay

    if obstacles := fitness.obstacles():
        raise CliError("real guests cannot run here:\n" + "\n".join(f"    - {reason}" for reason in obstacles))
    try:
        read_underlay(options.underlay)
    except ValueError as no:
        raise CliError(f"--underlay: {no}") from None
    folder.create()
    packages.ensure(packages.CLOUD, folder.log.with_name("setup.log"))


def _end_network(folder: StateFolder, member: Any) -> None:
    from tiffin.core.certificates import Identity
    from tiffin.host import tunnels
    from tiffin.services.network.drivers.ovn_daemons import Daemons

    to_others = tunnels.of_member(member, Identity(folder.keys / "host"))
    with step("Stopping the network"):
        Daemons(folder.ovn, tunnels.tag(folder), host=member.name, tunnels=to_others).stop()


def _pid(folder: StateFolder) -> int | None:
    return processes.read_pid(folder.agent_pid, "tiffin.agent", str(folder.root))


def _end(folder: StateFolder) -> None:
    pid = _pid(folder)
    if pid is not None:
        processes.end([pid], PATIENCE)


def _run_agent(folder: StateFolder, listen: tuple[str, int]) -> None:
    """Start it as a session of its own, and wait until it answers."""
    with open(os.open(folder.log, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab") as out:
        started = subprocess.Popen(
            [sys.executable, "-P", "-m", "tiffin.agent", "--home", str(folder.root)],
            stdin=subprocess.DEVNULL, stdout=out, stderr=out, cwd="/", start_new_session=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
        )  # fmt: skip
    deadline = time.monotonic() + PATIENCE
    with step("Starting the agent"):
        while not _answers(listen):
            if started.poll() is not None or time.monotonic() > deadline:
                last = folder.log.read_text(errors="replace").splitlines()[-5:]
                raise CliError("the agent did not start:\n" + "\n".join(f"    {line}" for line in last))
            time.sleep(0.05)


def _answers(address: tuple[str, int]) -> bool:
    try:
        with socket.create_connection(address, timeout=1):
            return True
    except OSError:
        return False
