"""Volumes of a server. There is no volume service yet, so no server has any."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import NotFound
from tiffin.core.resource import Resource
from tiffin.services.compute.resources.finding import find
from tiffin.services.compute.resources.flavors import READER

attachments = Resource("volumeAttachment", "volumeAttachments", "/v2.1/servers/{id}/os-volume_attachments")


@attachments.operation("GET", policy=("os_compute_api:os-volumes-attachments:index", READER), about=find)
def index(call: Call, id: str) -> dict[str, Any]:
    return {"volumeAttachments": []}


@attachments.operation("GET", "/{volume_id}", policy=("os_compute_api:os-volumes-attachments:show", READER), about=find)
def show(call: Call, id: str, volume_id: str) -> None:
    raise NotFound(f"Instance {id} is not attached to volume {volume_id[:64]}.")
