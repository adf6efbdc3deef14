"""Federation: who outside vouches for whom, and where this cloud vouches."""

from __future__ import annotations

from typing import Any

from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

PROVIDERS = "/v3/OS-FEDERATION/identity_providers"
RULES = [{"local": [{"user": {"name": "somebody"}}], "remote": [{"type": "UserName"}]}]
URLS = {"auth_url": "https://there.example/v3/auth", "sp_url": "https://there.example/ECP"}
NOT_ENABLED = (401,)


def _put(scene: Scene, path: str, kind: str, body: dict[str, Any]) -> None:
    reply = scene.cloud.do("PUT", f"/OS-FEDERATION/{path}", {kind: body})
    assert reply.status == 201, reply.body


@thing("idp")
def _idp(scene: Scene) -> str:
    name = scene.name()
    _put(scene, f"identity_providers/{name}", "identity_provider", {})
    return name


@thing("mapping")
def _mapping(scene: Scene) -> str:
    name = scene.name()
    _put(scene, f"mappings/{name}", "mapping", {"rules": RULES})
    return name


@thing("protocol_of")
def _protocol(scene: Scene) -> str:
    """The path of a protocol below the identity providers'."""
    path = f"{_idp(scene)}/protocols/saml2"
    _put(scene, f"identity_providers/{path}", "protocol", {"mapping_id": _mapping(scene)})
    return path


@thing("sp")
def _sp(scene: Scene) -> str:
    name = scene.name()
    _put(scene, f"service_providers/{name}", "service_provider", {**URLS, "enabled": True})
    return name


@thing("token")
def _token(scene: Scene) -> str:
    return scene.tokens["member"]


ASSERTION = {"auth": {"identity": {"methods": ["token"], "token": {"id": "{token}"}},
                      "scope": {"service_provider": {"id": "{sp}"}}}}  # fmt: skip
OF_PROTOCOL = f"{PROVIDERS}/{{}}/protocols/{{}}"

ROWS = [
    Row("PUT", f"{PROVIDERS}/{{name}}", ADMINS, {"identity_provider": {}}),
    Row("GET", PROVIDERS, READERS),
    Row("GET", f"{PROVIDERS}/{{idp}}", READERS),
    Row("PATCH", f"{PROVIDERS}/{{idp}}", ADMINS, {"identity_provider": {"enabled": True}}),
    Row("DELETE", f"{PROVIDERS}/{{idp}}", ADMINS),
    Row("PUT", f"{PROVIDERS}/{{idp}}/protocols/{{name}}", ADMINS, {"protocol": {"mapping_id": "{mapping}"}}),
    Row("GET", f"{PROVIDERS}/{{idp}}/protocols", READERS),
    Row("GET", f"{PROVIDERS}/{{protocol_of}}", READERS, route=OF_PROTOCOL),
    Row("PATCH", f"{PROVIDERS}/{{protocol_of}}", ADMINS, {"protocol": {"mapping_id": "{mapping}"}}, route=OF_PROTOCOL),
    Row("DELETE", f"{PROVIDERS}/{{protocol_of}}", ADMINS, route=OF_PROTOCOL),
    Row("PUT", "/v3/OS-FEDERATION/mappings/{name}", ADMINS, {"mapping": {"rules": RULES}}),
    Row("GET", "/v3/OS-FEDERATION/mappings", READERS),
    Row("GET", "/v3/OS-FEDERATION/mappings/{mapping}", READERS),
    Row("PATCH", "/v3/OS-FEDERATION/mappings/{mapping}", ADMINS, {"mapping": {"rules": RULES}}),
    Row("DELETE", "/v3/OS-FEDERATION/mappings/{mapping}", ADMINS),
    Row("PUT", "/v3/OS-FEDERATION/service_providers/{name}", ADMINS, {"service_provider": URLS}),
    Row("GET", "/v3/OS-FEDERATION/service_providers", READERS),
    Row("GET", "/v3/OS-FEDERATION/service_providers/{sp}", READERS),
    Row("PATCH", "/v3/OS-FEDERATION/service_providers/{sp}", ADMINS, {"service_provider": {"enabled": False}}),
    Row("DELETE", "/v3/OS-FEDERATION/service_providers/{sp}", ADMINS),
    Row("GET", "/v3/OS-FEDERATION/projects", ANY),
    Row("GET", "/v3/OS-FEDERATION/domains", ANY),
    # what nobody may, since it is not enabled
    Row("GET", f"{PROVIDERS}/{{idp}}/protocols/{{name}}/auth", "", refused=NOT_ENABLED),
    Row("POST", f"{PROVIDERS}/{{idp}}/protocols/{{name}}/auth", "", refused=NOT_ENABLED),
    Row("GET", "/v3/auth/OS-FEDERATION/websso/{name}", "", refused=NOT_ENABLED),
    Row("POST", "/v3/auth/OS-FEDERATION/websso/{name}", "", refused=NOT_ENABLED),
    Row("GET", "/v3/auth/OS-FEDERATION/identity_providers/{idp}/protocols/{name}/websso?origin=http://d", "",
        refused=NOT_ENABLED),
    Row("POST", "/v3/auth/OS-FEDERATION/identity_providers/{idp}/protocols/{name}/websso?origin=http://d", "",
        refused=NOT_ENABLED),
    Row("GET", "/v3/OS-FEDERATION/saml2/metadata", "", refused=(404,)),
    Row("POST", "/v3/auth/OS-FEDERATION/saml2", "", ASSERTION, refused=(501,)),
    Row("POST", "/v3/auth/OS-FEDERATION/saml2/ecp", "", ASSERTION, refused=(501,)),
]  # fmt: skip
