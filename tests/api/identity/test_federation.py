"""Identity providers, protocols, service providers; and what answers where no login by them is enabled."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.changes import changes_of
from api.identity.conftest import URL, IdentityCloud
from tiffin.core.http.local import Reply

HERE = f"{URL}/identity/v3/OS-FEDERATION"
RULES = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "UserName"}]}]
URLS = {"auth_url": "https://there.example/v3/auth", "sp_url": "https://there.example/ECP"}


def put(cloud: IdentityCloud, path: str, kind: str, **fields: Any) -> Any:
    reply = cloud.do("PUT", f"/OS-FEDERATION/{path}", {kind: fields})
    assert reply.status == 201, reply.body
    return reply.json[kind]


def idp(cloud: IdentityCloud, id: str, **fields: Any) -> Any:
    return put(cloud, f"identity_providers/{id}", "identity_provider", **fields)


def ask(cloud: IdentityCloud, method: str, path: str, json: Any = None) -> Reply:
    return cloud.do(method, f"/OS-FEDERATION{path}", json)


# --- identity providers ------------------------------------------------------------------------------------------------


def test_an_identity_provider_lives_and_dies(cloud: IdentityCloud) -> None:
    made = idp(cloud, "acme", description="people", remote_ids=["https://b", "https://a"], authorization_ttl=0)
    here = f"{HERE}/identity_providers/acme"
    assert made == {
        "id": "acme", "domain_id": made["domain_id"], "enabled": False, "description": "people", "authorization_ttl": 0,
        "remote_ids": ["https://a", "https://b"], "links": {"self": here, "protocols": f"{here}/protocols"},
    }  # fmt: skip
    domain = cloud.do("GET", f"/domains/{made['domain_id']}").json["domain"]
    assert (domain["name"], domain["enabled"]) == (domain["id"], True)
    path = "/identity_providers/acme"
    assert ask(cloud, "GET", path).json["identity_provider"] == made
    assert ask(cloud, "HEAD", path).status == 200
    listed = ask(cloud, "GET", "/identity_providers").json
    assert listed["identity_providers"] == [made]
    assert listed["links"] == {"self": f"{HERE}/identity_providers", "previous": None, "next": None}
    body = {"enabled": True, "description": None, "authorization_ttl": None, "remote_ids": ["https://a", "https://c"]}
    changed = ask(cloud, "PATCH", path, {"identity_provider": body}).json["identity_provider"]
    assert changed == {**made, **body}
    assert ask(cloud, "PATCH", path, {"identity_provider": {"remote_ids": None}}).json["identity_provider"] == {
        **changed, "remote_ids": [],
    }  # fmt: skip
    assert ask(cloud, "DELETE", path).status == 204
    for method, body in (("GET", None), ("DELETE", None), ("PATCH", {"identity_provider": {"enabled": True}})):
        assert ask(cloud, method, path, body).status == 404
    assert cloud.do("GET", f"/domains/{made['domain_id']}").status == 200  # its users live on


def test_an_identity_provider_has_a_domain(cloud: IdentityCloud) -> None:
    own = cloud.make("domain", "/domains", name="people")["id"]
    assert idp(cloud, "one", domain_id=own, enabled=True)["domain_id"] == own
    assert idp(cloud, "other", domain_id=own)["domain_id"] == own
    assert idp(cloud, "third", domain_id=None)["domain_id"] not in (None, own)
    put(cloud, "mappings/m", "mapping", rules=RULES)
    put(cloud, "identity_providers/one/protocols/saml2", "protocol", mapping_id="m")
    cloud.do("PATCH", f"/domains/{own}", {"domain": {"enabled": False}})
    assert cloud.do("DELETE", f"/domains/{own}").status == 204
    assert [p["id"] for p in ask(cloud, "GET", "/identity_providers").json["identity_providers"]] == ["third"]
    assert ask(cloud, "GET", "/identity_providers/one/protocols").json["protocols"] == []


def test_identity_providers_are_filtered(cloud: IdentityCloud) -> None:
    for name in ("a", "b", "c"):
        idp(cloud, name, enabled=name != "b")

    def found(query: str) -> list[str]:
        return [p["id"] for p in ask(cloud, "GET", f"/identity_providers?{query}").json["identity_providers"]]

    assert found("enabled=True") == ["a", "c"]
    assert found("enabled=0") == ["b"]
    assert found("id=b") == ["b"]
    assert found("id=none") == []
    assert found("limit=2") == ["a", "b"]
    assert found("limit=2&marker=b") == ["c"]


def test_what_is_taken_is_refused(cloud: IdentityCloud) -> None:
    idp(cloud, "a", remote_ids=["one", "two"])
    idp(cloud, "b", remote_ids=["three"])
    before = len(cloud.do("GET", "/domains").json["domains"])
    assert ask(cloud, "PUT", "/identity_providers/a", {"identity_provider": {}}).status == 409
    taken = ask(cloud, "PUT", "/identity_providers/c", {"identity_provider": {"remote_ids": ["four", "two"]}})
    assert (taken.status, "remote ID: two" in taken.json["error"]["message"]) == (409, True)
    assert ask(cloud, "PATCH", "/identity_providers/b", {"identity_provider": {"remote_ids": ["one"]}}).status == 409
    assert ask(cloud, "GET", "/identity_providers/b").json["identity_provider"]["remote_ids"] == ["three"]
    assert len(cloud.do("GET", "/domains").json["domains"]) == before


@pytest.mark.parametrize(("body", "status"), [
    ({"domain_id": "none"}, 404), ({"domain_id": "?"}, 400), ({"enabled": "maybe"}, 400), ({"enabled": 1}, 400),
    ({"description": 1}, 400), ({"authorization_ttl": -1}, 400), ({"authorization_ttl": "1"}, 400),
    ({"remote_ids": "a"}, 400), ({"remote_ids": ["a", "a"]}, 400), ({"remote_ids": ["a" * 256]}, 400),
    ({"remote_ids": [1]}, 400), ({"id": "a"}, 400), ({"protocols": []}, 400)])  # fmt: skip
def test_bad_identity_providers(cloud: IdentityCloud, body: dict[str, Any], status: int) -> None:
    assert ask(cloud, "PUT", "/identity_providers/a", {"identity_provider": body}).status == status
    assert ask(cloud, "GET", "/identity_providers").json["identity_providers"] == []


@pytest.mark.parametrize("body", [{}, {"domain_id": "default"}, {"id": "b"}, {"authorization_ttl": 2**31}])
def test_bad_changes_of_identity_providers(cloud: IdentityCloud, body: dict[str, Any]) -> None:
    made = idp(cloud, "a")
    assert ask(cloud, "PATCH", "/identity_providers/a", {"identity_provider": body}).status == 400
    assert ask(cloud, "GET", "/identity_providers/a").json["identity_provider"] == made


@pytest.mark.parametrize(("path", "kind", "body"), [
    ("identity_providers/{}", "identity_provider", {}), ("mappings/{}", "mapping", {"rules": RULES}),
    ("identity_providers/a/protocols/{}", "protocol", {"mapping_id": "m"}),
    ("service_providers/{}", "service_provider", URLS)])  # fmt: skip
def test_ids_are_chosen_and_bounded(cloud: IdentityCloud, path: str, kind: str, body: dict[str, Any]) -> None:
    idp(cloud, "a")
    put(cloud, "mappings/m", "mapping", rules=RULES)
    assert put(cloud, path.format("x" * 64), kind, **body)["id"] == "x" * 64
    assert ask(cloud, "PUT", "/" + path.format("x" * 65), {kind: body}).status == 400
    assert ask(cloud, "PUT", "/" + path.format("y")).status == 400
    odd = put(cloud, path.format("Müller & Co"), kind, **body)
    assert (odd["id"], odd["links"]["self"]) == ("Müller & Co", f"{HERE}/{path.format('M%C3%BCller%20%26%20Co')}")


# --- protocols ---------------------------------------------------------------------------------------------------------


def test_a_protocol_lives_and_dies(cloud: IdentityCloud) -> None:
    idp(cloud, "acme")
    for name in ("m", "n"):
        put(cloud, f"mappings/{name}", "mapping", rules=RULES)
    path = "/identity_providers/acme/protocols/saml2"
    made = put(cloud, path[1:], "protocol", mapping_id="m")
    provider = f"{HERE}/identity_providers/acme"
    links = {"self": f"{provider}/protocols/saml2", "identity_provider": provider}
    assert made == {"id": "saml2", "mapping_id": "m", "links": links}
    assert ask(cloud, "GET", path).json["protocol"] == made
    assert ask(cloud, "PUT", path, {"protocol": {"mapping_id": "m"}}).status == 409
    body = {"mapping_id": "n", "remote_id_attribute": "ISSUER"}
    assert ask(cloud, "PATCH", path, {"protocol": body}).json["protocol"] == {**made, **body}
    put(cloud, "identity_providers/acme/protocols/openid", "protocol", mapping_id="m", remote_id_attribute=None)
    listed = ask(cloud, "GET", "/identity_providers/acme/protocols").json["protocols"]
    assert [p["id"] for p in listed] == ["openid", "saml2"]
    assert listed[1] == {**made, **body, "idp_id": "acme"}
    assert listed[0]["remote_id_attribute"] is None
    assert ask(cloud, "DELETE", path).status == 204
    for method, json in (("GET", None), ("DELETE", None), ("PATCH", {"protocol": body})):
        assert ask(cloud, method, path, json).status == 404


def test_protocols_belong_to_their_provider(cloud: IdentityCloud) -> None:
    put(cloud, "mappings/m", "mapping", rules=RULES)
    for name in ("a", "b"):
        idp(cloud, name)
        put(cloud, f"identity_providers/{name}/protocols/saml2", "protocol", mapping_id="m")
    ask(cloud, "DELETE", "/identity_providers/a")
    assert ask(cloud, "GET", "/identity_providers/a/protocols").json["protocols"] == []
    assert ask(cloud, "GET", "/identity_providers/a/protocols/saml2").status == 404
    assert ask(cloud, "GET", "/identity_providers/b/protocols/saml2").status == 200
    assert ask(cloud, "PUT", "/identity_providers/a/protocols/x", {"protocol": {"mapping_id": "m"}}).status == 404


@pytest.mark.parametrize("body", [
    {}, {"mapping_id": "none"}, {"mapping_id": ""}, {"mapping_id": None}, {"mapping_id": "m" * 65},
    {"mapping_id": "m", "id": "x"}, {"mapping_id": "m", "remote_id_attribute": "a" * 65}])  # fmt: skip
def test_bad_protocols(cloud: IdentityCloud, body: dict[str, Any]) -> None:
    idp(cloud, "a")
    put(cloud, "mappings/m", "mapping", rules=RULES)
    put(cloud, "identity_providers/a/protocols/x", "protocol", mapping_id="m")
    assert ask(cloud, "PUT", "/identity_providers/a/protocols/y", {"protocol": body}).status == 400
    assert ask(cloud, "PATCH", "/identity_providers/a/protocols/x", {"protocol": body}).status == 400


def test_a_mapping_may_go_before_its_protocols(cloud: IdentityCloud) -> None:
    idp(cloud, "a")
    put(cloud, "mappings/m", "mapping", rules=RULES)
    made = put(cloud, "identity_providers/a/protocols/x", "protocol", mapping_id="m")
    assert ask(cloud, "DELETE", "/mappings/m").status == 204
    assert ask(cloud, "GET", "/identity_providers/a/protocols/x").json["protocol"] == made


# --- service providers -------------------------------------------------------------------------------------------------


def test_a_service_provider_lives_and_dies(cloud: IdentityCloud) -> None:
    made = put(cloud, "service_providers/there", "service_provider", **URLS)
    assert made == {
        **URLS, "id": "there", "enabled": False, "description": None, "relay_state_prefix": "ss:mem:",
        "links": {"self": f"{HERE}/service_providers/there"},
    }  # fmt: skip
    path = "/service_providers/there"
    assert ask(cloud, "GET", path).json["service_provider"] == made
    assert ask(cloud, "PUT", path, {"service_provider": URLS}).status == 409
    put(cloud, "service_providers/here", "service_provider", **URLS, enabled=True, relay_state_prefix="x:")
    assert [p["id"] for p in ask(cloud, "GET", "/service_providers").json["service_providers"]] == ["here", "there"]
    for query in ("enabled=true", "id=here"):
        found = ask(cloud, "GET", f"/service_providers?{query}").json["service_providers"]
        assert [p["id"] for p in found] == ["here"]
    body = {
        "enabled": True,
        "description": "d",
        "auth_url": "https://x",
        "sp_url": "https://y",
        "relay_state_prefix": "z",
    }
    assert ask(cloud, "PATCH", path, {"service_provider": body}).json["service_provider"] == {**made, **body}
    again = ask(cloud, "PATCH", path, {"service_provider": {"relay_state_prefix": None, "description": None}})
    assert again.json["service_provider"]["relay_state_prefix"] == "ss:mem:"
    assert ask(cloud, "DELETE", path).status == 204
    for method, json in (("GET", None), ("DELETE", None), ("PATCH", {"service_provider": body})):
        assert ask(cloud, method, path, json).status == 404


@pytest.mark.parametrize("wrong", [
    {"auth_url": "nowhere"}, {"sp_url": ""}, {"sp_url": "https://" + "x" * 218}, {"auth_url": None}, {"enabled": 2},
    {"description": []}, {"relay_state_prefix": 1}, {"relay_state_prefix": "x" * 256}, {"id": "x"}])  # fmt: skip
def test_bad_service_providers(cloud: IdentityCloud, wrong: dict[str, Any]) -> None:
    put(cloud, "service_providers/a", "service_provider", **URLS)
    assert ask(cloud, "PUT", "/service_providers/b", {"service_provider": {**URLS, **wrong}}).status == 400
    assert ask(cloud, "PATCH", "/service_providers/a", {"service_provider": wrong}).status == 400
    assert ask(cloud, "PATCH", "/service_providers/a", {"service_provider": {}}).status == 400
    assert ask(cloud, "PUT", "/service_providers/b", {"service_provider": {"sp_url": "https://x"}}).status == 400


def test_tokens_list_enabled_service_providers(cloud: IdentityCloud) -> None:
    _, _, token = cloud.member("ann", "p")

    def listed(query: str = "") -> Any:
        return cloud.do("GET", f"/auth/tokens{query}", X_Subject_Token=token).json["token"].get("service_providers")

    assert listed() is None
    put(cloud, "service_providers/b", "service_provider", **URLS, enabled=True)
    put(cloud, "service_providers/a", "service_provider", **URLS, enabled=True)
    put(cloud, "service_providers/c", "service_provider", **URLS)
    assert listed() == listed("?nocatalog") == [{"id": "a", **URLS}, {"id": "b", **URLS}]
    ask(cloud, "PATCH", "/service_providers/b", {"service_provider": {"enabled": False}})
    assert [p["id"] for p in listed()] == ["a"]
    ask(cloud, "DELETE", "/service_providers/a")
    assert listed() is None


# --- where a token may be scoped to ------------------------------------------------------------------------------------


def test_federations_lists_are_those_of_auth(cloud: IdentityCloud) -> None:
    user, project, token = cloud.member("ann", "p")
    domain = cloud.make("domain", "/domains", name="d", tags=["t"])["id"]
    cloud.do("PUT", f"/domains/{domain}/users/{user}/roles/{cloud.role('reader')}")
    for kind, own in (("projects", project), ("domains", domain)):
        old = cloud.do("GET", f"/OS-FEDERATION/{kind}", token=token).json
        assert [one["id"] for one in old[kind]] == [own]
        assert old[kind] == cloud.do("GET", f"/auth/{kind}", token=token).json[kind]
        assert old["links"]["self"] == f"{HERE}/{kind}"


# --- what is not enabled -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["GET", "POST", "HEAD"])
@pytest.mark.parametrize(("path", "status"), [
    ("/OS-FEDERATION/identity_providers/a/protocols/saml2/auth", 401),
    ("/auth/OS-FEDERATION/websso/saml2", 401), ("/auth/OS-FEDERATION/websso/saml2?origin=https://d", 401),
    ("/auth/OS-FEDERATION/identity_providers/a/protocols/saml2/websso", 400),
    ("/auth/OS-FEDERATION/identity_providers/a/protocols/saml2/websso?origin=", 400),
    ("/auth/OS-FEDERATION/identity_providers/a/protocols/saml2/websso?origin=https://d", 401)])  # fmt: skip
def test_no_login_by_an_identity_provider(cloud: IdentityCloud, method: str, path: str, status: int) -> None:
    put(cloud, "mappings/m", "mapping", rules=RULES)
    idp(cloud, "a", enabled=True)
    put(cloud, "identity_providers/a/protocols/saml2", "protocol", mapping_id="m")
    for token in (None, cloud.admin):
        assert cloud.ask(method, f"/identity/v3{path}", token=token).status == status
    assert cloud.ask("POST", f"/identity/v3{path}", token=None, Content_Type="text/xml").status == status


def assertion(token: str, provider: str) -> dict[str, Any]:
    identity = {"methods": ["token"], "token": {"id": token}}
    return {"auth": {"identity": identity, "scope": {"service_provider": {"id": provider}}}}


@pytest.mark.parametrize("path", ["/auth/OS-FEDERATION/saml2", "/auth/OS-FEDERATION/saml2/ecp"])
def test_no_assertions(cloud: IdentityCloud, path: str) -> None:
    put(cloud, "service_providers/on", "service_provider", **URLS, enabled=True)
    put(cloud, "service_providers/off", "service_provider", **URLS)
    cloud.make("user", "/users", name="ann", password="pw")
    unscoped = cloud.token("ann", "pw")
    for token, provider, status in (
        (cloud.admin, "on", 501), (cloud.admin, "off", 403), (cloud.admin, "none", 404), ("none", "on", 404),
        (unscoped, "on", 403),
    ):  # fmt: skip
        assert cloud.do("POST", path, assertion(token, provider)).status == status
    for body in (
        {},
        {"auth": {}},
        {"auth": {"identity": {"token": {"id": "x"}}}},
        {"auth": {**assertion("a", "on"), "x": 1}},
    ):
        assert cloud.do("POST", path, body).status == 400
    assert cloud.do("GET", path).status == 405
    assert cloud.ask("GET", "/identity/v3/OS-FEDERATION/saml2/metadata", token=None).status == 404


def test_federation_is_in_the_change_log(cloud: IdentityCloud) -> None:
    made = idp(cloud, "a")
    assert [c.kind for c in changes_of(cloud, "identity.domain", made["domain_id"])] == ["create"]
    ask(cloud, "PATCH", "/identity_providers/a", {"identity_provider": {"remote_ids": ["x"]}})
    ask(cloud, "DELETE", "/identity_providers/a")
    kinds = [c.kind for c in changes_of(cloud, "identity.identity_provider", "a")]
    assert kinds == ["create", "update", "delete"]
