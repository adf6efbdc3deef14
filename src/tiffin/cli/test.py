"""Run the tests. Words after the options go to pytest: ./tiffin test -k token tests/api"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

from tiffin.cli import image, packages
from tiffin.cli.cloud import source_root
from tiffin.cli.errors import CliError

IN_PARALLEL = ("-n", "auto", "--maxprocesses", "8")
"""A process for each core; tests/conftest.py says which tests stay together."""
OWN_FLAGS = frozenset({"--real", "--upstream", "-h", "--help"})


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", action="store_true", help="also those that need root, QEMU and OVN")
    parser.add_argument("--upstream", action="store_true", help="also Tempest")


def run(options: argparse.Namespace) -> int:
    root = source_root()
    if options.real:
        _prepare_real(root)
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root / "src")
    if options.upstream:
        os.environ["TIFFIN_TEMPEST_PYTHON"] = str(root / ".venv-upstream/bin/python")
    wanted = ["-m", selection(options.real, options.upstream)]
    argv = [sys.executable, "-P", "-m", "pytest", *IN_PARALLEL, *wanted, *options.words]
    os.execv(argv[0], argv)  # noqa: S606  # a list, no shell; pytest takes over the terminal


def selection(real: bool, upstream: bool) -> str:
    """Pytest's marker expression: what needs no preparation, and what was asked for besides."""
    left_out = [marker for marker, wanted in (("real", real), ("upstream", upstream)) if not wanted]
    return " and ".join(f"not {marker}" for marker in left_out)


def _prepare_real(root: Path) -> None:
    """Packages, and a guest image with its kernel in build/guest-images: TIFFIN_GUEST_IMAGES names the folder."""
    if os.geteuid() != 0:
        raise CliError("the real tests make network namespaces: run them as root, or without --real.")
    build = root / "build"
    log, folder = build / "setup.log", build / "guest-images"
    packages.ensure(packages.REAL_TESTS, log)
    newest = max(file.stat().st_mtime for file in (root / "images").rglob("*"))
    made = folder / "tiny.qcow2"
    if not made.exists() or made.stat().st_mtime < newest:
        image.build("tiny", made, build, log)
    os.environ["TIFFIN_GUEST_IMAGES"] = str(folder)
