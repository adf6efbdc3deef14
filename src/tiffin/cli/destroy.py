"""Stop the cloud and remove its state: every server, image, password. There is no way back."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from tiffin.cli import down
from tiffin.cli.cloud import Cloud, alone, home_of
from tiffin.cli.errors import CliError
from tiffin.cli.progress import step
from tiffin.core.settings import load
from tiffin.core.state_folder import StateFolder


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--yes", action="store_true", help="do not ask")


def run(options: argparse.Namespace) -> int:
    folder = StateFolder(home_of(options.home))
    if not is_ours(folder):
        raise CliError(f"{folder.root} is not the state folder of a cloud; nothing was removed.")
    if not folder.root.exists() or not any(folder.root.iterdir()):
        print(f"There is no cloud in {folder.root}; nothing to remove.")
        return 0
    if not options.yes:
        _ask(folder.root)
    with alone(folder):
        down.stop(Cloud(load(folder.root), folder), keep_guests=False)
        with step(f"Removing {folder.root}"):
            remove(folder)
    print(f"The cloud in {folder.root} is gone.")
    return 0


def is_ours(folder: StateFolder) -> bool:
    """Whether the folder is a cloud's, or what `image build` left, or empty, or not there at all."""
    if folder.settings_file.exists() or not folder.root.exists():
        return True
    return {entry.name for entry in folder.root.iterdir()} <= {path.name for path in (*folder.folders, folder.cache)}


def remove(folder: StateFolder) -> None:
    """Remove the state folder; tiffin.toml goes last, so that an interrupted `destroy` can be repeated."""
    for entry in sorted(folder.root.iterdir(), key=lambda path: path == folder.settings_file):
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()
    try:
        folder.root.rmdir()
    except OSError as error:
        if not os.path.ismount(folder.root):  # a volume that somebody mounted there stays
            raise CliError(f"{folder.root} is not empty: {error.strerror}; look what lies there.") from error


def _ask(root: Path) -> None:
    if not sys.stdin.isatty():
        raise CliError("destroy asks before it removes anything; say --yes where nobody can answer.")
    answer = input(f"Remove the cloud in {root} with everything in it? Type yes: ")
    if answer.strip() != "yes":
        raise CliError("nothing was removed.")
