"""Build a guest image from Debian packages: `tiny`, small and quick, or `debian`, a cloud image with cloud-init."""

from __future__ import annotations

import argparse
import os
import shutil
from pathlib import Path

from tiffin.cli import packages
from tiffin.cli.cloud import home_of, source_root
from tiffin.cli.errors import CliError
from tiffin.cli.progress import run as run_program
from tiffin.cli.progress import step
from tiffin.core.state_folder import StateFolder

FILES = {"tiny": "tiffin-tiny.qcow2", "debian": "debian-12.qcow2"}
NEEDS = {"tiny": packages.TINY_IMAGE, "debian": packages.DEBIAN_IMAGE}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("build",))
    parser.add_argument("kind", choices=tuple(FILES))
    parser.add_argument("--output", type=Path, metavar="FILE", help="default: images-src in the state folder")


def run(options: argparse.Namespace) -> int:
    folder = StateFolder(home_of(options.home))
    output = options.output.resolve() if options.output else folder.image_sources / FILES[options.kind]
    folder.create()
    log = folder.log.with_name("setup.log")
    pretence = {} if os.geteuid() == 0 else {"fakeroot": "fakeroot"}
    packages.ensure({**NEEDS[options.kind], **pretence}, log)
    build(options.kind, output, folder.cache, log)
    print(f"{output}  ({output.stat().st_size / 1e6:.0f} MB)")
    named = f"{options.kind} --disk-format qcow2 --container-format bare --file {output}"
    print(f"To have it in the cloud: ./tiffin openstack image create {named}")
    return 0


def ensure(kind: str, output: Path, cache: Path, log: Path) -> None:
    """Build the image unless it is there."""
    if not output.exists():
        build(kind, output, cache, log)


def build(kind: str, output: Path, cache: Path, log: Path) -> None:
    """Run the image's build script in a folder beside `output`; the file appears there whole or not at all, after what
    the script leaves beside it.

    Raises `CliError` with the script's last words when it fails."""
    script = source_root() / "images" / kind / "build"
    if kind == "debian" and os.geteuid() != 0:
        raise CliError("only root can build the Debian image (chroot); try again by sudo.")
    work = output.with_name(f".{output.name}.{os.getpid()}")
    shutil.rmtree(work, ignore_errors=True)
    made, debs = work / "made", cache / "debs"
    work.mkdir(mode=0o700, parents=True)
    made.mkdir()
    debs.mkdir(parents=True, exist_ok=True)
    try:
        with step(f"Building the guest image {kind}") as current:
            run_program([str(script), str(made / output.name)], current, log, {"WORK": str(work), "DEBS": str(debs)})
        for file in sorted(made.iterdir(), key=lambda file: file.name == output.name):
            file.replace(output.with_name(file.name))
    finally:
        shutil.rmtree(work, ignore_errors=True)
