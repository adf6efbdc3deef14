"""Members of shared images."""

from __future__ import annotations

from api.image.personas import MEMBERS, PROJECTS, READERS, Row

_ONE = "/v2/images/{id}/members/{member_id}"

ROWS = [
    Row("POST", "/v2/images/{shared}/members", MEMBERS, see=PROJECTS, body={"member": "p3"}, ok=200),
    Row("POST", "/v2/images/{private}/members", "", see=READERS, body={"member": "p3"}),
    Row("POST", "/v2/images/{public}/members", "", see=PROJECTS, body={"member": "p3"}),
    Row("GET", "/v2/images/{shared}/members", PROJECTS, see=""),
    Row("GET", "/v2/images/{public}/members", "", see=PROJECTS),
    Row("GET", "/v2/images/{shared}/members/p2", PROJECTS, see="", route=_ONE),
    Row("GET", "/v2/images/{public}/members/p2", "", see="", route=_ONE),
    Row("PUT", "/v2/images/{shared}/members/p2", "admin other", see=PROJECTS, body={"status": "accepted"}, ok=200, route=_ONE),
    Row("DELETE", "/v2/images/{shared}/members/p2", MEMBERS, see=PROJECTS, route=_ONE),
]
