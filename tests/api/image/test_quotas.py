"""What a project may have of images: unified limits, registered at the first start."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import delete, select

from api.test_unified_limits import LimitedCloud
from tiffin import bootstrap
from tiffin.core.http.local import Reply
from tiffin.core.settings import Settings
from tiffin.core.state_folder import StateFolder
from tiffin.main import Composition, compose
from tiffin.services.identity.tables import RegisteredLimit
from tiffin.services.image.service import service

IMAGE = {"disk_format": "raw", "container_format": "bare"}
MIB = 1 << 20


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[LimitedCloud]:
    made = LimitedCloud(tmp_path / "keys")
    yield made
    made.close()


def make(cloud: LimitedCloud, token: str = "member", **more: Any) -> Reply:
    return cloud.ask("POST", "/image/v2/images", token, {**IMAGE, **more})


def put(cloud: LimitedCloud, id: str, size: int, what: str = "file") -> Reply:
    headers = {"X-Auth-Token": "member", "Content-Type": "application/octet-stream"}
    return cloud.client.request("PUT", f"/image/v2/images/{id}/{what}", headers=headers, body=bytes(size))


def usage(cloud: LimitedCloud, token: str = "member") -> Any:
    reply = cloud.ask("GET", "/image/v2/info/usage", token)
    assert reply.status == 200
    return {name: (one["usage"], one["limit"]) for name, one in reply.json["usage"].items()}


def test_usage_tells_all_four(cloud: LimitedCloud) -> None:
    cloud.register("image", image_size_total=10, image_stage_total=5, image_count_total=3, image_count_uploading=2)
    id = make(cloud).json["id"]
    assert put(cloud, id, 2 * MIB).status == 204
    staged = make(cloud).json["id"]
    assert put(cloud, staged, MIB + 1, "stage").status == 204
    expected = {
        "image_size_total": (2, 10),
        "image_stage_total": (2, 5),
        "image_count_total": (2, 3),
        "image_count_uploading": (1, 2),
    }
    assert usage(cloud) == expected
    assert usage(cloud, "other") == {name: (0, limit) for name, (_, limit) in expected.items()}
    cloud.limit("image", "image_count_total", "p2", 7)
    assert usage(cloud, "other")["image_count_total"] == (0, 7)
    assert cloud.ask("GET", "/image/v2/info/usage", None).status == 401


def test_more_than_that_is_too_large(cloud: LimitedCloud) -> None:
    cloud.register("image", image_size_total=2, image_stage_total=1, image_count_total=3, image_count_uploading=1)
    ids = [make(cloud).json["id"] for _ in range(3)]
    reply = make(cloud)
    assert reply.status == 413
    assert reply.json["code"] == "413 Request Entity Too Large"
    assert "image_count_total" in reply.json["message"]
    assert make(cloud, "other").status == 201
    assert put(cloud, ids[0], 3 * MIB).status == 413
    assert put(cloud, ids[0], 2 * MIB).status == 204
    assert put(cloud, ids[1], 1).status == 413
    assert put(cloud, ids[1], 2 * MIB, "stage").status == 413
    assert put(cloud, ids[1], MIB, "stage").status == 204
    reply = put(cloud, ids[2], 1, "stage")
    assert (reply.status, "image_count_uploading" in reply.json["message"]) == (413, True)
    assert cloud.ask("DELETE", f"/image/v2/images/{ids[1]}").status == 204
    assert put(cloud, ids[2], 1, "stage").status == 204
    assert make(cloud).status == 201


def test_the_limit_is_the_makers_and_the_use_is_the_owners(cloud: LimitedCloud) -> None:
    cloud.register("image", image_count_total=1)
    assert [make(cloud, "admin", owner="p1").status for _ in range(2)] == [201, 201]
    assert usage(cloud)["image_count_total"] == (2, 1)
    assert make(cloud).status == 413


# --- the first start ----------------------------------------------------------------------------------------------------


def registered(composition: Composition) -> dict[str, int]:
    with composition.cloud.database.read() as session:
        rows = session.execute(select(RegisteredLimit.resource_name, RegisteredLimit.default_limit))
        return {row.resource_name: row.default_limit for row in rows}


def start(home: Path, sections: dict[str, Any]) -> Composition:
    StateFolder(home).create()
    composition = compose(Settings(home=home, simulated=True, sections=sections))
    bootstrap.identity(composition, lambda step: None)
    return composition


def test_the_first_start_registers_them_once(tmp_path: Path) -> None:
    first = start(tmp_path, {})
    assert registered(first) == {name: quota.default for name, quota in service.quotas.items()}
    with first.cloud.database.write() as session:
        session.execute(delete(RegisteredLimit).where(RegisteredLimit.resource_name == "image_stage_total"))
    first.cloud.database.close()
    second = start(tmp_path, {})
    assert set(registered(second)) == set(service.quotas) - {"image_stage_total"}, "what was removed stays removed"
    second.cloud.database.close()


def test_who_counts_otherwise_has_none(tmp_path: Path) -> None:
    own = start(tmp_path, {"image": {"quotas": "own"}})
    assert registered(own) == {}
    own.cloud.database.close()
    chosen_later = start(tmp_path, {})
    assert set(registered(chosen_later)) == set(service.quotas)
    chosen_later.cloud.database.close()
