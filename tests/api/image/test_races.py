"""Requests at the same time: none undoes what another did. (PostgreSQL runs them side by side; SQLite has one writer.)"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from databases import side_by_side
from tiffin.core.http import app
from tiffin.core.http.local import LocalClient

from .conftest import ImageCloud

PATCH = {"X-Auth-Token": "member", "Content-Type": "application/openstack-images-v2.1-json-patch"}


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[ImageCloud]:
    """In which transactions run side by side."""
    made = ImageCloud(database=side_by_side(tmp_path))
    yield made
    made.close()


def test_every_tag_and_property_is_kept(cloud: ImageCloud) -> None:
    id = cloud.make()["id"]
    path = f"/image/v2/images/{id}"

    def ask(n: int) -> int:
        client = LocalClient(app.make(cloud.cloud, lambda detail: (200, {})))  # in a process of its own, as it were
        if n % 2:
            return client.request("PUT", f"{path}/tags/{n}", headers=PATCH).status
        edit = [{"op": "add", "path": f"/p{n}", "value": "x"}]
        return client.request("PATCH", path, headers=PATCH, json=edit).status

    with ThreadPoolExecutor(8) as threads:
        statuses = list(threads.map(ask, range(40)))
    assert sorted(statuses) == [200] * 20 + [204] * 20
    image = cloud.show(id)
    assert image["tags"] == sorted(str(n) for n in range(1, 40, 2))
    assert {name for name in image if name.startswith("p") and name[1:].isdigit()} == {f"p{n}" for n in range(0, 40, 2)}
