"""A storm of creates and deletes over HTTP while the cloud's processes are killed. A client that hears no answer asks
again with the same Idempotency-Key, as a careful program does."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
import uuid
from pathlib import Path
from typing import Any

from running_cloud import RunningCloud
from tiffin.core.settings import load
from tiffin.main import database_of

PATIENCE = 60.0
"""Seconds for which a client asks again."""


class Tenant:
    """`demo`, with a network of its own, by plain HTTP."""

    def __init__(self, cloud: RunningCloud, flavor: str, image: str) -> None:
        self.address = cloud.address
        self.excuses: list[str] = []  # what it said when it could not answer
        with cloud.connect() as connection:
            self.token = str(connection.auth_token)
            self.flavor = next(f.id for f in connection.compute.flavors() if f.name == flavor)
            self.image = next(i.id for i in connection.image.images() if i.name == image)
        name = f"storm-{uuid.uuid4().hex[:8]}"
        self.network = str(self.make("/network/v2.0/networks", {"network": {"name": name}})["network"]["id"])
        subnet = {"network_id": self.network, "ip_version": 4, "cidr": "10.99.0.0/24"}
        self.make("/network/v2.0/subnets", {"subnet": subnet})

    def where(self) -> str:
        """The address to be asked next."""
        return self.address

    def ask(self, method: str, path: str, body: Any = None, key: str = "") -> tuple[int, Any]:
        """(status, body) of the first answer that comes, however often the cloud dies meanwhile or says why it cannot answer."""
        headers = {"X-Auth-Token": self.token, "Content-Type": "application/json", "OpenStack-API-Version": "compute 2.90"}
        if key:
            headers["Idempotency-Key"] = key
        deadline = time.monotonic() + PATIENCE
        while True:
            connection = http.client.HTTPConnection(self.where(), timeout=30)
            try:
                connection.request(method, path, None if body is None else json.dumps(body), headers)
                reply = connection.getresponse()
                raw = reply.read()
                if reply.status != 503:
                    return reply.status, json.loads(raw) if raw else None
                self.excuses.append(raw.decode())
                if time.monotonic() > deadline:
                    return 503, json.loads(raw)
                time.sleep(0.1)
            except (OSError, http.client.HTTPException):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            finally:
                connection.close()

    def make(self, path: str, body: Any) -> Any:
        status, answer = self.ask("POST", path, body, uuid.uuid4().hex)
        assert status < 300, answer
        return answer

    def make_server(self, name: str) -> str | None:
        """Its id, or None while those that are being deleted still count to the quota."""
        server = {"name": name, "flavorRef": self.flavor, "imageRef": self.image, "networks": [{"uuid": self.network}]}
        status, answer = self.ask("POST", "/compute/v2.1/servers", {"server": server}, uuid.uuid4().hex)
        assert status in (202, 403), answer
        return str(answer["server"]["id"]) if status == 202 else None

    def delete_server(self, id: str) -> None:
        status, answer = self.ask("DELETE", f"/compute/v2.1/servers/{id}", key=uuid.uuid4().hex)
        assert status in (204, 404), answer

    def servers(self) -> dict[str, dict[str, Any]]:
        status, answer = self.ask("GET", "/compute/v2.1/servers/detail")
        assert status == 200, answer
        return {one["id"]: one for one in answer["servers"]}

    def ports(self) -> list[dict[str, Any]]:
        status, answer = self.ask("GET", f"/network/v2.0/ports?network_id={self.network}")
        assert status == 200, answer
        return [port for port in answer["ports"] if port["device_owner"].startswith("compute:")]

    def remove_network(self) -> None:
        status, answer = self.ask("DELETE", f"/network/v2.0/networks/{self.network}")
        assert status == 204, answer


class Storm(threading.Thread):
    """Makes servers and deletes some of them until told to stop; `alive` are the accepted ones that nobody deleted."""

    def __init__(self, tenant: Tenant, seed: int, most: int = 4) -> None:
        super().__init__(name=f"storm-{seed}", daemon=True)
        self.tenant, self.most, self.chance = tenant, most, random.Random(seed)
        self.alive: set[str] = set()
        self.deleted: set[str] = set()
        self.failure: BaseException | None = None
        self._stopping = threading.Event()

    def run(self) -> None:
        try:
            while not self._stopping.is_set():
                self._act()
        except BaseException as failure:
            self.failure = failure

    def _act(self) -> None:
        if len(self.alive) < self.most and (self.chance.random() < 0.6 or not self.alive):
            made = self.tenant.make_server(f"{self.name}-{len(self.alive) + len(self.deleted)}")
            if made is None:
                time.sleep(0.1)
            else:
                self.alive.add(made)
        else:
            victim = self.chance.choice(sorted(self.alive))
            self.tenant.delete_server(victim)
            self.alive.remove(victim)
            self.deleted.add(victim)

    def stop(self) -> None:
        self._stopping.set()
        self.join(PATIENCE)
        assert not self.is_alive()
        if self.failure is not None:
            raise self.failure


def pid_of(cloud: RunningCloud, role: str) -> int:
    """Of the cloud's own processes: `supervisor` or `cloud`."""
    connection = http.client.HTTPConnection(cloud.address, timeout=10)
    try:
        connection.request("GET", "/healthz?detail=1")
        processes = json.loads(connection.getresponse().read()).get("processes", [])
    finally:
        connection.close()
    return next((int(one["pid"]) for one in processes if one["role"] == role), 0)


