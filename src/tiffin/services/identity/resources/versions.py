"""Where identity's API is and what version it speaks."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Answer, Resource

VERSION = "v3.14"
UPDATED = "2020-04-07T00:00:00Z"

versions = Resource("version", "versions", "")


def document(call: Call) -> dict[str, Any]:
    return {
        "id": VERSION,
        "status": "stable",
        "updated": UPDATED,
        "links": [{"rel": "self", "href": f"{call.base_url}/v3/"}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}],
    }


@versions.operation("GET", "/", policy=None, auth=False)
def index(call: Call) -> Answer:
    return Answer({"versions": {"values": [document(call)]}}, 300, {"Location": f"{call.base_url}/v3/"})


@versions.operation("GET", "/v3", policy=None, auth=False)
def show(call: Call) -> Answer:
    return Answer({"version": document(call)})
