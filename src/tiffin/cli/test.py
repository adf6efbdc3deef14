"""Run the tests. Words after the options go to pytest: ./tiffin test -k token tests/api"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path

from tiffin.cli import image, packages, postgresql
from tiffin.cli.cloud import source_root
from tiffin.cli.errors import CliError

IN_PARALLEL = ("-n", str(min((os.cpu_count() or 1) + 2, 8)))
"""Two processes more than cores, since tests that run daemons mostly wait; tests/conftest.py says which stay together."""
OWN_FLAGS = frozenset({"--real", "--upstream", "--long", "--postgresql", "-h", "--help"})
ON_POSTGRESQL = ("tests/core", "tests/lifecycles", "tests/api")
"""What runs a second time on PostgreSQL unless folders are named; tests/postgresql is about it and has servers of its own."""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real", action="store_true", help="also those that need root, QEMU and OVN")
    parser.add_argument("--upstream", action="store_true", help="also Tempest")
    parser.add_argument("--long", action="store_true", help="also the long forms of some")
    parser.add_argument("--postgresql", action="store_true", help="then once more on a PostgreSQL server of its own")


def run(options: argparse.Namespace) -> int:
    root = source_root()
    if options.real:
        _prepare_real(root)
    os.chdir(root)
    os.environ["PYTHONPATH"] = str(root / "src")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # a second run need not compile the tests again
    if options.upstream:
        os.environ["TIFFIN_TEMPEST_PYTHON"] = str(root / ".venv-upstream/bin/python")
    if options.postgresql:
        packages.ensure(packages.POSTGRESQL, root / "build" / "setup.log")
    code = _pytest(["-m", selection(options.real, options.upstream, options.long), *options.words])
    return (code or _again_on_postgresql(options.words, options.long)) if options.postgresql else code


def _pytest(words: list[str]) -> int:
    argv = [sys.executable, "-P", "-m", "pytest", *IN_PARALLEL, *words]
    return subprocess.run(argv, check=False).returncode


def _again_on_postgresql(words: list[str], long: bool) -> int:
    """What `words` name, or else all of `ON_POSTGRESQL`."""
    named = any(word.startswith("tests") for word in words)
    with postgresql.private_server() as server:
        os.environ["TIFFIN_TEST_DATABASE"] = server.url().replace("://", "+psycopg://", 1)
        return _pytest(["-m", selection(False, False, long), *words, *(() if named else ON_POSTGRESQL)])


def selection(real: bool, upstream: bool, long: bool) -> str:
    """Pytest's marker expression: what needs no preparation, and what was asked for besides."""
    left_out = [marker for marker, wanted in (("real", real), ("upstream", upstream), ("long", long)) if not wanted]
    return " and ".join(f"not {marker}" for marker in left_out)


def _prepare_real(root: Path) -> None:
    """Packages, and a guest image with its kernel in build/guest-images: TIFFIN_GUEST_IMAGES names the folder."""
    if os.geteuid() != 0:
        raise CliError("the real tests make network namespaces: run them as root, or without --real.")
    build = root / "build"
    log, folder = build / "setup.log", build / "guest-images"
    packages.ensure({**packages.REAL_TESTS, **packages.POSTGRESQL}, log)
    newest = max(file.stat().st_mtime for file in (root / "images").rglob("*"))
    made = folder / "tiny.qcow2"
    if not made.exists() or made.stat().st_mtime < newest:
        image.build("tiny", made, build, log)
    os.environ["TIFFIN_GUEST_IMAGES"] = str(folder)
