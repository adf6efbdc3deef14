"""What only a real cloud has: the time until a person can log in to a new guest."""

from __future__ import annotations

import statistics
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.api import COMPUTE, NETWORK
from benchmarks.scenarios import Bench, Result, server_body

from running_cloud import ADMIN, RunningCloud

TIMES = 3
PATIENCE = 120  # seconds


def time_to_login(bench: Bench, cloud: RunningCloud) -> Iterator[Result]:
    """From POST to the first command by ssh, the guest's own boot included."""
    with tempfile.TemporaryDirectory() as folder, cloud.openstack(ADMIN) as openstack:
        key = Path(folder) / "key"
        openstack(f"keypair create --private-key {key} bench")
        key.chmod(0o600)
        openstack("network create bench-login")
        openstack("subnet create --network bench-login --subnet-range 10.78.0.0/24 bench-login")
        openstack("security group create bench-login")
        openstack("security group rule create --protocol tcp --dst-port 22 bench-login")
        network = bench.admin.get(f"{NETWORK}/networks?name=bench-login")["networks"][0]["id"]
        body = server_body(bench.admin) | {
            "networks": [{"uuid": network}],
            "key_name": "bench",
            "security_groups": [{"name": "bench-login"}],
        }
        taken = [_login(bench, cloud, body, key) for _ in range(TIMES)]
        openstack("network delete bench-login")
        openstack("security group delete bench-login")
        openstack("keypair delete bench")
    yield Result("server create to login by ssh", statistics.median(taken), "s")


def _login(bench: Bench, cloud: RunningCloud, body: dict[str, object], key: Path) -> float:
    started = time.perf_counter()
    server = bench.admin.post(f"{COMPUTE}/servers", {"server": body})["server"]["id"]
    path = f"{COMPUTE}/servers/{server}"
    bench.admin.await_status(path, "server", "ACTIVE")
    while not _lets_in(cloud, server, key):
        if time.perf_counter() - started > PATIENCE:
            raise RuntimeError(f"no login to {server} within {PATIENCE} s")
    took = time.perf_counter() - started
    bench.admin.delete(path)
    bench.admin.await_gone(path)
    return took


def _lets_in(cloud: RunningCloud, server: str, key: Path) -> bool:
    try:
        tried = cloud.tiffin("ssh", "-i", str(key), "-l", "root", server, "--", "true", patience=15, check=False)
    except subprocess.TimeoutExpired:
        return False
    return tried.returncode == 0
