"""Machines become hosts by a token, and only then; what one has cannot be used by another."""

from __future__ import annotations

import contextlib
import http.client
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest

from host.machines import Controllers, Machine
from tiffin.core.certificates import Identity
from tiffin.core.driver import Impossible, Refused
from tiffin.core.errors import Conflict
from tiffin.core.remote import Connection
from tiffin.host.agent import RENEW_WHEN_LEFT, renew
from tiffin.host.door import CONTROLLER
from tiffin.host.joining import JoinFailed
from tiffin.services.compute import joining
from tiffin.services.compute.joining import JoinToken, read_token
from tiffin.services.compute.tables import Controller


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Controllers]:
    made = Controllers(tmp_path)
    yield made
    made.close()


def test_a_token_is_words_for_people(cloud: Controllers) -> None:
    token = cloud.token()
    assert read_token(token.text()) == token
    assert token.secret not in str([*cloud.folder.rglob("*")])
    for wrong in ("", "hello", token.text()[:40]):
        with pytest.raises(ValueError, match="no token to join with"):
            read_token(wrong)


def test_a_machine_joins_and_may_ask_again(cloud: Controllers) -> None:
    token, machine = cloud.token(), cloud.machine("host-2")
    machine.join(token)
    first = machine.identity.certificate.read_bytes()
    machine.join(token)  # as one does whose answer was lost
    assert machine.identity.certificate.read_bytes() != first
    assert machine.identity.key.stat().st_mode & 0o077 == 0


def test_a_token_lets_one_machine_in(cloud: Controllers) -> None:
    token = cloud.token()
    cloud.machine("host-2").join(token)
    with pytest.raises(JoinFailed, match="Another machine has joined"):
        cloud.machine("host-3").join(token)


def test_a_token_may_name_its_host(cloud: Controllers) -> None:
    token = cloud.token("host-2")
    with pytest.raises(JoinFailed, match="lets nobody join"):
        cloud.machine("host-3").join(token)
    cloud.machine("host-2").join(token)


def test_a_token_ends(cloud: Controllers) -> None:
    token = cloud.token(seconds=60)
    cloud.clock.now += 61
    with pytest.raises(JoinFailed, match="host token"):
        cloud.machine("host-2").join(token)


def test_names_that_are_taken(cloud: Controllers, tmp_path: Path) -> None:
    with pytest.raises(JoinFailed, match="a host host-1 already"):
        cloud.machine("host-1").join(cloud.token())
    cloud.machine("host-2").join(cloud.token())
    thief = Machine("host-2", tmp_path / "elsewhere", cloud.door.port)
    with pytest.raises(JoinFailed, match="with another key"):
        thief.join(cloud.token())
    assert not thief.identity.certificate.exists()


@pytest.mark.parametrize("name", ["Host", "a b", "../x", "-a", "x" * 64])
def test_names_that_are_none(cloud: Controllers, name: str, tmp_path: Path) -> None:
    machine = cloud.machine("fine")
    machine.name = name
    with pytest.raises(JoinFailed, match="no name for a host"):
        machine.join(cloud.token())


def test_a_secret_is_told_to_the_right_cloud_only(cloud: Controllers, tmp_path: Path) -> None:
    other = Controllers(tmp_path / "other")
    try:
        with pytest.raises(JoinFailed, match="not the cloud that this token is for"):
            other.machine("host-2").join(cloud.token())
    finally:
        other.close()


def test_a_false_secret(cloud: Controllers) -> None:
    token = cloud.token()
    with pytest.raises(JoinFailed, match="lets nobody join"):
        cloud.machine("host-2").join(JoinToken("guessed", token.fingerprint))


def test_who_does_not_answer(cloud: Controllers) -> None:
    machine = cloud.machine("host-2")
    machine.port = 1
    with pytest.raises(JoinFailed, match="does not answer"):
        machine.join(cloud.token())


def test_strangers_are_told_nothing(cloud: Controllers) -> None:
    context = ssl.create_default_context(cadata=cloud.keys.controllers.certificate().decode())
    connection = Connection(CONTROLLER, ("127.0.0.1", cloud.door.port), context)
    for path in ("/images/x", "/nothing"):
        assert connection.ask("GET", path).status == 403
    assert connection.ask("POST", "/metadata", b"{}").status == 403
    assert connection.ask("POST", "/join", b"{}").status == 400
    connection.close()


