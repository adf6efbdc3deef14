"""The migrations lead to exactly the tables of the code, in one straight line."""

from __future__ import annotations

import re
from typing import Any

from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext

from databases import empty_url
from tiffin.core.database import Database
from tiffin.core.migrate import FOLDER, current, migrate, newest
from tiffin.core.tables import Table
from tiffin.main import SERVICES


def _is_ours(thing: object, name: str | None, kind: str, reflected: bool, other: object) -> bool:
    """Tests have tables of their own, and share the process."""
    ours = {m.local_table for m in Table.registry.mappers if m.class_.__module__.startswith("tiffin.")}
    return kind != "table" or reflected or thing in ours


def test_they_make_what_the_code_expects() -> None:
    for ref in SERVICES:
        __import__(ref.module)
    database = Database(empty_url())
    assert migrate(database) is True
    assert current(database) == newest()
    assert migrate(database) is False
    with database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": _is_ours})
        assert compare_metadata(context, Table.metadata) == [], 'run tools/new-migration "what changed"'
    database.close()


def _is_ours(thing: Any, name: str | None, *_: Any) -> bool:
    """Whether the product has it: tests bring a service with a table of its own."""
    return name != "toy"


def test_they_are_one_line() -> None:
    numbers = sorted(file.name[:4] for file in (FOLDER / "versions").glob("[0-9]*.py"))
    assert numbers == [f"{n:04d}" for n in range(1, len(numbers) + 1)]


def test_an_inventory_knows_what_older_versions_have_allocated() -> None:
    database = Database(empty_url())
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["database"] = database
    command.upgrade(config, "0006")
    with database.writer.begin() as connection:
        for table, values in (
            ("resource_provider", "('p', 'host', 0, NULL, 'p', 0, 0)"),
            ("inventory", "('p', 'VCPU', 8, 0, 1, 8, 1, 1.0), ('p', 'DISK_GB', 8, 0, 1, 8, 1, 1.0)"),
            ("consumer", "('c', 'x', 'x', 'INSTANCE', 1, 0, 0), ('d', 'x', 'x', 'INSTANCE', 1, 0, 0)"),
            ("allocation", "('c', 'p', 'VCPU', 2), ('d', 'p', 'VCPU', 3)"),
        ):
            connection.exec_driver_sql(f"INSERT INTO {table} VALUES {values}")
    migrate(database)
    with database.engine.connect() as connection:
        used = connection.exec_driver_sql("SELECT resource_class, used FROM inventory ORDER BY resource_class").all()
    assert [tuple(row) for row in used] == [("DISK_GB", 0), ("VCPU", 5)]
    database.close()


def test_their_defaults_mean_the_same_on_every_database() -> None:
    """What Alembic writes of SQLite's booleans, `sa.text('1')`, PostgreSQL refuses: write sa.true()."""
    for file in (FOLDER / "versions").glob("[0-9]*.py"):
        assert not re.findall(r"Boolean\(\), server_default=sa\.text.*", file.read_text()), file.name
