"""The import method `web-download`: the bytes are at an address that the client names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.core.errors import BadRequest, Conflict
from tiffin.services.image import web
from tiffin.services.image.import_parts import Facts, Given, Source
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import ImageRow


class WebDownload:
    name = "web-download"

    def __init__(self, resolve: web.Resolve = web.look_up) -> None:
        self._resolve = resolve

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        uri = method.get("uri")
        if not isinstance(uri, str) or not uri:
            raise BadRequest(f"The method {self.name} needs a 'uri': the address to read the image from.")
        check_queued(image, self.name)
        settings: Settings = call.service.settings
        try:
            web.judge(uri, settings.web)
        except BadRequest as no:
            raise BadRequest(f"URI for {self.name} does not pass filtering: {no.message}") from None
        return Given({"uri": uri})

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source:
        settings: Settings = cloud.service("image").settings
        answer = web.fetch(given.input["uri"], settings.web, most=settings.limits.bytes, resolve=self._resolve)
        return Source(answer, answer.length)


def check_queued(image: ImageRow, method: str) -> None:
    """Raises `Conflict` for an image that has bytes, or has some coming."""
    if image.status != "queued":
        raise Conflict(f"Image needs to be in 'queued' state to use '{method}' method")


web_download = WebDownload()
