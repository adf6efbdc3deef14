"""The metadata address as guests see it."""

from __future__ import annotations

import socket

import pytest

from networks import a_port
from ovn_guests import ONE, Cloud
from tiffin.services.network.drivers import netns
from tiffin.services.network.drivers.ovs_host import OvsHost

pytestmark = pytest.mark.real


def test_metadata_is_asked_by_the_guests_own_address(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.host.ensure_metadata(ONE, network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id))
    guest.lease()
    answer = guest.run("curl", "-s", "-m", "5", "-H", "X-Forwarded-For: 1.2.3.4", "http://169.254.169.254/latest?x=1")
    assert answer.stdout == "you are 10.0.1.10"
    asked = cloud.asked[-1]
    assert asked[:4] == (network.id, "10.0.1.10", "GET", "/latest?x=1")
    cloud.host.forget_metadata(ONE, network.id)


def test_metadata_answers_over_ipv6_too(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.host.ensure_metadata(ONE, network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id, port_security_enabled=False))
    answer = guest.run("curl", "-s", "-m", "5", "http://[fe80::a9fe:a9fe%25eth0]/")
    assert answer.stdout.startswith("you are fe80::")
    cloud.host.forget_metadata(ONE, network.id)


@pytest.mark.parametrize(
    ("request_bytes", "status"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b"200"),
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET http://x/ HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\na: " + b"x" * 20000 + b"\r\n\r\n", b"431"),
        (b"GET / HTTP/1.1\r\na b: c\r\n\r\n", b"400"),
        (b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n123456789", b"413"),
        (b"GET / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", b"413"),
        (b"\xff\xfe\x00\r\n\r\n", b"400"),
    ],
)
def test_metadata_refuses_what_is_no_small_request(cloud: Cloud, request_bytes: bytes, status: bytes) -> None:
    network = cloud.network()
    cloud.host.ensure_metadata(ONE, network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id))
    guest.lease()

    def talk() -> bytes:
        with socket.create_connection(("169.254.169.254", 80), 3) as connection:
            connection.sendall(request_bytes)
            return connection.recv(4096)

    assert guest.inside(talk).split(b" ")[1] == status
    cloud.host.forget_metadata(ONE, network.id)


def test_metadata_whose_namespace_was_removed_is_answered_again(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.host.ensure_metadata(ONE, network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id))
    guest.lease()
    netns.remove(cloud.names.metadata_netns(network.id))
    assert network.id not in cloud.host.metadata_networks()
    cloud.host.ensure_metadata(ONE, network)
    assert guest.run("curl", "-s", "-m", "5", "http://169.254.169.254/").stdout == "you are 10.0.1.10"
    cloud.host.forget_metadata(ONE, network.id)


def test_a_restarted_host_answers_metadata_again(cloud: Cloud) -> None:
    network = cloud.network()
    cloud.host.ensure_metadata(ONE, network)
    guest = cloud.guest(a_port(network, "10.0.1.10", cloud.open.id))
    guest.lease()
    cloud.host.close()
    assert not guest.opens("169.254.169.254", 80)
    cloud.host = OvsHost(cloud.names, cloud.answer)
    assert guest.run("curl", "-s", "-m", "5", "http://169.254.169.254/").stdout == "you are 10.0.1.10"
    cloud.host.forget_metadata(ONE, network.id)
