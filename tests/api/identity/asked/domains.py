"""Domains, and the configuration of one."""

from __future__ import annotations

from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

CONFIG = {"config": {"ldap": {"url": "ldap://there"}}}
OF_DOMAIN = "manager member reader domain_manager domain_member domain_reader service"
"""Those whose token is of a project in the domain `D`, or of `D` itself, and who are no admins."""


@thing("configured")
def _configured(scene: Scene) -> str:
    """A domain that has set an option."""
    id = str(scene.cloud.make("domain", "/domains", name=scene.name(), enabled=False)["id"])
    assert scene.cloud.do("PUT", f"/domains/{id}/config", CONFIG).status == 201
    return id


ROWS = [
    Row("POST", "/v3/domains", ADMINS, {"domain": {"name": "{name}"}}),
    Row("GET", "/v3/domains", f"{READERS} domain_manager domain_member domain_reader"),
    Row("GET", "/v3/domains/{D}", f"{READERS} {OF_DOMAIN}", route="/v3/domains/{}"),
    Row("PATCH", "/v3/domains/{domain}", ADMINS, {"domain": {"description": "x"}}),
    Row("DELETE", "/v3/domains/{domain}", ADMINS),
    Row("PUT", "/v3/domains/{domain}/config", ADMINS, CONFIG),
    Row("GET", "/v3/domains/{configured}/config", READERS),
    Row("GET", "/v3/domains/{configured}/config/ldap", READERS, route="/v3/domains/{}/config/{}"),
    Row("GET", "/v3/domains/{configured}/config/ldap/url", READERS, route="/v3/domains/{}/config/{}/{}"),
    Row("GET", "/v3/domains/default/config/security_compliance", ANY, route="/v3/domains/{}/config/{}"),
    Row("GET", "/v3/domains/default/config/security_compliance/password_regex", ANY,
        route="/v3/domains/{}/config/{}/{}"),
    Row("PATCH", "/v3/domains/{configured}/config", ADMINS, CONFIG),
    Row("PATCH", "/v3/domains/{configured}/config/ldap", ADMINS, CONFIG, route="/v3/domains/{}/config/{}"),
    Row("PATCH", "/v3/domains/{configured}/config/ldap/url", ADMINS, {"config": {"url": "ldap://x"}},
        route="/v3/domains/{}/config/{}/{}"),
    Row("DELETE", "/v3/domains/{configured}/config", ADMINS),
    Row("DELETE", "/v3/domains/{configured}/config/ldap", ADMINS, route="/v3/domains/{}/config/{}"),
    Row("DELETE", "/v3/domains/{configured}/config/ldap/url", ADMINS, route="/v3/domains/{}/config/{}/{}"),
    Row("GET", "/v3/domains/config/default", READERS),
    Row("GET", "/v3/domains/config/ldap/default", READERS, route="/v3/domains/config/{}/default"),
    Row("GET", "/v3/domains/config/ldap/url/default", READERS, route="/v3/domains/config/{}/{}/default"),
]  # fmt: skip
