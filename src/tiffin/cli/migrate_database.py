"""Move the cloud's rows from the SQLite file in its folder to an empty PostgreSQL database, and go on there.

The cloud may run meanwhile: it answers questions all the time, and changes wait for some seconds. Whatever ends this command
before it says that it is done, the cloud is where it was.
"""

from __future__ import annotations

import argparse
import time

from tiffin.cli import server
from tiffin.cli.cloud import Cloud, alone, command, open_cloud
from tiffin.cli.errors import CliError
from tiffin.cli.progress import step
from tiffin.core.settings import change, save


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("url", metavar="URL", help="postgresql://USER@HOST/NAME of an empty database")
    parser.add_argument("--json", action="store_true", help="for programs")


def run(options: argparse.Namespace) -> int:
    from sqlalchemy.exc import SQLAlchemyError

    from tiffin.core.moving import CannotMove

    cloud = open_cloud(options.home)
    began = time.monotonic()
    with alone(cloud.folder):
        if cloud.settings.database is not None:
            raise CliError("this cloud's rows are on a database server already (`database` in tiffin.toml).")
        moved = Cloud(change(cloud.settings, database=options.url), cloud.folder)
        try:
            counts, was_running = _move(cloud, moved)
        except CannotMove as no:
            raise CliError(f"{no}.") from None
        except SQLAlchemyError as no:
            raise CliError(f"the target does not do what it should: {getattr(no, 'orig', no)}") from None
        if was_running:
            _start(moved)
    _tell(options, counts, time.monotonic() - began, cloud)
    return 0


def _move(cloud: Cloud, moved: Cloud) -> tuple[dict[str, int], bool]:
    """The rows by table, and whether the cloud ran. Nobody writes to the file from the first row that is copied until the
    server that would has ended."""
    from importlib import import_module

    from tiffin.core import moving
    from tiffin.main import SERVICES, database_of, open_database

    for ref in SERVICES:
        import_module(ref.module)  # for its tables
    source, target = open_database(cloud.settings), database_of(moved.settings)
    try:
        moving.prepare(target)
        with step("Moving the rows") as current, source.write() as session:
            counts = moving.move(session, target, lambda name, count: current.tell(f"{name} {count}"))
            pid = server.running(cloud)
            if pid is not None:
                server.stop(pid)
            save(moved.settings)
    finally:
        source.close()
        target.close()
    return counts, pid is not None


def _start(cloud: Cloud) -> None:
    with step("Starting the cloud") as current:
        server.wait_until_works(cloud, server.start(cloud), current)


def _tell(options: argparse.Namespace, counts: dict[str, int], seconds: float, cloud: Cloud) -> None:
    rows, tables = sum(counts.values()), sum(1 for count in counts.values() if count)
    if options.json:
        import msgspec

        report = {"rows": rows, "seconds": round(seconds, 1), "tables": {name: n for name, n in counts.items() if n}}
        print(msgspec.json.format(msgspec.json.encode(report)).decode())
        return
    print(
        f"{rows} rows of {tables} tables have moved, in {seconds:.1f} seconds.\n"
        f"{cloud.folder.database} is as it was and no longer used; remove it when you need it no more.\n"
        f"`{command('status', options.home)}` shows how the cloud is."
    )
