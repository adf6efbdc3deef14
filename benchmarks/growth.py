"""How it grows: a thousand simulated hosts with a thousand servers, and with ten times as many, which move and go."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.api import COMPUTE, Api
from benchmarks.scenarios import Bench, Result, _lift_quotas, cpu_and_latency, request, server_body

from tiffin.cli.simulator import SOCKET
from tiffin.core import channel
from tiffin.core.state_folder import StateFolder

HOSTS = 1000
FEW, MANY = 1000, 10_000
BATCH = 100  # servers made by one request
MOVED = 1000
IDLE = 30.0  # seconds


def growth(bench: Bench) -> Iterator[Result]:
    """What a cloud of `HOSTS` hosts costs, empty, with few and with many servers."""
    admin = bench.admin
    _lift_quotas(admin)
    body = server_body(admin) | {"networks": "none"}
    _create(bench, body, BATCH)  # warms caches: the base image is fetched and checked once
    yield Result(f"{HOSTS} hosts: idle CPU of a core", _idle(bench), "%", 5)
    per_second, cpu = _create(bench, body, FEW - BATCH)
    yield Result(f"{HOSTS} hosts: servers created", per_second, "/s", 100, at_least=True)
    yield Result(f"{HOSTS} hosts: server create to ACTIVE: CPU", cpu, "ms")
    yield from _with(bench, FEW)
    per_second, cpu = _create(bench, body, MANY - FEW)
    yield Result(f"{HOSTS} hosts, to {MANY} servers: servers created", per_second, "/s", 100, at_least=True)
    yield Result(f"{HOSTS} hosts, to {MANY} servers: server create to ACTIVE: CPU", cpu, "ms")
    yield from _with(bench, MANY)
    per_second, cpu = _move(bench, MOVED)
    yield Result(f"{MOVED} of {MANY} servers: migrated and confirmed", per_second, "/s")
    yield Result(f"{MOVED} of {MANY} servers: migrated and confirmed: CPU", cpu, "ms")
    per_second, cpu = _delete_all(bench)
    yield Result(f"{MANY} servers: deleted", per_second, "/s")
    yield Result(f"{MANY} servers: deleted: CPU", cpu, "ms")
    _check_nothing_left(bench)


def _with(bench: Bench, servers: int) -> Iterator[Result]:
    listing = f"{COMPUTE}/servers/detail?all_tenants=1&limit=1000"
    cpu, latency = cpu_and_latency(bench, [request("GET", listing, bench.admin.headers)], 20, 200)
    yield Result(f"GET /servers/detail, 1000 of {servers}: CPU", cpu, "ms", 30)
    yield Result(f"GET /servers/detail, 1000 of {servers}: p50", latency, "ms", 30)
    for path, budget in (("os-hypervisors", None), ("os-hypervisors/detail", None), ("os-services", None)):
        cpu, _ = cpu_and_latency(bench, [request("GET", f"{COMPUTE}/{path}", bench.admin.headers)], 10, 200)
        yield Result(f"GET /{path} beside {servers} servers: CPU", cpu, "ms", budget)
    yield Result(f"{HOSTS} hosts, {servers} servers: idle CPU of a core", _idle(bench), "%", 5)
    largest = max(processes.pss_mb({pid: command}) for pid, command in bench.own.items())
    yield Result(f"{HOSTS} hosts, {servers} servers: memory of the largest process", largest, "MB", 200)


def _idle(bench: Bench) -> float:
    own = bench.own
    before = processes.cpu_ms(own)
    time.sleep(IDLE)
    return (processes.cpu_ms(own) - before) / (IDLE * 1000) * 100


def _create(bench: Bench, body: dict[str, Any], count: int) -> tuple[float, float]:
    """(servers a second, CPU ms of each) from the first request until all are ACTIVE."""
    own = bench.own
    before, started = processes.cpu_ms(own), time.perf_counter()
    for _ in range(count // BATCH):
        bench.admin.post(f"{COMPUTE}/servers", {"server": body | {"min_count": BATCH, "max_count": BATCH}})
    _await_none(bench.admin, "status=BUILD")
    took = time.perf_counter() - started
    if bench.admin.get(f"{COMPUTE}/servers?all_tenants=1&status=ERROR&limit=1")["servers"]:
        raise RuntimeError("a server ended in ERROR")
    return count / took, (processes.cpu_ms(own) - before) / count


def _move(bench: Bench, count: int) -> tuple[float, float]:
    """(moves a second, CPU ms of each): cold migrations of running servers, from the first request until all are confirmed."""
    admin, own = bench.admin, bench.own
    servers = [one["id"] for one in admin.get(f"{COMPUTE}/servers?limit={count}&status=ACTIVE")["servers"]]
    before, started = processes.cpu_ms(own), time.perf_counter()
    for id in servers:
        admin.post(f"{COMPUTE}/servers/{id}/action", {"migrate": None})
    _await_none(admin, "status=RESIZE")
    for id in servers:
        admin.post(f"{COMPUTE}/servers/{id}/action", {"confirmResize": None})
    _await_none(admin, "status=VERIFY_RESIZE")
    took = time.perf_counter() - started
    migrations = admin.get(f"{COMPUTE}/os-migrations?limit={count}")["migrations"]
    if len(servers) != count or {one["status"] for one in migrations} != {"confirmed"}:
        raise RuntimeError("a move did not end well")
    return count / took, (processes.cpu_ms(own) - before) / count


def _delete_all(bench: Bench) -> tuple[float, float]:
    """(servers a second, CPU ms of each) from the first request until all are gone."""
    admin, own, started, count = bench.admin, bench.own, time.perf_counter(), 0
    before = processes.cpu_ms(own)
    while found := admin.get(f"{COMPUTE}/servers?limit=1000&status=ACTIVE")["servers"]:
        for server in found:
            admin.delete(f"{COMPUTE}/servers/{server['id']}")
        count += len(found)
        _await_none(admin, "limit=1000&sort_key=created_at&status=ACTIVE&task_state=deleting")
    _await_none(admin, "status=ACTIVE")
    return count / (time.perf_counter() - started), (processes.cpu_ms(own) - before) / count


def _check_nothing_left(bench: Bench) -> None:
    """Raises `RuntimeError` when the servers have left a row that holds something, or a guest."""
    database = sqlite3.connect(f"file:{bench.home / 'tiffin.db'}?mode=ro", uri=True)
    with contextlib.closing(database):
        left = {
            what: database.execute(f"SELECT count(*) FROM {what}").fetchone()[0]
            for what in (
                "server WHERE deleted_at IS NULL", "lifecycle WHERE kind = 'compute.server'", "lifecycle_request",
                "consumer", "allocation", "inventory WHERE used != 0", "migration WHERE NOT settled",
            )
        }  # fmt: skip
    left["guests"] = json.loads(channel.ask(StateFolder(bench.home).run, SOCKET, ["show"])[1])["guests"]
    if any(left.values()):
        raise RuntimeError(f"something is left: {left}")


def _await_none(admin: Api, which: str) -> None:
    while admin.get(f"{COMPUTE}/servers?all_tenants=1&limit=1&{which}")["servers"]:
        time.sleep(0.2)


# --- the scheduler by itself ----------------------------------------------------------------------------------------------


def scheduling() -> Iterator[Result]:
    """CPU of choosing a host and taking the room there, in this process, beside few and many servers."""
    with _composed() as cloud:
        for servers in (FEW, MANY):
            _fill(cloud, servers)
            yield Result(f"schedule one server over {HOSTS} hosts with {servers} servers: CPU", _schedule(cloud), "ms", 5)


@contextlib.contextmanager
def _composed() -> Iterator[Any]:
    from tiffin import main
    from tiffin.core import logs
    from tiffin.core.settings import Settings
    from tiffin.core.state_folder import StateFolder
    from tiffin.services.compute import reconcilers

    with tempfile.TemporaryDirectory(prefix="tf-") as folder:
        settings = Settings(home=Path(folder), simulated=True, hosts=HOSTS)
        StateFolder(settings.home).create()
        logs.configure(StateFolder(settings.home).log)
        cloud = main.compose(settings).cloud
        reconcilers.hosts(cloud)
        yield cloud
        cloud.database.close()


def _server(n: int, **more: Any) -> Any:
    from tiffin.services.compute.tables import Server

    usual: dict[str, Any] = {
        "id": f"00000000-0000-4000-8000-{n:012x}", "project_id": "p", "user_id": "u", "name": f"s{n}",
        "hostname": f"s{n}", "created_at": 1.0, "updated_at": 1.0, "vm_state": "building", "task_state": "scheduling",
        "flavor": {"name": "m1.tiny", "extra_specs": {}}, "vcpus": 1, "memory_mb": 512, "root_gb": 1, "ephemeral_gb": 0,
        "swap_mb": 0, "image_id": None, "image": {}, "config_drive": False, "meta": {}, "disk_config": "AUTO",
        "reservation_id": "r", "launch_index": 0, "scheduler_hints": {},
    }  # fmt: skip
    return Server(**{**usual, **more})


def _fill(cloud: Any, until: int) -> None:
    """Servers that run, and what they have taken of their hosts; evenly."""
    from sqlalchemy import func, select

    from tiffin.services.compute.tables import ComputeHost, Server
    from tiffin.services.placement import public as placement

    with cloud.database.write() as session:
        there = session.scalar(select(func.count()).select_from(Server))
        hosts = session.execute(select(ComputeHost.name, ComputeHost.id).order_by(ComputeHost.name)).all()
        for n in range(there, until):
            name, provider = hosts[n % len(hosts)]
            row = _server(n, host=name, node=name, vm_state="active", task_state=None, power_state=1)
            session.add(row)
            taken = {provider: {"VCPU": 1, "MEMORY_MB": 512, "DISK_GB": 1}}
            placement.allocate(session, cloud.world, placement.Consumer(row.id, "p", "u"), taken)


def _schedule(cloud: Any) -> float:
    """CPU ms of the median of a few, each taken back."""
    import gc

    from tiffin.services.compute.lifecycles import scheduling

    took = []
    gc.collect()
    gc.freeze()  # as the server does once it has started
    for n in range(25):
        with contextlib.suppress(_Back), cloud.database.write() as session:
            row = _server(1_000_000 + n)
            session.add(row)
            session.flush()
            started = time.thread_time()
            scheduling.place(cloud, session, row)
            took.append((time.thread_time() - started) * 1000)
            raise _Back
    return statistics.median(took)


class _Back(Exception):
    """Nothing of this stays."""
