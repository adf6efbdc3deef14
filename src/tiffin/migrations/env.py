"""How Alembic runs our migrations: on the engine that the server has open already."""

from __future__ import annotations

from alembic import context

from tiffin.core.database import Database
from tiffin.core.tables import Table

database: Database = context.config.attributes["database"]

with database.writer.connect() as connection:
    context.configure(
        connection=connection,
        target_metadata=Table.metadata,
        render_as_batch=True,
        transaction_per_migration=not database.is_server,  # in one, under the lock of writers: several may start at once
        include_object=context.config.attributes.get("include_object"),
    )
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()