def test_a_removed_host_is_answered_no_more(cloud: Controllers) -> None:
    machine = cloud.host("host-2")
    with pytest.raises(Impossible, match="No guest of host-2"):
        machine.controller().image("x")
    with cloud.cloud.database.write() as session:
        assert joining.remove(session, cloud.clock.now, "host-2")
        assert not joining.remove(session, cloud.clock.now, "host-2")
    with pytest.raises(Refused, match="Only hosts that have joined"):
        machine.controller().image("x")
    cloud.look()
    assert cloud.joined.names() == ["host-1"]


def test_a_host_with_servers_is_not_removed(cloud: Controllers) -> None:
    cloud.furnish()
    cloud.host("host-2")
    cloud.ok("PUT", f"/os-services/{_service(cloud, 'host-1')}", {"status": "disabled"}, token="admin")
    cloud.server()
    with cloud.cloud.database.write() as session, pytest.raises(Conflict, match="There are servers on host-2"):
        joining.remove(session, cloud.clock.now, "host-2")


def test_a_controller_with_servers_on_its_hosts_is_not_removed(cloud: Controllers) -> None:
    cloud.furnish()
    cloud.server()
    with cloud.cloud.database.write() as session:
        session.add(Controller(name="a", node="a", address="x:1", network="", hosts=["host-0", "host-1"]))
    with cloud.cloud.database.write() as session, pytest.raises(Conflict, match="There are servers on a"):
        joining.remove(session, cloud.clock.now, "a")


def _service(cloud: Controllers, host: str) -> str:
    found = cloud.ok("GET", f"/os-services?host={host}", token="admin")["services"]
    return str(found[0]["id"])


def test_certificates_are_renewed(cloud: Controllers) -> None:
    machine = cloud.host("host-2")
    before, ends = machine.identity.certificate.read_bytes(), machine.identity.expires_at()
    renew(machine.identity, machine.membership, machine.controller(), ends - RENEW_WHEN_LEFT - 60)
    assert machine.identity.certificate.read_bytes() == before
    renew(machine.identity, machine.membership, machine.controller(), ends - RENEW_WHEN_LEFT + 60)
    assert machine.identity.certificate.read_bytes() != before
    assert cloud.joined.hypervisor("host-2").facts().hostname == "host-2"


def test_hosts_do_not_open_other_hosts(cloud: Controllers) -> None:
    """The certificate of a host is good for the controller alone."""
    first, second = cloud.host("host-2"), cloud.host("host-3")
    context = first.identity.client_context()
    context.load_verify_locations(cadata=cloud.keys.hosts.certificate().decode())
    connection = Connection("host-3", ("127.0.0.1", second.server.port), context)
    with pytest.raises(Refused):
        connection.ask("POST", "/hypervisor/guests", b"[]")
    connection.close()


def test_a_host_is_who_it_says(cloud: Controllers) -> None:
    """A controller that is sent to another machine's address does not speak to it."""
    first = cloud.host("host-2")
    connection = Connection("host-3", ("127.0.0.1", first.server.port), cloud.keys.own.client_context())
    with pytest.raises(Refused, match=r"host-3 does not answer.*match"):
        connection.ask("POST", "/hypervisor/guests", b"[]")
    connection.close()


def test_no_certificate_no_word(cloud: Controllers) -> None:
    first = cloud.host("host-2")
    context = ssl.create_default_context(cadata=cloud.keys.hosts.certificate().decode())
    context.check_hostname = False
    with contextlib.closing(http.client.HTTPSConnection("127.0.0.1", first.server.port, context=context)) as connection:

        def ask() -> None:
            connection.request("POST", "/hypervisor/guests", b"[]")
            connection.getresponse()  # TLS 1.3: the refusal may come as late as this

        with pytest.raises(OSError, match=r"certificate required|reset|closed|EOF"):
            ask()


def test_an_authority_is_made_once(cloud: Controllers) -> None:
    before = (cloud.keys.hosts.certificate(), cloud.keys.own.certificate.read_bytes())
    cloud.keys.ensure(cloud.clock.now)
    assert (cloud.keys.hosts.certificate(), cloud.keys.own.certificate.read_bytes()) == before


def test_a_folder_without_a_certificate(tmp_path: Path) -> None:
    assert Identity(tmp_path / "x").expires_at() == 0.0
