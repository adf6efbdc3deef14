"""Gives a cloud its administrator back, whether it runs or not: `python -m tiffin.recover --home HOME`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from tiffin.core.database import Database
from tiffin.core.migrate import current, newest
from tiffin.core.settings import Settings, load
from tiffin.core.state_folder import StateFolder
from tiffin.core.world import World
from tiffin.services.identity import public


def recover(settings: Settings) -> bool:
    """Have the user `admin`, with its roles and the password of HOME/secrets.json; whether this could be."""
    own, folder, world = settings.section("identity", public.IdentitySettings), StateFolder(settings.home), World()
    password = folder.secrets().admin_password
    kept = public.hash_password(password, own.password_rounds)
    database = Database(settings.database or f"sqlite:///{folder.database}", durable=not settings.simulated)
    try:
        if current(database) != newest():
            return False
        with database.write() as session:
            public.bootstrap(session, world, password, settings.region, settings.url)
            public.recover_admin(session, world, kept, own.passwords)
    finally:
        database.close()
    folder.write_clouds_yaml(settings)
    return True


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tiffin.recover", description=__doc__)
    parser.add_argument("--home", type=Path, required=True)
    if recover(load(parser.parse_args(argv).home)):
        return 0
    print("This version has not served the cloud yet; start it, then try again.", file=sys.stderr)  # noqa: T201 (for people)
    return 1


if __name__ == "__main__":
    sys.exit(main())
