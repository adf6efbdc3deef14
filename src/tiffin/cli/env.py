"""Print shell lines that make OpenStack clients talk to this cloud: eval "$(./tiffin env)"."""

from __future__ import annotations

import argparse
import shlex

from tiffin.cli.cloud import open_cloud
from tiffin.core.state_folder import auth_variables


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--project", choices=("admin", "demo"), default="admin", help="whose credentials (default: admin)"
    )


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    variables = {
        **auth_variables(cloud.settings, cloud.folder.secrets(), options.project),
        "OS_REGION_NAME": cloud.settings.region,
        "OS_IDENTITY_API_VERSION": "3",
        "OS_CLIENT_CONFIG_FILE": str(cloud.folder.clouds_yaml),
    }
    for name, value in variables.items():
        print(f"export {name}={shlex.quote(value)}")
    return 0
