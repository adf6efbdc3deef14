"""Which versions placement speaks."""

from __future__ import annotations

from tiffin.core.call import Call
from tiffin.core.resource import Answer, Resource
from tiffin.services.placement.dialect import NEWEST, OLDEST

versions = Resource("version", "versions", "")


@versions.operation("GET", "/", policy=None, auth=False)
def index(call: Call) -> Answer:
    document = {
        "id": "v1.0",
        "status": "CURRENT",
        "min_version": ".".join(map(str, OLDEST)),
        "max_version": ".".join(map(str, NEWEST)),
        "links": [{"rel": "self", "href": ""}],
    }
    return Answer({"versions": [document]})
