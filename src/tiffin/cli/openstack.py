"""Run the OpenStack client of this installation as this cloud's admin, or as --project demo.

Where `tiffin env` of this cloud is in force, or OS_CLOUD names one of its entries, those credentials are used."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping

from tiffin.cli.cloud import Cloud, open_cloud

OWN_FLAGS = frozenset[str]()  # everything after --home and --project belongs to the client
ENTRIES = {"admin": "tiffin", "demo": "tiffin-demo"}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", choices=tuple(ENTRIES), help="whose credentials")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    chosen = environment(cloud, options.project, os.environ)
    os.environ.clear()
    os.environ.update(chosen)
    sys.argv = ["openstack", *options.words]
    from openstackclient.shell import main  # in this process: a second Python would cost a tenth of a second

    code: object = main(options.words)
    return code if isinstance(code, int) else 0  # a command may give what it has made: `federation protocol set` does


def environment(cloud: Cloud, project: str | None, given: Mapping[str, str]) -> dict[str, str]:
    """The environment in which the client logs in to this cloud, without what belongs to another one."""
    config = {"OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds_yaml)}
    chosen = given.get("OS_CLOUD")
    if project is None and (chosen in ENTRIES.values() or (not chosen and _is_ours(cloud, given))):
        return {**given, **config}
    others = {name: value for name, value in given.items() if not name.startswith("OS_")}
    return {**others, **config, "OS_CLOUD": ENTRIES[project or "admin"]}


def _is_ours(cloud: Cloud, given: Mapping[str, str]) -> bool:
    return given.get("OS_AUTH_URL", "").startswith(cloud.settings.url + "/")
