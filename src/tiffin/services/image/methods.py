"""The import methods whose bytes are in a store of ours already."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.core.errors import Conflict
from tiffin.services.image import importing
from tiffin.services.image.import_parts import Facts, Given, Source
from tiffin.services.image.tables import ImageRow


class GlanceDirect:
    """The bytes have been staged."""

    name = "glance-direct"

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        if image.status != "uploading" or not importing.staged(call.db, image.id):
            raise Conflict("Image needs to be staged before 'glance-direct' method can be used")
        return Given()

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source | None:
        return None


class CopyImage:
    """The image is active, and goes to further stores."""

    name = "copy-image"

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        if image.status != "active":
            raise Conflict("Only images with status active can be targeted for copying")
        return Given()

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source | None:
        return None


glance_direct = GlanceDirect()
copy_image = CopyImage()
