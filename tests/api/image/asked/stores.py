"""Copies in stores, and locations."""

from __future__ import annotations

from collections.abc import Iterator

from api.image.conftest import ImageCloud
from api.image.personas import MEMBERS, PROJECTS, READERS, Row, thing
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.http import HttpStore

URL = "http://example.org/image"


class Elsewhere:
    """A server that has an image at any address."""

    def size(self, url: str) -> int:
        return 5

    def read(self, url: str, start: int, length: int | None) -> Iterator[bytes]:
        yield b"bytes"


@thing("web")
def web(cloud: ImageCloud) -> str:
    """The name of a store that reads from other servers."""
    cloud.cloud.add(ImageStores, ImageStores([cloud.store, HttpStore(Elsewhere(), name="web")]))
    return "web"


LOCATION = {"url": URL, "metadata": {"in": "{web}"}}
ROWS = [
    Row("DELETE", "/v2/stores/{web}/{located}", "admin", see=READERS),
    Row("GET", "/v2/images/{active}/locations", "admin", see=READERS),
    Row("GET", "/v2/images/{published}/locations", "admin service", see=PROJECTS),
    Row("POST", "/v2/images/{private}/locations", MEMBERS, see=READERS, body=LOCATION, ok=202),
    Row("POST", "/v2/images/{public}/locations", f"{MEMBERS} service", see=PROJECTS, body=LOCATION, ok=202),
]


@thing("located")
def located(cloud: ImageCloud) -> str:
    """An image of p1 that is in two stores."""
    from tiffin.services.image import locations
    from tiffin.services.image.tables import ImageRow

    id = str(cloud.active(b"bytes")["id"])
    with cloud.cloud.database.write() as session:
        image = session.get_one(ImageRow, id)
        blob = locations.new_blob(cloud.cloud.world.new_id(), image, "web", URL)
        blob.role = "data"
        session.add(blob)
        session.flush()
        locations.place(session, image, blob, 1, {})
    return id
