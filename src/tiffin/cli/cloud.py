"""Which cloud a command is about: its home, settings and state folder."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from tiffin.cli.errors import CliError
from tiffin.core.settings import Settings, load
from tiffin.core.state_folder import StateFolder


class Cloud(msgspec.Struct, frozen=True):
    settings: Settings
    folder: StateFolder


def home_of(chosen: Path | None) -> Path:
    """The state folder's path: as chosen, as TIFFIN_HOME says, or the usual place for this user (XDG base directory
    specification: state)."""
    if chosen is None and (named := os.environ.get("TIFFIN_HOME")):
        chosen = Path(named)
    if chosen is not None:
        return chosen.expanduser().resolve()
    if os.geteuid() == 0:
        return Path("/var/lib/tiffin")
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "tiffin"


def open_cloud(chosen: Path | None) -> Cloud:
    """The cloud that exists in this home. Raises `CliError` where there is none."""
    home = home_of(chosen)
    folder = StateFolder(home)
    if not folder.settings_file.exists():
        raise CliError(f"there is no cloud in {home}; start one by `{command('up', chosen)}`.")
    return Cloud(load(home), folder)


def command(words: str, chosen: Path | None) -> str:
    """A command line for people to type, which means the same cloud."""
    return f"./tiffin {words}" + (f" --home {chosen}" if chosen else "")


@contextmanager
def alone(folder: StateFolder) -> Iterator[None]:
    """Hold this cloud for changes: `up`, `down` and `destroy` wait for one another here."""
    while True:
        folder.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(folder.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            if _is_still(folder.root, descriptor):
                yield
                return
        finally:
            os.close(descriptor)


def _is_still(path: Path, descriptor: int) -> bool:
    """Whether the path names what was opened; a `destroy` may have removed it while we waited."""
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def source_root() -> Path:
    """The checkout that this code runs from. Raises `CliError` when it was installed without one."""
    root = Path(__file__).resolve().parents[3]
    if not (root / "requirements.lock").exists():
        raise CliError("this command needs Tiffin's source tree; clone the repository and use its ./tiffin.")
    return root