def kill(cloud: RunningCloud, role: str) -> None:
    """kill -9, as soon as the cloud is up to be killed."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        try:
            pid = pid_of(cloud, role)
        except (OSError, http.client.HTTPException, ValueError):
            pid = 0
        if pid:
            os.kill(pid, signal.SIGKILL)
            return
        time.sleep(0.02)
    raise AssertionError("the cloud did not come back")


def rows(home: Path, query: str) -> list[tuple[Any, ...]]:
    """What the cloud's database says."""
    with contextlib.closing(database_of(load(home))) as database, database.engine.connect() as connection:
        return [tuple(row) for row in connection.exec_driver_sql(query)]


def settled(tenant: Tenant, storms: list[Storm], states: tuple[str, ...]) -> tuple[set[str], list[str]]:
    """(ids of the servers that are there, what is not as it should be), for comparing with what was accepted."""
    servers, ports = tenant.servers(), tenant.ports()
    alive = set().union(*(storm.alive for storm in storms))
    wrong = [f"{id} is {one['status']}, {one.get('fault')}" for id, one in servers.items() if one["status"] not in states]
    wrong += [f"{id} has task {one['OS-EXT-STS:task_state']}" for id, one in servers.items() if one["OS-EXT-STS:task_state"]]
    owners = sorted(port["device_id"] for port in ports)
    if owners != sorted(alive):
        wrong.append(f"ports belong to {owners}")
    addresses = [one["ip_address"] for port in ports for one in port["fixed_ips"]]
    if len(addresses) != len(set(addresses)) or len(addresses) != len(alive):
        wrong.append(f"addresses are {addresses}")
    return set(servers), wrong


def assert_kept(cloud: RunningCloud, tenant: Tenant, storms: list[Storm], states: tuple[str, ...], patience: float) -> None:
    """Every accepted server is there, once, in one of these states; every deleted one is gone; nothing waits. Who is on a
    host holds room there, and nobody else does."""
    alive = set().union(*(storm.alive for storm in storms))
    deadline = time.monotonic() + patience
    while True:
        found, wrong = settled(tenant, storms, states)
        stuck = rows(cloud.home, "SELECT kind, resource_id, step, attempts, frame FROM lifecycle WHERE step != 'rest'")
        consumers = {id for (id,) in rows(cloud.home, "SELECT id FROM consumer")}
        placed = {id for (id,) in rows(cloud.home, "SELECT id FROM server WHERE deleted_at IS NULL AND host IS NOT NULL")}
        if (found, wrong, stuck, consumers) == (alive, [], [], placed):
            return
        if time.monotonic() > deadline:
            told = f"missing {alive - found}, besides {found - alive}, wrong {wrong}, stuck {stuck}"
            raise AssertionError(f"{told}, room {consumers ^ placed}")
        time.sleep(0.2)
