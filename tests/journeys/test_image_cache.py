"""The caches of the hosts by the unmodified `openstack` client and SDK, against a whole cloud."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from openstack.exceptions import ForbiddenException, NotFoundException

from openstack_session import OpenStack
from running_cloud import ADMIN, RunningCloud, running_cloud
from story import IMAGE


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True, settings="[image.cache]\nimage_cache_max_size = 0\n") as cloud:
        yield cloud


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> Iterator[OpenStack]:
    with cloud.openstack(ADMIN) as openstack:
        yield openstack


def states(admin: OpenStack) -> list[str]:
    return [row["State"] for row in json.loads(admin("cached image list -f json"))]


def until(happened: Callable[[], bool], seconds: float = 20.0) -> None:
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.05)


def test_the_commands(admin: OpenStack) -> None:
    admin("cached image clear")
    assert states(admin) == []
    admin(f"cached image queue {IMAGE}")
    until(lambda: states(admin) != ["queued"])  # it is cached, until the cloud prunes a cache that may hold nothing
    until(lambda: states(admin) == [])
    admin(f"cached image queue {IMAGE}")
    admin(f"cached image delete {IMAGE}")
    assert states(admin) == []
    for target in ("--cache", "--queue"):
        admin(f"cached image queue {IMAGE}")
        admin(f"cached image clear {target}")
    admin("cached image clear")
    assert states(admin) == []
    assert "No Image found" in admin.refused("cached image queue no-such-image")


def test_the_sdk(cloud: RunningCloud) -> None:
    with cloud.connect(ADMIN) as connection:
        image = connection.image.find_image(IMAGE, ignore_missing=False)
        connection.image.queue_image(image.id)
        until(lambda: connection.image.get_image_cache().queued_images == [])
        connection.image.clean_cache()
        pruned = connection.image.prune_cache()
        assert set(pruned) == {"total_files_pruned", "total_bytes_pruned"}
        assert connection.image.cached_image_nodes(image) == []
        with pytest.raises(NotFoundException):
            connection.image.cached_image_nodes("no-such-image")
    with cloud.connect() as connection, pytest.raises(ForbiddenException):
        connection.image.get_image_cache()
