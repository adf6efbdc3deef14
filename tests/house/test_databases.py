"""What is written today works on SQLite and on PostgreSQL: who speaks to one of them alone says so in one place."""

from __future__ import annotations

import re

from house import tree

OF_ONE_DATABASE = re.compile(
    r"is_server|dialect\.name|sqlite3|psycopg|exec_driver_sql|json_each|json_group|json_agg|group_concat|string_agg"
    r"|func\.(?:ifnull|iif|instr|strpos|strftime|unixepoch|to_timestamp|printf)\b"
)
KNOW_THEM_APART = {"databases.py", "stored.py"}
"""Of the tests: whoever else names one of them runs on that one only."""
ABOUT_THEM = ("tests/postgresql/", "tests/house/", "tests/core/test_database.py")


def test_services_know_no_database() -> None:
    for file in (path for path in tree.files() if "services" in path.parts):
        found = OF_ONE_DATABASE.search(file.read_text())
        assert found is None, f"{tree.name(file)} says {found}: what databases say in different words is in core/sql.py"


def test_tests_run_on_every_database() -> None:
    for file in (tree.ROOT / "tests").rglob("*.py"):
        if file.name in KNOW_THEM_APART or tree.name(file).startswith(ABOUT_THEM):
            continue
        found = re.search(r"sqlite:/|import sqlite3", file.read_text())
        assert found is None, f"{tree.name(file)} says {found}: tests take their databases from tests/databases.py"
