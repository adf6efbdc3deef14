"""How bytes are refused that are not what they should be: by every way in, with words, and without a byte that is left."""

from __future__ import annotations

from api.image.conftest import ImageCloud

Hostile = tuple[str, bytes, str]
"""The disk format that they are said to have, the bytes, and what the refusal has to say."""


def refused_on_upload(cloud: ImageCloud, hostile: Hostile) -> None:
    disk_format, data, why = hostile
    id = cloud.make(disk_format=disk_format)["id"]
    reply = cloud.put(id, data)
    assert reply.status == 400, reply.body
    assert why in reply.json["message"]
    image = cloud.show(id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert list(cloud.store.keys()) == []


def not_imported(cloud: ImageCloud, hostile: Hostile) -> None:
    disk_format, data, _ = hostile
    id = cloud.make(disk_format=disk_format)["id"]
    assert cloud.put(id, data, what="stage").status == 204
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json={"method": {"name": "glance-direct"}}).status == 202
    cloud.settle()
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []
