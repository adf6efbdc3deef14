"""Let a new key encrypt the secrets that users keep in this cloud, and encrypt them anew. The cloud may run meanwhile."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tiffin.cli.cloud import alone, open_cloud


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("what", choices=["rotate"], metavar="rotate")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    with alone(cloud.folder):
        return subprocess.run(
            [sys.executable, "-P", "-m", "tiffin.rotate", "credential-keys", "--home", str(cloud.folder.root)],
            env={**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])},
            check=False,
        ).returncode
