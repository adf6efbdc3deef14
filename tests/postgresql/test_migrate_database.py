"""`migrate-database`: a living cloud moves from SQLite to PostgreSQL, whole or not at all."""

from __future__ import annotations

import contextlib
import json
import signal
import subprocess
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from postgresql.test_two_controllers import Client, ask
from running_cloud import RunningCloud, running_cloud, start_tiffin
from tiffin.cli.postgresql import Server
from tiffin.core import moving
from tiffin.core.database import Database
from tiffin.core.migrate import migrate
from tiffin.core.tables import Change, Fact, IdempotentAnswer, LifecycleRow
from tiffin.main import SERVICES
from tiffin.services.identity.tables import Project


@pytest.fixture
def empty(server: Server) -> str:
    return server.make(f"moved_{uuid.uuid4().hex[:8]}")


@pytest.fixture
def file(tmp_path: Path) -> Iterator[Database]:
    """A database in a file, with some rows of every kind of column."""
    for ref in SERVICES:
        __import__(ref.module)
    database = Database(f"sqlite:///{tmp_path / 'x.db'}", durable=False)
    migrate(database)
    with database.write() as session:
        session.add(Fact(name="n", value='tab\tline\nback\\slash \\N "quoted" \u00e9\U0001f600'))
        session.add(IdempotentAnswer(id="i", fingerprint="f", at=1800000000.123456789, answer=bytes(range(256))))
        session.add_all(
            LifecycleRow(
                id=f"l{n}", kind="k", resource_id=f"r{n}", step="rest", frame={"deep": [n, None, {"é": True}]}, wake=None,
                request_id="req", turn=2**40 + n,
            )
            for n in range(2500)
        )  # fmt: skip
        session.add(
            Change(
                sequence=77, at=1.5, request_id="r", actor_id=None, project_id=None, resource_type="t", resource_id="x",
                kind="create", before=None, after={"a": 1}, via=None,
            )
        )  # fmt: skip
        child, parent = (
            Project(id=id, name=id, domain_id=None, parent_id=None, is_domain=True, enabled=True, description="")
            for id in ("child", "parent")
        )
        for row in (child, parent):  # so that it stands before what it refers to
            session.add(row)
            session.flush()
        child.parent_id, child.domain_id, child.is_domain = "parent", "parent", False
    yield database
    database.close()


def test_every_value_arrives(file: Database, empty: str) -> None:
    with contextlib.closing(Database(empty)) as target:
        moving.prepare(target)
        with file.write() as source:
            counts = moving.move(source, target, lambda name, count: None)
        assert counts["lifecycle"] == 2500
        assert counts["identity_project"] == 2
        with target.read() as session:
            every = moving.tables(session)
        assert len(every) == len(counts) > 50
        for table in every:
            order = list(table.primary_key)
            with file.read() as one, target.read() as other:
                here, there = (list(session.execute(select(table).order_by(*order))) for session in (one, other))
            assert sorted(map(repr, here)) == sorted(map(repr, there)), table.name
        with target.write() as session:  # numbers go on
            session.add(
                Change(
                    at=2.0, request_id="r", actor_id=None, project_id=None, resource_type="t", resource_id="x", kind="update",
                    before=None, after=None, via=None,
                )
            )  # fmt: skip
            session.flush()
            assert session.scalar(select(Change.sequence).order_by(Change.sequence.desc()).limit(1)) == 78


def test_a_target_that_is_used_is_refused(file: Database, empty: str) -> None:
    with contextlib.closing(Database(empty)) as target:
        with target.writer.begin() as connection:
            connection.exec_driver_sql("CREATE TABLE theirs (n INTEGER)")
        with pytest.raises(moving.CannotMove, match="it has a table `theirs`"):
            moving.prepare(target)
        with target.writer.begin() as connection:
            connection.exec_driver_sql("DROP TABLE theirs")
        moving.prepare(target)
        moving.prepare(target)  # a move that ended before its rows came may begin again
        with target.write() as session:
            session.add(Fact(name="n", value=""))
        with pytest.raises(moving.CannotMove, match="its table `fact` has rows"):
            moving.prepare(target)
    with contextlib.closing(Database("sqlite://")) as target, pytest.raises(moving.CannotMove, match="postgresql://"):
        moving.prepare(target)


def test_what_differs_after_the_copy_is_not_kept(file: Database, empty: str) -> None:
    """A trigger of somebody's changes what arrives."""
    with contextlib.closing(Database(empty)) as target:
        moving.prepare(target)
        with target.writer.begin() as connection:
            connection.exec_driver_sql(
                "CREATE FUNCTION spoil() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN NEW.value = 'x'; RETURN NEW; END $$"
            )
            connection.exec_driver_sql("CREATE TRIGGER spoil BEFORE INSERT ON fact FOR EACH ROW EXECUTE FUNCTION spoil()")
        with file.write() as source, pytest.raises(moving.CannotMove, match="`fact` differ"):
            moving.move(source, target, lambda name, count: None)
        with target.read() as session:
            assert session.scalar(select(LifecycleRow.id).limit(1)) is None


def test_a_living_cloud_moves_and_nothing_is_lost(empty: str) -> None:
    with running_cloud(simulated=True) as cloud:
        with cloud.connect() as connection:
            token = str(connection.auth_token)
        clients = [Client([cloud.address], token, seed) for seed in (1, 2)]
        for client in clients:
            client.start()
        time.sleep(1.0)
        done = cloud.tiffin("migrate-database", empty, "--json")
        time.sleep(1.0)
        for client in clients:
            client.stop()
        assert json.loads(done.stdout)["tables"]["network"] >= 1
        wanted = sorted(id for client in clients for id in client.alive)
        _, found = ask(cloud.address, "GET", "/network/v2.0/networks", X_Auth_Token=token)
        assert sorted(one["id"] for one in found["networks"] if one["name"].startswith("c")) == wanted
        assert "postgresql://" in (cloud.home / "tiffin.toml").read_text()
        again = cloud.tiffin("migrate-database", empty, check=False)
        assert again.returncode == 1
        assert "on a database server already" in again.stderr


def test_killed_anywhere_the_cloud_is_where_it_was(server: Server) -> None:
    """Its settings name the file until the very end, and what was half done elsewhere does not hinder the next try."""
    with running_cloud(simulated=True) as cloud:
        for delay in (0.3, 0.6, 0.8, 1.0, 1.2):
            url = server.make(f"killed_{uuid.uuid4().hex[:8]}")
            command = start_tiffin("migrate-database", url, "--home", str(cloud.home))
            try:
                command.wait(delay)
            except subprocess.TimeoutExpired:
                command.send_signal(signal.SIGKILL)
            command.communicate()
            _assert_works(cloud)
            if url in (cloud.home / "tiffin.toml").read_text():
                return
        cloud.tiffin("migrate-database", server.make(f"at_last_{uuid.uuid4().hex[:8]}"))
        _assert_works(cloud)


def _assert_works(cloud: RunningCloud) -> None:
    cloud.tiffin("up")
    with cloud.connect() as connection:
        network = connection.network.create_network(name="n")
        connection.network.delete_network(network)
        assert [image.name for image in connection.image.images()] == ["tiffin-tiny"]
