"""The server of the metadata address, here on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest

from networks import eventually
from tiffin.services.network.drivers.metadata_http import MetadataServer


class Served:
    """A server of one network whose listener can be told what to do."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str, str, dict[str, str]]] = []
        self.may_answer = threading.Event()
        self.may_answer.set()
        self._socket = socket.create_server(("127.0.0.1", 0))
        self._socket.setblocking(False)
        self.address = self._socket.getsockname()
        self.server = MetadataServer(self._answer)
        self.server.serve("net", [self._socket])

    def _answer(
        self, network_id: str, remote: str, method: str, path: str, headers: dict[str, str]
    ) -> tuple[int, dict[str, str], bytes]:
        self.requests.append((network_id, remote, method, path, headers))
        self.may_answer.wait(5)
        if path == "/broken":
            raise ValueError("secret")
        return 200, {"Content-Type": "text/plain", "X-More": "1"}, b"hello"

    def connect(self) -> socket.socket:
        return socket.create_connection(self.address, 5)

    def ask(self, request: bytes) -> bytes:
        with self.connect() as connection:
            connection.sendall(request)
            return received(connection)


def received(connection: socket.socket) -> bytes:
    answer = b""
    while piece := connection.recv(65536):
        answer += piece
    return answer


@pytest.fixture
def served() -> Iterator[Served]:
    one = Served()
    yield one
    one.may_answer.set()
    one.server.close()


def test_a_request_is_handed_over_and_answered(served: Served) -> None:
    answer = served.ask(b"GET /a?b=c HTTP/1.1\r\nHost: x\r\nX-Metadata-Token:  t \r\n\r\n")
    assert answer == (
        b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nX-More: 1\r\nContent-Length: 5\r\n"
        b"Connection: close\r\n\r\nhello"
    )
    assert served.requests == [("net", "127.0.0.1", "GET", "/a?b=c", {"host": "x", "x-metadata-token": "t"})]


def test_head_has_no_body(served: Served) -> None:
    assert served.ask(b"HEAD / HTTP/1.0\r\n\r\n").endswith(b"Content-Length: 5\r\nConnection: close\r\n\r\n")


def test_an_error_of_ours_is_a_500_that_tells_nothing(served: Served, capsys: pytest.CaptureFixture[str]) -> None:
    answer = served.ask(b"GET /broken HTTP/1.1\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert b"secret" not in answer
    assert "metadata.failed" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/2\r\n\r\n", 400),
        (b"TRACE / HTTP/1.1\r\n\r\n", 400),
        (b"GET  / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: 1\r\nA: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\na: 1\r\n b\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n: 1\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n" + b"".join(b"h%d: 1\r\n" % n for n in range(70)) + b"\r\n", 431),
        (b"GET /" + b"x" * 9000 + b" HTTP/1.1\r\n\r\n", 431),
        (b"PUT / HTTP/1.1\r\nContent-Length: 1\r\n\r\nx", 413),
        (b"PUT / HTTP/1.1\r\nContent-Length: 0\r\n\r\n", 200),
    ],
)
def test_what_is_no_small_request_is_refused(served: Served, request_bytes: bytes, status: int) -> None:
    assert served.ask(request_bytes).startswith(b"HTTP/1.1 %d " % status)
    assert bool(served.requests) == (status == 200)


def test_a_guest_that_hangs_up_early_is_no_trouble(served: Served) -> None:
    for half in (b"", b"GET / HT", b"GET / HTTP/1.1\r\n"):
        with served.connect() as connection:
            connection.sendall(half)
    assert served.ask(b"GET / HTTP/1.1\r\n\r\n").endswith(b"hello")


def test_a_guest_holds_few_connections(served: Served) -> None:
    idle = [served.connect() for _ in range(8)]
    assert eventually(lambda: served.server.connections() == 8)
    with served.connect() as one_more, pytest.raises(ConnectionError):
        one_more.recv(1) or one_more.sendall(b"x" * 1_000_000)
    for one in idle:
        one.close()
    assert eventually(lambda: served.server.connections() == 0)
    assert served.ask(b"GET / HTTP/1.1\r\n\r\n").endswith(b"hello")


def test_close_ends_what_is_under_way(served: Served) -> None:
    served.may_answer.clear()
    with served.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
        assert eventually(lambda: bool(served.requests))
        closing = threading.Thread(target=served.server.close)
        closing.start()
        closing.join(5)
        assert not closing.is_alive()
    served.may_answer.set()


def test_a_network_that_is_stopped_is_answered_no_more(served: Served) -> None:
    served.server.stop("net")
    served.server.stop("net")
    with pytest.raises(OSError, match=r".*"):
        served.connect().close()
