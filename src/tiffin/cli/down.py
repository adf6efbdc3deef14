"""Stop the cloud. Its state stays; `up` starts it again."""

from __future__ import annotations

import argparse

from tiffin.cli import guests, server
from tiffin.cli.cloud import Cloud, alone, home_of
from tiffin.cli.progress import step
from tiffin.core.settings import load
from tiffin.core.state_folder import StateFolder


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--keep-guests", action="store_true", help="leave guests and their network running; `up` adopts them"
    )


def run(options: argparse.Namespace) -> int:
    folder = StateFolder(home_of(options.home))
    if not folder.settings_file.exists():
        print(f"There is no cloud in {folder.root}; nothing to stop.")
        return 0
    with alone(folder):
        stop(Cloud(load(folder.root), folder), options.keep_guests)
    print("The cloud is down" + (", its guests go on." if options.keep_guests else "."))
    return 0


def stop(cloud: Cloud, keep_guests: bool) -> None:
    """End the server, then guests and the network's daemons unless guests shall go on. May be repeated.

    The server comes first, so that it takes no guest's end for a crash that it should repair."""
    pid = server.running(cloud)
    if pid is not None:
        with step("Stopping the server"):
            server.stop(pid)
    if cloud.settings.simulated:
        return
    if not keep_guests:
        guests.stop(cloud.folder.host)
    if keep_guests and guests.running(cloud.folder.host):
        return
    if cloud.folder.ovn.exists():
        from tiffin.services.network.drivers.ovn_daemons import Daemons

        tunnels = None
        if "compute" in cloud.settings.sections:
            from tiffin.host.tunnels import of_controller

            tunnels = of_controller(cloud.settings)
        with step("Stopping the network"):
            Daemons(cloud.folder.ovn, cloud.settings.tag, external=cloud.settings.external, tunnels=tunnels).stop()
