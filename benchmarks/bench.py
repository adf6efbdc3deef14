"""Measures a cloud of its own and prints a table beside the budgets and upstream's figures: `./tiffin bench`."""

from __future__ import annotations

import argparse
import http.client
import itertools
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from benchmarks import growth, identity, images, real, scenarios  # noqa: E402  # reached by the path above
from benchmarks.api import Api  # noqa: E402
from benchmarks.assignments import assignments  # noqa: E402
from benchmarks.scenarios import MIB, Bench, Result  # noqa: E402

from running_cloud import ADMIN, RunningCloud, running_cloud, start_tiffin  # noqa: E402

ENDPOINTS = ("/identity/v3", "/image/v2/schemas/image", "/placement", "/compute/v2.1", "/network/v2.0")


def main(argv: list[str]) -> int:
    """Give 0 when every budget was kept, 1 otherwise."""
    options = _options(argv)
    results: dict[str, list[Result]] = {}
    if options.growth:
        results["growth"] = _growth(options)
    for simulated in () if options.growth else (True, False) if options.real else (True,):
        name = "simulated" if simulated else "real"
        results[name] = []
        with running_cloud(simulated=simulated) as cloud:
            for result in _measure(cloud, options):
                print(f"  {name}: {_line(result)}", file=sys.stderr, flush=True)
                results[name].append(result)
    for name, rows in results.items():
        print(f"\n{name}\n{_table(rows)}")
    if options.json:
        told = {name: [vars(row) | {"kept": row.kept} for row in rows] for name, rows in results.items()}
        options.json.write_text(json.dumps(told, indent=1) + "\n")
    return int(any(row.kept is False for rows in results.values() for row in rows))


def _growth(options: argparse.Namespace) -> list[Result]:
    rows = []
    with running_cloud(simulated=True, settings=f"hosts = {growth.HOSTS}\n") as cloud:
        admin = Api(cloud.address, cloud.clouds_yaml, ADMIN)
        bench = Bench(cloud.home, cloud.address, True, admin, options.rounds, options.requests)
        for result in itertools.chain(growth.scheduling(), growth.growth(bench)):
            print(f"  growth: {_line(result)}", file=sys.stderr, flush=True)
            rows.append(result)
    return rows


def _options(argv: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="tiffin bench", description=__doc__)
    parser.add_argument("--real", action="store_true", help="measure a cloud with QEMU and OVN too; needs root")
    parser.add_argument("--growth", action="store_true", help="measure a thousand hosts and ten thousand servers instead")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the results there also")
    parser.add_argument("--rounds", type=int, default=5, help="how often each load is repeated; the median counts")
    parser.add_argument("--requests", type=int, default=1000, help="requests in a round")
    parser.add_argument("--image-mib", type=int, default=1024, help="size of the image that is moved")
    return parser.parse_args(argv)


def _measure(cloud: RunningCloud, options: argparse.Namespace) -> Iterator[Result]:
    answering, done = _second_up(cloud)
    yield Result("second `up` to all endpoints answering", answering, "s", 1 if cloud.simulated else 3, "35")
    yield Result("second `up` until it ends", done, "s")
    admin = Api(cloud.address, cloud.clouds_yaml, ADMIN)
    bench = Bench(cloud.home, cloud.address, cloud.simulated, admin, options.rounds, options.requests)
    time.sleep(3)  # what a start leaves to do is done, and the cloud idles
    yield from scenarios.memory(bench)
    yield from scenarios.one_server(bench)
    if not cloud.simulated:
        yield from real.time_to_login(bench, cloud)
        return
    yield from scenarios.short_requests(bench)
    yield from scenarios.lists_of_100(bench)
    yield from images.thousand(bench)
    yield from identity.users(bench)
    yield from scenarios.image_bytes(bench, options.image_mib * MIB)
    yield from assignments(bench)


def _second_up(cloud: RunningCloud) -> tuple[float, float]:
    """Seconds from the command to the moment when every service has answered, and to its end, when all works."""
    cloud.tiffin("down")
    started = time.perf_counter()
    process = start_tiffin("up", "--home", str(cloud.home))
    waiting = set(ENDPOINTS)
    while waiting:
        waiting -= {path for path in waiting if _answers(cloud.address, path)}
        time.sleep(0.005)
        if time.perf_counter() - started > 60:
            raise RuntimeError(f"no answer from {waiting}")
    took = time.perf_counter() - started
    if process.wait(60):
        raise RuntimeError("`tiffin up` failed")
    return took, time.perf_counter() - started


def _answers(address: str, path: str) -> bool:
    """Whether the service behind the path answers for itself; 401 is an answer too."""
    connection = http.client.HTTPConnection(address, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 500
    except OSError:
        return False
    finally:
        connection.close()


def _line(row: Result) -> str:
    return f"{row.what} = {row.value:.3g} {row.unit}"


def _table(rows: list[Result]) -> str:
    lines = ["| what | measured | budget | upstream | |", "|---|---|---|---|---|"]
    for row in rows:
        sign = ">=" if row.at_least else "<="
        budget = "" if row.budget is None else f"{sign} {row.budget:.4g}"
        verdict = {True: "ok", False: "**over**", None: ""}[row.kept]
        lines.append(f"| {row.what} | {row.value:.3g} {row.unit} | {budget} | {row.upstream} | {verdict} |")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
