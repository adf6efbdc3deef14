"""What is measured. Each function gives results; the budgets are the issue's, upstream's figures stand in README.md."""

from __future__ import annotations

import http.client
import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks import processes
from benchmarks.api import COMPUTE, IMAGE, NETWORK, Api

from tiffin.core.state_folder import StateFolder
from tiffin.services.image.inspection import Inspection

MIB = 1 << 20
MANY = 100  # things in a list
Requests = list[dict[str, Any]]


@dataclass(frozen=True)
class Result:
    what: str
    value: float
    unit: str
    budget: float | None = None
    upstream: str = ""
    at_least: bool = False  # the budget is a floor, not a ceiling

    @property
    def kept(self) -> bool | None:
        """Whether the budget was kept; None without one."""
        if self.budget is None:
            return None
        return self.value >= self.budget if self.at_least else self.value <= self.budget


@dataclass(frozen=True)
class Bench:
    """The cloud that is measured, and how patiently."""

    home: Path
    address: str
    simulated: bool
    admin: Api
    rounds: int
    requests: int

    @property
    def own(self) -> dict[int, str]:
        return processes.own_processes(self.home)


def memory(bench: Bench) -> Iterator[Result]:
    budget = 120 if bench.simulated else 250
    yield Result("memory of all own processes, idle", processes.pss_mb(bench.own), "MB", budget, "3 351")


# --- CPU per request ------------------------------------------------------------------------------------------------


def request(method: str, path: str, headers: dict[str, str], body: Any = None) -> dict[str, Any]:
    return {"method": method, "path": path, "headers": headers, "body": None if body is None else json.dumps(body)}


def cpu_and_latency(bench: Bench, requests: Requests, count: int, expected: int) -> tuple[float, float]:
    """(CPU ms over all own processes, p50 ms on one connection) of a request: medians of rounds, after a warm up."""
    _load(bench, requests, max(count // 10, 3), expected)
    cpu, latency = [], []
    for _ in range(bench.rounds):
        own = bench.own
        before = processes.cpu_ms(own)
        seconds = _load(bench, requests, count, expected)
        cpu.append((processes.cpu_ms(own) - before) / count)
        latency.append(statistics.median(seconds) * 1000)
    return statistics.median(cpu), statistics.median(latency)


def _load(bench: Bench, requests: Requests, count: int, expected: int) -> list[float]:
    spec = json.dumps({"address": bench.address, "requests": requests, "count": count})
    generator = Path(__file__).with_name("load.py")
    command = [sys.executable, str(generator)]
    done = subprocess.run(command, input=spec, capture_output=True, text=True, check=True, timeout=600)
    told = json.loads(done.stdout)
    if set(told["statuses"]) != {str(expected)}:
        raise RuntimeError(f"{requests[0]['method']} {requests[0]['path']} answered {told['statuses']}")
    return [float(seconds) for seconds in told["seconds"]]


def short_requests(bench: Bench) -> Iterator[Result]:
    """Token check and GET by id."""
    admin = bench.admin
    token = admin.headers | {"X-Subject-Token": admin.headers["X-Auth-Token"]}
    image = admin.get(f"{IMAGE}/images")["images"][0]["id"]
    network = admin.get(f"{NETWORK}/networks")["networks"][0]["id"]
    flavor = admin.get(f"{COMPUTE}/flavors")["flavors"][0]["id"]
    for what, path, headers, upstream in (
        ("token check", "/identity/v3/auth/tokens", token, "4.4"),
        ("GET project by id", f"/identity/v3/projects/{admin.project_id}", admin.headers, ""),
        ("GET image by id", f"{IMAGE}/images/{image}", admin.headers, ""),
        ("GET network by id", f"{NETWORK}/networks/{network}", admin.headers, ""),
        ("GET flavor by id", f"{COMPUTE}/flavors/{flavor}", admin.headers, ""),
    ):
        yield from rows(bench, what, [request("GET", path, headers)], bench.requests, (1.0, upstream))
    login = [request("POST", "/identity/v3/auth/tokens", {"Content-Type": "application/json"}, admin.login)]
    yield from rows(bench, "token by password", login, 50, (None, "320"), expected=201)


def lists_of_100(bench: Bench) -> Iterator[Result]:
    """Lists of a hundred things, each of the kind that upstream was measured with."""
    with a_hundred_of_each(bench) as (server, port):
        admin = bench.admin
        for what, path, budget, upstream in (
            ("GET server by id", f"{COMPUTE}/servers/{server}", 1.0, "68"),
            ("GET port by id", f"{NETWORK}/ports/{port}", 1.0, ""),
            ("GET /servers/detail, 100", f"{COMPUTE}/servers/detail?all_tenants=1&limit={MANY}", 5.0, "525"),
            ("GET /networks, 100", f"{NETWORK}/networks?limit={MANY}", 5.0, "88"),
            ("GET /ports, 100", f"{NETWORK}/ports?limit={MANY}", 5.0, "67"),
            ("GET /images, 100", f"{IMAGE}/images?limit={MANY}", 5.0, "22 (50)"),
        ):
            count = bench.requests if budget < 5 else bench.requests // 4
            yield from rows(bench, what, [request("GET", path, admin.headers)], count, (budget, upstream))


def rows(
    bench: Bench, what: str, requests: Requests, count: int, known: tuple[float | None, str], expected: int = 200
) -> Iterator[Result]:
    """A row of CPU with its budget and upstream's figure, and one of latency."""
    cpu, latency = cpu_and_latency(bench, requests, count, expected)
    yield Result(f"{what}: CPU", cpu, "ms", *known)
    yield Result(f"{what}: p50", latency, "ms")


@contextmanager
def a_hundred_of_each(bench: Bench) -> Iterator[tuple[str, str]]:
    """A hundred servers, networks, ports and images; gives the ids of a server and a port. The quotas are lifted."""
    admin = bench.admin
    _lift_quotas(admin)
    made: list[str] = []

    def make(path: str, root: str, body: dict[str, Any]) -> str:
        id: str = _inner(admin.post(path, {root: body} if root else body), root)["id"]
        made.append(f"{path}/{id}")
        return id

    networks = [make(f"{NETWORK}/networks", "network", {"name": f"bench-{n}"}) for n in range(MANY)]
    ports = [make(f"{NETWORK}/ports", "port", {"network_id": networks[0], "name": f"bench-{n}"}) for n in range(MANY)]
    for n in range(MANY):
        make(f"{IMAGE}/images", "", {"name": f"bench-{n}", "disk_format": "raw", "container_format": "bare"})
    body = server_body(admin) | {"networks": "none"}
    servers = [make(f"{COMPUTE}/servers", "server", body | {"name": f"bench-{n}"}) for n in range(MANY)]
    try:
        for server in servers:
            admin.await_status(f"{COMPUTE}/servers/{server}", "server", "ACTIVE")
        yield servers[0], ports[0]
    finally:
        _remove(admin, made)


def _remove(admin: Api, paths: list[str]) -> None:
    for path in reversed(paths):
        admin.delete(path)
    for path in paths:
        admin.await_gone(path)


def _inner(body: Any, root: str) -> dict[str, Any]:
    inner: dict[str, Any] = body[root] if root else body
    return inner


def _lift_quotas(admin: Api) -> None:
    project = admin.project_id
    admin.send("PUT", f"{COMPUTE}/os-quota-sets/{project}", {"quota_set": {"instances": -1, "cores": -1, "ram": -1}})
    admin.send("PUT", f"{NETWORK}/quotas/{project}", {"quota": {"network": -1, "port": -1, "subnet": -1}})


# --- servers --------------------------------------------------------------------------------------------------------


def server_body(admin: Api) -> dict[str, Any]:
    image = admin.get(f"{IMAGE}/images?name=tiffin-tiny")["images"][0]
    flavor = next(f for f in admin.get(f"{COMPUTE}/flavors")["flavors"] if f["name"] == "m1.tiny")
    return {"name": "bench", "imageRef": image["id"], "flavorRef": flavor["id"]}


def one_server(bench: Bench) -> Iterator[Result]:
    """A server with a port, one after another: POST to 202, to ACTIVE, and gone again."""
    admin = bench.admin
    network: str = admin.post(f"{NETWORK}/networks", {"network": {"name": "bench"}})["network"]["id"]
    subnet = {"network_id": network, "ip_version": 4, "cidr": "10.77.0.0/24"}
    admin.post(f"{NETWORK}/subnets", {"subnet": subnet})
    body = server_body(admin) | {"networks": [{"uuid": network}]}
    times = 20 if bench.simulated else 3
    _create_and_delete(bench, body)  # warms caches: the base image is fetched and checked once
    runs = [_create_and_delete(bench, body) for _ in range(times)]
    admin.delete(f"{NETWORK}/networks/{network}")
    post, active, whole, gone = (statistics.median(values) for values in zip(*runs, strict=True))
    yield Result("POST server, to 202: CPU", post, "ms", 5)
    yield Result("server create to ACTIVE", active, "ms", 30 if bench.simulated else 1000, "1 214")
    yield Result("server create to ACTIVE: CPU", whole, "ms", None, "1 766")
    yield Result("server delete until gone", gone, "ms", None, "567 (CPU)")


def _create_and_delete(bench: Bench, body: dict[str, Any]) -> tuple[float, float, float, float]:
    """(CPU of the POST, time to ACTIVE, CPU to ACTIVE, time until gone) in ms."""
    admin, own = bench.admin, bench.own
    before = processes.exact_cpu_ms(own)
    started = time.perf_counter()
    _, headers, answer = admin.send("POST", f"{COMPUTE}/servers", {"server": body})
    server = answer["server"]["id"]
    post = _logged_cpu(bench, headers["x-openstack-request-id"])
    path = f"{COMPUTE}/servers/{server}"
    active = admin.await_status(path, "server", "ACTIVE") - started
    whole = processes.exact_cpu_ms(own) - before
    deleting = time.perf_counter()
    admin.delete(path)
    admin.await_gone(path)
    return post, active * 1000, whole, (time.perf_counter() - deleting) * 1000


def _logged_cpu(bench: Bench, request_id: str) -> float:
    """CPU ms of the thread that served a request, as the cloud's log tells it: what the answer sets off runs beside it."""
    for line in reversed(StateFolder(bench.home).log.read_text().splitlines()):
        if request_id in line and '"cpu_ms"' in line:
            return float(json.loads(line)["cpu_ms"])
    raise RuntimeError(f"the log knows nothing of {request_id}")


# --- image bytes ----------------------------------------------------------------------------------------------------


def image_bytes(bench: Bench, size: int) -> Iterator[Result]:
    """Upload and download of one image against the disk's own speed in the same folder, and what memory it takes."""
    write, read = _disk_speed(bench.home / "bench-raw", size)
    admin = bench.admin
    image = admin.post(f"{IMAGE}/images", {"name": "bench", "disk_format": "raw", "container_format": "bare"})["id"]
    path = f"{IMAGE}/images/{image}"
    own = bench.own
    processes.forget_peaks(own)
    before = processes.peak_rss_mb(own)
    upload = size / MIB / _timed(lambda: _upload(bench, f"{path}/file", size))
    _drop_from_cache(bench.home)
    download = size / MIB / _timed(lambda: _download(bench, f"{path}/file", size))
    grown = processes.peak_rss_mb(own) - before
    admin.delete(path)
    gib = size / MIB / 1024
    yield Result(f"disk, raw: write {gib:g} GiB", write, "MiB/s")
    yield Result(f"disk, raw: read {gib:g} GiB", read, "MiB/s")
    yield Result(f"image upload {gib:g} GiB", upload, "MiB/s", write / 2, "177", at_least=True)
    yield Result(f"image download {gib:g} GiB", download, "MiB/s", read / 2, "1 478", at_least=True)
    yield Result("memory growth during both", grown, "MB", 60)
    yield Result("digests and formats alone", _inspection_speed(size), "MiB/s")


def _inspection_speed(size: int) -> float:
    """What an upload cannot exceed, in MiB/s: MD5 and SHA-512 beside each other, and a look at the formats."""
    block, watched = _block(), Inspection("raw")

    def inspect() -> None:
        for _ in watched.watch(itertools.repeat(block, size // MIB)):
            pass

    return size / MIB / _timed(inspect)


def _timed(do: Callable[[], None]) -> float:
    started = time.perf_counter()
    do()
    return time.perf_counter() - started


def _block() -> bytes:
    return os.urandom(MIB)


def _disk_speed(file: Path, size: int) -> tuple[float, float]:
    """(write, read) in MiB/s, with the bytes on the disk at the end and none of them in memory at the start."""
    block = _block()

    def write() -> None:
        with file.open("wb", buffering=0) as out:
            for _ in range(size // MIB):
                out.write(block)
            os.fsync(out.fileno())

    def read() -> None:
        with file.open("rb", buffering=0) as source:
            while source.read(MIB):
                pass

    try:
        written = _timed(write)
        _drop_from_cache(file.parent)
        return size / MIB / written, size / MIB / _timed(read)
    finally:
        file.unlink()


def _drop_from_cache(folder: Path) -> None:
    """Have the large files below the folder read from the disk again."""
    for file in folder.rglob("*"):
        if file.is_file() and file.stat().st_size > 64 * MIB:
            with file.open("rb") as source:
                os.posix_fadvise(source.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _upload(bench: Bench, path: str, size: int) -> None:
    block = _block()
    connection = http.client.HTTPConnection(bench.address, timeout=600)
    connection.putrequest("PUT", path)
    headers = bench.admin.headers | {"Content-Type": "application/octet-stream", "Content-Length": str(size)}
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    for _ in range(size // MIB):
        connection.send(block)
    status = connection.getresponse().status
    if status != 204:
        raise RuntimeError(f"the upload ended with {status}")


def _download(bench: Bench, path: str, size: int) -> None:
    connection = http.client.HTTPConnection(bench.address, timeout=600)
    connection.request("GET", path, headers=bench.admin.headers)
    answer = connection.getresponse()
    got = 0
    while chunk := answer.read(MIB):
        got += len(chunk)
    if got != size:
        raise RuntimeError(f"the download gave {got} bytes of {size}")
