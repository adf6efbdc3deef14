"""Roles, and what they imply."""

from __future__ import annotations

from api.identity.personas import ADMINS, READERS, Row, Scene, thing

_PAIR = "/v3/roles/{implying}/implies/{reader_role}"
_ONE = "/v3/roles/{id}/implies/{implied_id}"

OF_NO_DOMAIN = READERS.replace("domain_admin ", "")
"""Roles of a domain have rules of their own, which are for tokens of projects and of the system."""

ROWS = [
    Row("POST", "/v3/roles", ADMINS, {"role": {"name": "{name}"}}),
    Row("POST", "/v3/roles", ADMINS, {"role": {"name": "{name}", "domain_id": "{D}"}}),
    Row("GET", "/v3/roles", f"{READERS} domain_manager"),
    Row("GET", "/v3/roles?domain_id={D}", OF_NO_DOMAIN),
    Row("GET", "/v3/roles/{role}", READERS),
    Row("GET", "/v3/roles/{member_role}", f"{READERS} manager domain_manager"),
    Row("GET", "/v3/roles/{domain_role}", OF_NO_DOMAIN),
    Row("PATCH", "/v3/roles/{role}", ADMINS, {"role": {"description": "x"}}),
    Row("PATCH", "/v3/roles/{domain_role}", ADMINS, {"role": {"description": "x"}}),
    Row("DELETE", "/v3/roles/{role}", ADMINS),
    Row("DELETE", "/v3/roles/{domain_role}", ADMINS),
    Row("GET", "/v3/roles/{implying}/implies", READERS),
    Row("PUT", "/v3/roles/{role}/implies/{reader_role}", ADMINS),
    Row("GET", _PAIR, READERS, route=_ONE),
    Row("HEAD", _PAIR, READERS, route=_ONE),
    Row("DELETE", _PAIR, ADMINS, route=_ONE),
    Row("GET", "/v3/role_inferences", READERS),
]


@thing("member_role")
def _member_role(scene: Scene) -> str:
    return scene.cloud.role("member")


@thing("reader_role")
def _reader_role(scene: Scene) -> str:
    return scene.cloud.role("reader")


@thing("domain_role")
def _domain_role(scene: Scene) -> str:
    return str(scene.cloud.make("role", "/roles", name="member", domain_id=scene.new("domain"))["id"])



@thing("implying")
def _implying(scene: Scene) -> str:
    id = scene.new("role")
    assert scene.cloud.do("PUT", f"/roles/{id}/implies/{scene.cloud.role('reader')}").status == 201
    return id
