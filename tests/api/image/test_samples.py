"""The bodies that Glance's API reference shows: what it sends is accepted, and what it shows is what we show."""

from __future__ import annotations

from pathlib import Path

import pytest

from .conftest import ImageCloud

SHOWN = {
    line.split()[0]: set(line.split()[1:])
    for line in (Path(__file__).with_name("facts") / "answers.txt").read_text().splitlines()
}
"""Each kind of answer, and the fields that it has in the reference."""
SHOWN["image"].remove("locations")  # shown where an operator chose so
ID = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"
CREATE = {"container_format": "bare", "disk_format": "raw", "name": "Ubuntu", "id": ID}
UPDATE = [
    {"op": "replace", "path": "/name", "value": "Fedora 17"},
    {"op": "replace", "path": "/tags", "value": ["fedora", "beefy"]},
]
MEMBER = "8989447062e04a818baf9e073fd04fa7"


@pytest.fixture
def ubuntu(cloud: ImageCloud) -> ImageCloud:
    """With the image of the reference."""
    reply = cloud.ask("POST", "/image/v2/images", json=CREATE)
    assert reply.status == 201
    assert set(reply.json) == SHOWN["image"]
    return cloud


def test_images(ubuntu: ImageCloud) -> None:
    assert set(ubuntu.show(ID)) == SHOWN["image"]
    reply = ubuntu.patch(ID, UPDATE)
    assert (reply.status, set(reply.json)) == (200, SHOWN["image"])
    assert (reply.json["name"], reply.json["tags"]) == ("Fedora 17", ["beefy", "fedora"])
    assert ubuntu.put(ID, b"bytes").status == 204
    assert ubuntu.ask("POST", f"/image/v2/images/{ID}/actions/deactivate").status == 204
    assert set(ubuntu.show(ID)) == SHOWN["image"] | {"stores"}  # there may be several
    listed = ubuntu.ask("GET", "/image/v2/images").json
    assert set(listed) == SHOWN["images"]
    assert listed["images"] == [ubuntu.show(ID)]


def test_members(ubuntu: ImageCloud) -> None:
    path = f"/image/v2/images/{ID}/members"
    reply = ubuntu.ask("POST", path, json={"member": MEMBER})
    assert (reply.status, set(reply.json)) == (200, SHOWN["member"])
    assert set(ubuntu.ask("GET", f"{path}/{MEMBER}").json) == SHOWN["member"]
    reply = ubuntu.ask("PUT", f"{path}/{MEMBER}", "admin", {"status": "accepted"})
    assert (reply.status, set(reply.json), reply.json["status"]) == (200, SHOWN["member"], "accepted")
    listed = ubuntu.ask("GET", path).json
    assert (set(listed), set(listed["members"][0])) == (SHOWN["members"], SHOWN["member"])
