"""Whether a client is seen to have gone."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest
from falcon.testing import create_req

from tiffin.core.http import peer


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    with socket.create_server(("127.0.0.2", 0)) as server, socket.socket() as client:
        client.bind(("127.0.0.3", 0))  # an address that no other connection of this process has
        client.connect(server.getsockname())
        with server.accept()[0] as served:
            yield client, served


def wait_until_gone(received: int) -> bool:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if not peer.is_there(create_req(remote_addr="127.0.0.3"), received):
            return True
    return False


def test_a_client_that_waits_for_its_answer(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    client.sendall(b"x" * 1000)
    assert len(served.recv(1000, socket.MSG_WAITALL)) == 1000
    assert peer.is_there(create_req(remote_addr="127.0.0.3"), 1000)


def test_a_client_that_is_gone(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    client.sendall(b"x" * 1000)
    assert len(served.recv(1000, socket.MSG_WAITALL)) == 1000
    client.close()
    assert wait_until_gone(1000)


def test_another_connection_of_the_same_client(pair: tuple[socket.socket, socket.socket]) -> None:
    client, served = pair
    client.sendall(b"x")
    assert served.recv(1) == b"x"
    assert not peer.is_there(create_req(remote_addr="127.0.0.3"), 1000)
