"""Lists of many images."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.api import IMAGE
from benchmarks.scenarios import Bench, Result, request, rows

THOUSAND = 1000


def thousand(bench: Bench) -> Iterator[Result]:
    """A list of a thousand images, as many as one may have."""
    with _a_thousand(bench):
        asked = [request("GET", f"{IMAGE}/images?limit={THOUSAND}", bench.admin.headers)]
        yield from rows(bench, "GET /images, 1000", asked, bench.requests // 20, (20.0, ""))


@contextmanager
def _a_thousand(bench: Bench) -> Iterator[None]:
    """With tags and properties. The limit of images is lifted."""
    admin = bench.admin
    limit = admin.get("/identity/v3/registered_limits?resource_name=image_count_total")["registered_limits"][0]["id"]
    admin.send("PATCH", f"/identity/v3/registered_limits/{limit}", {"registered_limit": {"default_limit": -1}})
    wanted = {"disk_format": "raw", "container_format": "bare", "tags": ["bench", "many"], "os_distro": "debian"}
    made = [admin.post(f"{IMAGE}/images", wanted | {"name": f"bench-{n}"})["id"] for n in range(THOUSAND)]
    try:
        yield
    finally:
        for id in made:
            admin.delete(f"{IMAGE}/images/{id}")
        admin.await_gone(f"{IMAGE}/images/{made[-1]}")
