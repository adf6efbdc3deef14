"""The documents by which clients find out what is spoken here. They need no token."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Resource
from tiffin.services.compute.dialect import NEWEST, OLDEST, text

versions = Resource("version", "versions", "")


def _version(call: Call, id: str) -> dict[str, Any]:
    newest = id == "v2.1"
    path = "v2" if id == "v2.0" else id
    return {
        "id": id,
        "status": "CURRENT" if newest else "SUPPORTED",
        "version": text(NEWEST) if newest else "",
        "min_version": text(OLDEST) if newest else "",
        "updated": "2013-07-23T11:33:21Z" if newest else "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{call.base_url}/{path}/"}],
    }


def _full(call: Call, id: str) -> dict[str, Any]:
    number = "2.1" if id == "v2.1" else "2"
    media = {"base": "application/json", "type": f"application/vnd.openstack.compute+json;version={number}"}
    return {"version": {**_version(call, id), "media-types": [media]}}


@versions.operation("GET", policy=None, auth=False, transaction="none")
def index(call: Call) -> dict[str, Any]:
    return {"versions": [_version(call, "v2.0"), _version(call, "v2.1")]}


@versions.operation("GET", "/v2", policy=None, auth=False, transaction="none")
def legacy(call: Call) -> dict[str, Any]:
    return _full(call, "v2.0")


@versions.operation("GET", "/v2.1", policy=None, auth=False, transaction="none")
def newest(call: Call) -> dict[str, Any]:
    return _full(call, "v2.1")
