"""Controllers on one server: each knows the others, or does not begin."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from sqlalchemy import select

from postgresql.worlds import controller, fresh
from support import TestCloud
from tiffin.cli.postgresql import Server
from tiffin.core.settings import SettingsError
from tiffin.services.compute import joining
from tiffin.services.compute.controllers import Mine, directory, hosts_elsewhere, take_place
from tiffin.services.compute.settings import Machines
from tiffin.services.compute.tables import Controller

DOOR_A, DOOR_B = "192.0.2.1:8443", "192.0.2.2:8443"


@pytest.fixture
def cloud(server: Server) -> Iterator[TestCloud]:
    made = controller(fresh(server))
    yield made
    made.close()


@contextlib.contextmanager
def alive(cloud: TestCloud, node: str) -> Iterator[None]:
    """Another process of this name is connected."""
    with cloud.cloud.database.engine.connect() as connection:
        connection.exec_driver_sql("SELECT pg_advisory_lock(hashtextextended(%s, 1))", (node,))
        yield
        connection.exec_driver_sql("SELECT pg_advisory_unlock(hashtextextended(%s, 1))", (node,))


def begin(cloud: TestCloud, name: str, hosts: tuple[str, ...] = (), **machines: str) -> None:
    take_place(cloud.cloud, Mine(name, f"node of {name}", Machines(**machines), hosts or (name,)))


def known(cloud: TestCloud) -> set[str]:
    with cloud.cloud.database.read() as session:
        return set(session.scalars(select(Controller.name)))


def test_each_tells_where_it_is_and_what_it_has(cloud: TestCloud) -> None:
    begin(cloud, "a", listen=DOOR_A)
    begin(cloud, "b", hosts=("b-1", "b-2"), listen=DOOR_B, network=DOOR_A)
    begin(cloud, "a", listen=DOOR_A)  # again, as after a restart
    with cloud.cloud.database.read() as session:
        assert hosts_elsewhere(session, frozenset("a")) == {"b-1": DOOR_B, "b-2": DOOR_B}
        assert hosts_elsewhere(session, frozenset({"b-1", "b-2"})) == {"a": DOOR_A}
    found = directory(cloud.cloud, Machines(listen=DOOR_B, network=DOOR_A))
    assert (found.controllers, found.network) == ((DOOR_A, DOOR_B), DOOR_A)
    assert directory(cloud.cloud, Machines(listen=DOOR_A)).network == DOOR_A


@pytest.mark.parametrize(
    ("wrong", "why"),
    [
        ({"name": "b", "listen": DOOR_B}, 'the controller a runs the networks: set `network = "192.0.2.1:8443"`'),
        ({"name": "b", "listen": DOOR_B, "network": "192.0.2.9:1"}, "there is no controller at 192.0.2.9:1 yet"),
        ({"name": "b", "hosts": ("a",), "listen": DOOR_B, "network": DOOR_A}, "another controller is a already"),
        ({"name": "b"}, "the controller a serves this cloud, too: set `listen` of both"),
    ],
)
def test_who_cannot_be_beside_another(cloud: TestCloud, wrong: dict[str, str], why: str) -> None:
    """Whether that one is there now or not: it may come back."""
    begin(cloud, "a", listen=DOOR_A)
    with pytest.raises(SettingsError, match=why):
        begin(cloud, **wrong)  # type: ignore[arg-type]
    assert known(cloud) == {"a"}


def test_a_name_or_an_address_is_free_when_its_owner_is_gone(cloud: TestCloud) -> None:
    begin(cloud, "a", listen=DOOR_A)
    with alive(cloud, "node of a"):
        with pytest.raises(SettingsError, match="the controller a is answered at"):
            begin(cloud, "b", listen=DOOR_A)
        with pytest.raises(SettingsError, match="another controller is a already"):
            take_place(cloud.cloud, Mine("a", "another node", Machines(listen=DOOR_B), ("a",)))
    begin(cloud, "b", listen=DOOR_A)
    assert known(cloud) == {"b"}
    take_place(cloud.cloud, Mine("b", "another node", Machines(listen=DOOR_B), ("b",)))
    assert known(cloud) == {"b"}


def test_one_that_lets_nobody_in_is_alone(cloud: TestCloud) -> None:
    begin(cloud, "a")
    with alive(cloud, "node of a"):
        with pytest.raises(SettingsError, match="the controller a serves this cloud, too"):
            begin(cloud, "b")
        with pytest.raises(SettingsError, match="set `listen` of both"):
            begin(cloud, "b", listen=DOOR_B)
    begin(cloud, "b")  # as a container that is started anew
    assert known(cloud) == {"b"}


def test_one_that_is_gone_for_good_is_removed(cloud: TestCloud) -> None:
    begin(cloud, "a", listen=DOOR_A)
    with cloud.cloud.database.write() as session:
        assert joining.remove(session, 1.0, "a")
        assert not joining.remove(session, 1.0, "a")
    begin(cloud, "b", listen=DOOR_B)
    assert known(cloud) == {"b"}
