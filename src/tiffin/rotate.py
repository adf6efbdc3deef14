"""Rotates the keys of a cloud, which may be running: `python -m tiffin.rotate credential-keys --home HOME`."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from tiffin.core.reencrypt import Renewed, renew_all
from tiffin.core.settings import Settings, load
from tiffin.core.state_folder import StateFolder
from tiffin.main import SERVICES, database_of
from tiffin.services.identity.public import Keys, secret_keys

KEPT = 3
"""Keys that stay: the one that encrypts, the one before it (a transaction that was open may still have used it), and the
next one, which every process knows before it is used."""


def credential_keys(settings: Settings) -> Renewed:
    """Let a new key encrypt stored secrets, encrypt all of them anew, and drop keys that no row needs any more. Nothing
    becomes unreadable on the way, wherever it is interrupted: older keys go last."""
    keys = secret_keys(Keys(StateFolder(settings.home).keys))
    for ref in SERVICES:
        import_module(ref.module)  # so that their tables are known
    keys.repository.promote()
    database = database_of(settings)
    try:
        done = renew_all(database, keys)
    finally:
        database.close()
    keys.repository.drop(KEPT)
    return done


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tiffin.rotate", description=__doc__)
    parser.add_argument("what", choices=["credential-keys"])
    parser.add_argument("--home", type=Path, required=True)
    options = parser.parse_args(argv)
    done = credential_keys(load(options.home))
    print(f"A new key encrypts; of {done.seen} stored secrets {done.renewed} were encrypted anew.")  # noqa: T201 (for people)
    if done.unreadable:
        print(f"{done.unreadable} cannot be read by any key in {options.home / 'keys'}.", file=sys.stderr)  # noqa: T201
    return 1 if done.unreadable else 0


if __name__ == "__main__":
    sys.exit(main())
