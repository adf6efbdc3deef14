"""`tiffin audit`: which changes it shows, and how."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databases import side_by_side
from tiffin.cli.audit import conditions, line, moment, read
from tiffin.cli.errors import CliError
from tiffin.cli.main import main
from tiffin.core import changes
from tiffin.core.audit import Taxonomy
from tiffin.core.database import Database
from tiffin.core.settings import Settings, save
from tiffin.core.state_folder import StateFolder
from tiffin.core.tables import LOGIN

NOW = 1_800_000_000.0
WORDS = Taxonomy("service/x")


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    made = side_by_side(tmp_path)
    yield made
    made.close()


def add(database: Database, kind: str = "create", at: float = NOW, **more: Any) -> None:
    pictures = {name: more.pop(name) for name in ("before", "after") if name in more}
    resource = more.pop("resource", ("identity.user", "u1"))
    fields: dict[str, Any] = {"actor_id": "a1", "project_id": None, "via": {"user": "root", "address": "192.0.2.1"}, **more}
    with database.write() as session:
        changes.record(session, changes.Origin(at=at, request_id="req-1", **fields), kind, resource, **pictures)


def shown(database: Database, since: str | None = None, user: str | None = None) -> list[str]:
    return [line(change, WORDS) for change in read(database, conditions(since, user, NOW), False)]


def test_lines_for_people(database: Database) -> None:
    add(database, after={"name": "ann"})
    add(database, "update", before={"a": 1, "b": 2, "name": "ann"}, after={"a": 1, "b": 3, "name": "ann"})
    add(database, LOGIN, after={"outcome": "failure", "methods": ["password"], "reason": "wrong"})
    add(database, "error", resource=("x.box", "b1"), actor_id=None, via=None)
    add(database, "delete", via={"user": "root", "address": "192.0.2.1", "trust_id": "t1", "domain_id": "d1"})
    assert [" ".join(text.split()) for text in shown(database)] == [
        "2027-01-15T08:00:00Z root 192.0.2.1 created user u1 'ann'",
        "2027-01-15T08:00:00Z root 192.0.2.1 updated user u1 'ann' b",
        "2027-01-15T08:00:00Z root 192.0.2.1 login by password: failure (wrong)",
        "2027-01-15T08:00:00Z tiffin - error box b1: failure",
        "2027-01-15T08:00:00Z root 192.0.2.1 deleted user u1 trust_id=t1",
    ]


def test_since_and_by_user(database: Database) -> None:
    add(database, at=NOW - 7200, resource=("identity.user", "old"))
    add(database, after={"name": "ann"})
    add(database, actor_id="a2", via={"user": "bob"}, resource=("identity.group", "g1"))
    add(database, LOGIN, actor_id=None, via={"user": "ann"}, resource=("identity.user", "u1"))
    assert len(shown(database)) == 4
    assert len(shown(database, since="1h")) == 3
    assert len(shown(database, since="2027-01-15T08:00:00")) == 3
    assert len(shown(database, user="ann")) == 2
    assert len(shown(database, user="u1")) == 2
    assert len(shown(database, user="bob")) == len(shown(database, user="a2")) == 1
    assert shown(database, user="nobody") == []


def test_following(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    add(database, "first")
    coming = read(database, [], True)
    assert next(coming).kind == "first"
    add(database, "second")
    assert next(coming).kind == "second"


def test_moments() -> None:
    assert [moment(text, NOW) for text in ("90s", "30m", "12h", "7d")] == [NOW - s for s in (90, 1800, 43_200, 604_800)]
    assert moment("2027-01-15T08:00:00", 0) == moment("2027-01-15T10:00:00+02:00", 0) == NOW
    for wrong in ("yesterday", "5", "5w", "99999-01-01", ""):
        with pytest.raises(CliError, match="is no time"):
            moment(wrong, NOW)


def test_a_database_of_another_version(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.create()
    save(Settings(home=folder.root, simulated=True))
    assert main(["audit", "--home", str(folder.root)]) == 1
    assert "has not served the cloud yet" in capsys.readouterr().err
