"""Give the cloud its administrator back: the user `admin` with its roles, and with the password in secrets.json and
clouds.yaml. Its tokens end; so do second factors and locks of its account. The cloud may run meanwhile."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tiffin.cli.cloud import alone, open_cloud
from tiffin.cli.errors import CliError


def arguments(parser: argparse.ArgumentParser) -> None:
    pass


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    command = [sys.executable, "-P", "-m", "tiffin.recover", "--home", str(cloud.folder.root)]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).resolve().parents[2])}
    with alone(cloud.folder):
        if subprocess.run(command, env=environment, check=False).returncode:
            raise CliError("the administrator is as before; what kept it from coming back stands above.")
    print(f"The administrator is back, with the password in {cloud.folder.clouds_yaml}.")
    return 0
