"""Two controllers, eight clients, one thing that only one of them may have."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from postgresql.worlds import controller, fresh
from support import TestCloud
from tiffin.cli.postgresql import Server
from tiffin.core.http.app import make
from tiffin.core.http.local import LocalClient, Reply
from tiffin.core.tables import QuotaLimit

CLIENTS = 8
Ask = Callable[..., Reply]


@pytest.fixture
def two(server: Server) -> Iterator[tuple[TestCloud, TestCloud]]:
    url = fresh(server)
    with contextlib.closing(controller(url, "a")) as a, contextlib.closing(controller(url, "b")) as b:
        yield a, b


def race(two: tuple[TestCloud, TestCloud], method: str, path: str, body: Any, **headers: str) -> list[Reply]:
    """The answers to the same request of eight clients at the same time, four at each controller."""
    apps = [make(cloud.cloud, lambda detail: (200, {}), short_requests=CLIENTS) for cloud in two]

    def ask(number: int) -> Reply:
        sent = {"X-Auth-Token": "member", **{name.replace("_", "-"): value for name, value in headers.items()}}
        return LocalClient(apps[number % 2]).request(method, path, headers=sent, json=body)

    with ThreadPoolExecutor(CLIENTS) as threads:
        return list(threads.map(ask, range(CLIENTS)))


def network(cloud: TestCloud) -> str:
    made = cloud.client.request(
        "POST", "/network/v2.0/networks", headers={"X-Auth-Token": "member"}, json={"network": {"name": "n"}}
    )
    id = str(made.json["network"]["id"])
    subnet = {"network_id": id, "ip_version": 4, "cidr": "10.0.0.0/29"}
    cloud.client.request("POST", "/network/v2.0/subnets", headers={"X-Auth-Token": "member"}, json={"subnet": subnet})
    return id


def test_an_address_is_given_once(two: tuple[TestCloud, TestCloud]) -> None:
    """Four addresses are left to eight ports: the gateway and the metadata port have theirs."""
    replies = race(two, "POST", "/network/v2.0/ports", {"port": {"network_id": network(two[0])}})
    assert Counter(reply.status for reply in replies) == {201: 4, 409: 4}
    given = [reply.json["port"]["fixed_ips"][0]["ip_address"] for reply in replies if reply.status == 201]
    assert len(set(given)) == 4


def test_a_chosen_address_is_given_once(two: tuple[TestCloud, TestCloud]) -> None:
    port = {"network_id": network(two[0]), "fixed_ips": [{"ip_address": "10.0.0.3"}]}
    replies = race(two, "POST", "/network/v2.0/ports", {"port": port})
    assert Counter(reply.status for reply in replies) == {201: 1, 409: 7}


def test_the_last_unit_of_a_quota_is_given_once(two: tuple[TestCloud, TestCloud]) -> None:
    with two[0].cloud.database.write() as session:
        session.add(QuotaLimit(project_id="p1", service="network", resource="network", hard_limit=1))
    replies = race(two, "POST", "/network/v2.0/networks", {"network": {"name": "n"}})
    assert Counter(reply.status for reply in replies) == {201: 1, 409: 7}


def test_a_name_is_given_once(two: tuple[TestCloud, TestCloud]) -> None:
    replies = race(two, "POST", "/compute/v2.1/os-keypairs", {"keypair": {"name": "k"}})
    assert Counter(reply.status for reply in replies) == {200: 1, 409: 7}


def test_an_idempotency_key_does_a_thing_once(two: tuple[TestCloud, TestCloud]) -> None:
    replies = race(two, "POST", "/image/v2/images", {"name": "i"}, Idempotency_Key="once")
    assert {reply.status for reply in replies} == {201}
    assert len({reply.json["id"] for reply in replies}) == 1
    listed = two[1].client.request("GET", "/image/v2/images", headers={"X-Auth-Token": "member"})
    assert len(listed.json["images"]) == 1


def test_the_last_slot_of_a_host_is_given_once(two: tuple[TestCloud, TestCloud]) -> None:
    admin = {"X-Auth-Token": "admin", "OpenStack-API-Version": "placement 1.39"}
    ask = two[0].client.request
    host = ask("POST", "/placement/resource_providers", headers=admin, json={"name": "host"}).json
    inventory = {"resource_provider_generation": host["generation"], "inventories": {"VCPU": {"total": 1}}}
    assert ask("PUT", f"/placement/resource_providers/{host['uuid']}/inventories", headers=admin, json=inventory).status == 200

    def take(number: int) -> int:
        wanted = {
            "allocations": {host["uuid"]: {"resources": {"VCPU": 1}}},
            "project_id": "p1", "user_id": "u", "consumer_generation": None, "consumer_type": "INSTANCE",
        }  # fmt: skip
        consumer = f"00000000-0000-4000-8000-00000000000{number}"
        return two[number % 2].client.request(
            "PUT", f"/placement/allocations/{consumer}", headers=admin, json=wanted
        ).status

    with ThreadPoolExecutor(CLIENTS) as threads:
        assert Counter(threads.map(take, range(CLIENTS))) == {204: 1, 409: 7}
