"""The bodies that Glance's API reference shows: what it sends is accepted, and what it shows is what we show."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore

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


TASK = {
    "type": "import",
    "input": {
        "import_from": "http://app-catalog.openstack.example.org/groovy-image",
        "import_from_format": "qcow2",
        "image_properties": {"disk_format": "vhd", "container_format": "ovf"},
    },
}
IMPORTS = (
    {"method": {"name": "glance-direct"}, "stores": ["memory"], "all_stores_must_succeed": False},
    {"method": {"name": "copy-image"}, "stores": ["cheap"], "all_stores_must_succeed": False, "all_stores": False},
    {
        "method": {
            "name": "web-download",
            "uri": "https://download.cirros-cloud.net/0.4.0/cirros-0.4.0-ppc64le-disk.img",
        },
        "all_stores": True,
        "all_stores_must_succeed": True,
    },
)
"""The reference's, with the names of stores that are here; another region's is in test_import_glance.py."""


LATER = {"image_id", "request_id", "user_id"}
"""Of a task since 2.12, which the reference's samples have not followed."""


def test_tasks(cloud: ImageCloud) -> None:
    reply = cloud.ask("POST", "/image/v2/tasks", "admin", TASK)
    assert (reply.status, set(reply.json)) == (201, SHOWN["task"] | LATER)
    assert (reply.json["input"], reply.json["status"]) == (TASK["input"], "pending")
    shown = cloud.ask("GET", f"/image/v2/tasks/{reply.json['id']}", "admin").json
    assert shown == reply.json
    listed = cloud.ask("GET", "/image/v2/tasks", "admin").json
    assert (set(listed), set(listed["tasks"][0])) == (SHOWN["tasks"], SHOWN["listed-task"])


@pytest.mark.parametrize("body", IMPORTS, ids=lambda body: body["method"]["name"])
def test_imports(cloud: ImageCloud, body: dict[str, Any]) -> None:
    name = body["method"]["name"]
    cloud.cloud.add(ImageStores, ImageStores([cloud.store, MemoryStore(name="cheap")]))
    id = cloud.active()["id"] if name == "copy-image" else cloud.make()["id"]
    if name == "glance-direct":
        assert cloud.put(id, b"bytes", what="stage").status == 204
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", "admin", body).status == 202
    listed = cloud.ask("GET", f"/image/v2/images/{id}/tasks").json
    assert (set(listed), set(listed["tasks"][0])) == (SHOWN["image-tasks"], SHOWN["image-task"])
    assert listed["tasks"][0]["input"]["import_req"] == body


def test_what_there_is(cloud: ImageCloud) -> None:
    usage = cloud.ask("GET", "/image/v2/info/usage").json["usage"]
    assert {name: set(found) for name, found in usage.items()} == {name: {"limit", "usage"} for name in SHOWN["usage"]}
    (store,) = cloud.ask("GET", "/image/v2/info/stores/detail", "admin").json["stores"]
    assert set(store) == SHOWN["store"]
    methods = cloud.ask("GET", "/image/v2/info/import").json["import-methods"]
    assert set(methods) == {"description", "type", "value"}
    id = cloud.active()["id"]
    (location,) = cloud.ask("GET", f"/image/v2/images/{id}/locations", "admin").json
    assert (set(location), location["metadata"]) == (SHOWN["location"], {"store": "memory"})
