"""Take a host out of service: its servers are moved away, and no new ones come."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tiffin.cli import server
from tiffin.cli.cloud import command, open_cloud
from tiffin.cli.errors import told
from tiffin.cli.progress import Step

EVERY = 0.5
"""Seconds between two looks at what is left."""
SHOWN = 50
"""How many servers are told of, one by one."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("name")
    parser.add_argument("--off", action="store_true", help="let it take servers again")
    parser.add_argument("--cold", action="store_true", help="stop, move and start those that cannot move while they run")
    parser.add_argument("--no-wait", action="store_true", help="end at once; the cloud goes on")
    parser.add_argument("--json", action="store_true", help="for programs: what is left, at the end")


def run(options: argparse.Namespace) -> int:
    """0: the host is empty, or was only to be marked; 1: servers are left on it."""
    cloud = open_cloud(options.home)
    from tiffin.host import admin

    if options.off:
        told(admin.end_maintenance, cloud.settings, options.name)
    else:
        told(admin.begin_maintenance, cloud.settings, options.name, options.cold)
    waits, runs = not (options.off or options.no_wait), server.running(cloud) is not None
    with admin.watching(cloud.settings, options.name) as look:
        found = _wait(look, options.name) if waits and runs else look()
    if options.json:
        print(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        print("\n".join(_words(found, command(f"host maintenance {options.name} --off", options.home), runs)))
    return 1 if waits and found.left else 0


def _wait(look: Callable[[], Any], name: str) -> Any:
    """What is left when nothing moves any more before somebody does something, or when the person has had enough."""
    shown, found, most = Step(f"Emptying {name}", sys.stderr), look(), 0
    try:
        while found.maintenance and any(one.state != "stuck" for one in found.left):
            most = max(most, len(found.left))
            shown.tell(f"{most - len(found.left)} of {most} servers have moved")
            time.sleep(EVERY)
            found = look()
    except KeyboardInterrupt:
        found = look()
    shown.finish("failed" if found.left else "done")
    return found


def _words(found: Any, off: str, runs: bool) -> list[str]:
    """`off`: the command that ends it; `runs`: whether the cloud runs on this machine."""
    name, left = found.host, found.left
    if not found.maintenance:
        return [f"{name} takes servers again."]
    if not left:
        return [f"{name} is empty, and stays so until `{off}`."]
    more = [f"  and {len(left) - SHOWN} more; --json shows all"] if len(left) > SHOWN else []
    count = f"{len(left)} servers are" if len(left) > 1 else "One server is"
    words = [f"{count} left on {name}:", *(f"  {one.name} ({one.id}) {one.why}" for one in left[:SHOWN]), *more]
    words.append(f"They are moved as soon as that can be{'' if runs else ' and the cloud runs'}, until `{off}`.")
    if found.maintenance == "live":
        words.append("Those that cannot move while they run are stopped, moved and started with --cold.")
    return words
