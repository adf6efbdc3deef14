"""Writers of a SQLite file come one after the other."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import OperationalError

from tiffin.core import database
from tiffin.core.database import Database, is_away


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    with contextlib.closing(Database(f"sqlite:///{tmp_path / 'a.db'}")) as made:
        with made.write() as session:
            session.execute(text("CREATE TABLE counter (n INTEGER)"))
            session.execute(text("INSERT INTO counter VALUES (0)"))
        yield made


def _counted(file: Database) -> int:
    with file.read() as session:
        found: int = session.execute(text("SELECT n FROM counter")).scalar_one()
        return found


def _count(file: Database, times: int) -> None:
    for _ in range(times):
        with file.write() as session:
            seen: int = session.execute(text("SELECT n FROM counter")).scalar_one()
            session.execute(text("UPDATE counter SET n = :n"), {"n": seen + 1})


def _count_laxly(file: Database, times: int) -> None:
    for _ in range(times):
        with file.write(lax=True) as session:
            session.execute(text("UPDATE counter SET n = n + 1"))


def test_writers_take_turns(file: Database) -> None:
    threads = [threading.Thread(target=count, args=(file, 50)) for count in 4 * [_count, _count_laxly]]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert _counted(file) == 400


def test_who_waits_too_long_for_another_writer_is_told_that_the_database_is_away(
    file: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "PATIENCE", 0.01)
    with file.write() as session:
        session.execute(text("UPDATE counter SET n = 5"))
        with pytest.raises(OperationalError) as busy, file.write():
            raise AssertionError("two writers at a time")
        assert is_away(busy.value)
        assert _counted(file) == 0  # readers wait for nobody
    assert _counted(file) == 5
    _count(file, 1)
    assert _counted(file) == 6
