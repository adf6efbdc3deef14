"""The import method `glance-download`: the bytes are an image of another region, read there as who asks for the import.

The address comes from the catalogue, which is an operator's word, never from the client. The client's token goes there and
nowhere else: it is kept as a secret until the bytes have come, and no redirect is followed with it.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

import msgspec

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible
from tiffin.core.errors import BadRequest, Fault
from tiffin.core.schema import decode_json
from tiffin.services.identity.public import Identity, endpoint_url
from tiffin.services.image import rules, web
from tiffin.services.image.import_parts import Facts, Given, Source
from tiffin.services.image.import_web import check_queued
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import ImageRow

LONGEST_RECORD = 1 << 20
"""Bytes of what another region says of an image."""


class _Record(msgspec.Struct):
    """What counts of an image of another region."""

    status: str
    size: int | None = None
    disk_format: str | None = None
    container_format: str | None = None


class GlanceDownload:
    name = "glance-download"

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        region, id = _word(method, "glance_region"), _image_id(_word(method, "glance_image_id"))
        interface = _word(method, "glance_service_interface", "public")
        check_queued(image, self.name)
        url = endpoint_url(call.part(Identity), call.db, call.actor, "image", (region, interface)) or ""
        wanted = {"glance_region": region, "glance_image_id": id, "glance_service_interface": interface}
        return Given({**wanted, "endpoint": url.rstrip("/")}, secret=call.request.get_header("X-Auth-Token") or "")

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source:
        settings: Settings = cloud.service("image").settings
        if not given.input["endpoint"]:  # clients expect to learn this from the task
            where = "in the region {glance_region!r} with the interface {glance_service_interface!r}".format(**given.input)
            raise Impossible(f"The catalogue has no image service {where}.")
        try:
            allowed = web.trusting(given.input["endpoint"], settings.web)
        except BadRequest as no:
            raise Impossible(no.message) from no
        url = f"{given.input['endpoint']}/v2/images/{given.input['glance_image_id']}"
        sent = {"X-Auth-Token": given.secret}
        record, found = _record(b"".join(web.fetch(url, allowed, most=LONGEST_RECORD, headers=sent)))
        properties = _taken_over(found, facts, settings)
        size = record.size or 0
        if size > settings.limits.bytes:
            raise Impossible(f"The image has {size} bytes; at most {settings.limits.bytes} are accepted.")
        answer = web.fetch(f"{url}/file", allowed, most=size, headers=sent)
        return Source(answer, size, record.disk_format or "", record.container_format or "", properties)


def _word(method: Mapping[str, Any], name: str, default: str = "") -> str:
    found = method.get(name, default)
    if not isinstance(found, str) or not 1 <= len(found) <= 255:
        raise BadRequest(f"The method {GlanceDownload.name} needs a '{name}' of 1 to 255 characters.")
    return found


def _image_id(text: str) -> str:
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise BadRequest(f"Remote image id does not look like a UUID: {text[:80]}") from None


def _record(raw: bytes) -> tuple[_Record, dict[str, Any]]:
    """What another region says of an image that can be imported. Raises `Impossible`."""
    try:
        found = decode_json(raw)
        record = msgspec.convert(found, _Record)
    except (BadRequest, msgspec.ValidationError) as bad:
        raise Impossible(f"The other region does not describe the image as Glance does: {bad}.") from bad
    if record.status != "active":
        raise Impossible(f"The image is {record.status[:80]!r} in the other region; only an active one can be imported.")
    if record.disk_format not in rules.DISK_FORMATS or record.container_format not in rules.CONTAINER_FORMATS:
        raise Impossible("The image has a disk_format or container_format in the other region that is not known here.")
    if record.size is None or record.size < 0:
        raise Impossible("The other region does not say how large the image is.")
    return record, found


def _taken_over(found: dict[str, Any], facts: Facts, settings: Settings) -> dict[str, str]:
    """The properties that an operator wants from other regions; what is reserved, or no property here, stays there."""
    stays = rules.KEPT | rules.READ_ONLY | rules.RESERVED
    taken: dict[str, str] = {}
    try:
        for name, value in found.items():
            wanted = name.startswith(settings.imports.extra_properties) and not name.startswith("os_glance")
            if wanted and isinstance(value, str) and name not in stays:
                rules.check_property(name, value)
                taken[name] = value
        rules.check_amount("properties", len({**facts.properties, **taken}), settings.limits.properties)
    except Fault as no:
        raise Impossible(f"The image cannot be taken over from the other region: {no.message}") from no
    return taken


glance_download = GlanceDownload()
