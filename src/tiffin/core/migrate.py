"""Brings the database to the newest schema. Alembic is imported only when there is something to do."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import inspect, text

from tiffin.core.database import Database

FOLDER = Path(__file__).parent.parent / "migrations"


def newest() -> str:
    """The revision that the code expects: the last of a straight line, `0001_...`, `0002_...`."""
    return max(file.name[:4] for file in (FOLDER / "versions").glob("[0-9]*.py"))


def current(database: Database) -> str | None:
    """The revision of the database; None when it is empty."""
    with database.engine.connect() as connection:
        if not inspect(connection).has_table("alembic_version"):
            return None
        found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
        return found


def migrate(database: Database) -> bool:
    """Upgrade to the newest revision. True when there was something to do. A kill half way repeats the step."""
    if current(database) == newest():
        return False
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["database"] = database
    command.upgrade(config, "head")
    return True
