"""Image records, their tags, and what is done to them."""

from __future__ import annotations

from typing import Any

from api.image.personas import MEMBERS, PROJECTS, READERS, Row

PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
RENAME: list[dict[str, Any]] = [{"op": "replace", "path": "/name", "value": "new"}]


def _visibility(value: str) -> list[dict[str, Any]]:
    return [{"op": "replace", "path": "/visibility", "value": value}]


ROWS = [
    Row("POST", "/v2/images", f"{MEMBERS} other", body={"name": "x"}),
    Row("POST", "/v2/images", MEMBERS, body={"owner": "p1"}),
    Row("POST", "/v2/images", "admin", body={"visibility": "public"}),
    Row("POST", "/v2/images", f"{MEMBERS} other", body={"visibility": "community"}),
    Row("GET", "/v2/images", PROJECTS),
    Row("GET", "/v2/images/{private}", READERS, see="", route="/v2/images/{id}"),
    Row("GET", "/v2/images/{shared}", PROJECTS, see=""),
    Row("GET", "/v2/images/{public}", PROJECTS, see=""),
    Row("GET", "/v2/images/{community}", PROJECTS, see=""),
    Row("PATCH", "/v2/images/{private}", MEMBERS, see=READERS, body=RENAME, headers=PATCH),
    Row("PATCH", "/v2/images/{shared}", MEMBERS, see=PROJECTS, body=RENAME, headers=PATCH),
    Row("PATCH", "/v2/images/{public}", MEMBERS, see=PROJECTS, body=RENAME, headers=PATCH),
    Row("PATCH", "/v2/images/{private}", "admin", see=READERS, body=_visibility("public"), headers=PATCH),
    Row("PATCH", "/v2/images/{public}", MEMBERS, see=PROJECTS, body=_visibility("community"), headers=PATCH),
    Row("DELETE", "/v2/images/{private}", MEMBERS, see=READERS),
    Row("DELETE", "/v2/images/{shared}", MEMBERS, see=PROJECTS),
    Row("DELETE", "/v2/images/{public}", MEMBERS, see=PROJECTS),
    Row("POST", "/v2/images/{active}/actions/deactivate", MEMBERS, see=READERS, ok=204),
    Row("POST", "/v2/images/{published}/actions/deactivate", MEMBERS, see=PROJECTS, ok=204),
    Row("POST", "/v2/images/{deactivated}/actions/reactivate", MEMBERS, see=READERS, ok=204),
    Row("PUT", "/v2/images/{private}/tags/t", MEMBERS, see=READERS, route="/v2/images/{id}/tags/{tag}"),
    Row("PUT", "/v2/images/{community}/tags/t", MEMBERS, see=PROJECTS, route="/v2/images/{id}/tags/{tag}"),
    Row("DELETE", "/v2/images/{tagged}/tags/t", MEMBERS, see=PROJECTS, route="/v2/images/{id}/tags/{tag}"),
]
