"""What a domain may configure differently, and who may read of it what."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from sqlalchemy import select
from structlog.testing import capture_logs

from api.identity.changes import changes_of
from api.identity.conftest import IdentityCloud
from tiffin.services.identity.domain_options import DEFAULTS, DomainOption, substituted, whole
from tiffin.services.identity.settings import PasswordSettings

LDAP: dict[str, Any] = {"url": "ldap://there", "user_tree_dn": "ou=Users"}
CONFIG: dict[str, Any] = {"identity": {"driver": "ldap"}, "ldap": LDAP}


@pytest.fixture
def path(cloud: IdentityCloud) -> str:
    return f"/domains/{cloud.make('domain', '/domains', name='d')['id']}/config"


def config(cloud: IdentityCloud, method: str, path: str, json: Any = None, status: int = 200) -> Any:
    reply = cloud.do(method, path, None if json is None else {"config": json})
    assert reply.status == status, reply.body
    return reply.json["config"] if reply.body and status < 400 else None


def test_a_configuration_lives_and_dies(cloud: IdentityCloud, path: str) -> None:
    config(cloud, "GET", path, status=404)
    assert config(cloud, "PUT", path, CONFIG, 201) == CONFIG
    assert config(cloud, "GET", path) == CONFIG
    assert cloud.do("HEAD", path).status == 200
    assert config(cloud, "GET", f"{path}/ldap") == {"ldap": LDAP}
    assert config(cloud, "GET", f"{path}/ldap/url") == {"url": "ldap://there"}
    assert config(cloud, "PUT", path, {"identity": {"list_limit": 5}}) == {"identity": {"list_limit": 5}}
    config(cloud, "GET", f"{path}/ldap", status=404)
    config(cloud, "DELETE", path, status=204)
    for where in (path, f"{path}/identity", f"{path}/identity/list_limit"):
        config(cloud, "GET", where, status=404)
    config(cloud, "DELETE", path, status=204)


def test_updates_add_and_replace(cloud: IdentityCloud, path: str) -> None:
    new = {"identity": {"driver": "sql", "list_limit": 7}}
    assert config(cloud, "PATCH", path, new) == new  # there need not be a configuration
    assert config(cloud, "PATCH", path, {"ldap": LDAP}) == {**new, "ldap": LDAP}
    changed = {**LDAP, "url": "ldap://elsewhere", "suffix": "dc=x"}
    body = {"ldap": {"url": "ldap://elsewhere", "suffix": "dc=x"}}
    assert config(cloud, "PATCH", f"{path}/ldap", body) == {**new, "ldap": changed}
    assert config(cloud, "PATCH", f"{path}/identity/driver", {"driver": "x"})["identity"]["driver"] == "x"
    config(cloud, "DELETE", f"{path}/identity/driver", status=204)
    config(cloud, "DELETE", f"{path}/identity/driver", status=404)
    assert config(cloud, "GET", path) == {"identity": {"list_limit": 7}, "ldap": changed}
    config(cloud, "DELETE", f"{path}/ldap", status=204)
    config(cloud, "DELETE", f"{path}/ldap", status=404)
    assert config(cloud, "GET", path) == {"identity": {"list_limit": 7}}


@pytest.mark.parametrize("value", [None, 0, False, 1.5, "", "x", ["a", "b"], {"a": 1}, 2**53])
def test_values_are_kept_as_they_are(cloud: IdentityCloud, path: str, value: Any) -> None:
    config(cloud, "PUT", path, {"ldap": {"page_size": value}}, 201)
    assert config(cloud, "GET", f"{path}/ldap/page_size") == {"page_size": value}
    config(cloud, "DELETE", f"{path}/ldap/page_size", status=204)


@pytest.mark.parametrize(("body", "status"), [
    ({}, 403), ({"ldap": {}}, 403), ({"ldap": "x"}, 403), ({"ldap": None}, 403), ({"other": {"a": 1}}, 403),
    ({"ldap": {"other": 1}}, 403), ({"ldap": {"url": 1}, "identity": {"url": 1}}, 403), (None, 400), ([], 400),
    ({"security_compliance": {"password_regex": "x"}}, 403), ({"ldap": {"url": "x" * 66_000}}, 400)])  # fmt: skip
def test_bad_configurations(cloud: IdentityCloud, path: str, body: Any, status: int) -> None:
    config(cloud, "PUT", path, CONFIG, 201)
    for method in ("PUT", "PATCH"):
        reply = cloud.do(method, path, {"config": body})
        assert reply.status == status, reply.body
    assert cloud.do("PUT", path, {"cfg": CONFIG}).status == 400
    assert config(cloud, "GET", path) == CONFIG


@pytest.mark.parametrize(("part", "body", "status"), [
    ("other", {"other": {"a": 1}}, 403), ("ldap/other", {"other": 1}, 403), ("ldap", {"identity": {"driver": "x"}}, 403),
    ("ldap", {**CONFIG}, 403), ("ldap", {"ldap": {}}, 403), ("ldap/url", {}, 403), ("ldap/url", {"suffix": "x"}, 403),
    ("ldap/url", {"url": "x", "suffix": "x"}, 403), ("ldap/suffix", {"suffix": "x"}, 404),
    ("identity", {"identity": {"driver": "x"}}, 404), ("security_compliance", {"security_compliance": {"a": 1}}, 403),
])  # fmt: skip
def test_bad_updates_of_a_part(cloud: IdentityCloud, path: str, part: str, body: Any, status: int) -> None:
    config(cloud, "PUT", path, {"ldap": LDAP}, 201)
    config(cloud, "PATCH", f"{path}/{part}", body, status)
    assert config(cloud, "GET", path) == {"ldap": LDAP}


@pytest.mark.parametrize(("method", "part", "status"), [
    ("GET", "other", 403), ("GET", "ldap/other", 403), ("GET", "ldap/suffix", 404), ("GET", "identity", 404),
    ("DELETE", "other", 403), ("DELETE", "ldap/other", 403), ("DELETE", "ldap/suffix", 404),
    ("DELETE", "identity", 404), ("DELETE", "security_compliance", 403)])  # fmt: skip
def test_parts_that_are_not_there(cloud: IdentityCloud, path: str, method: str, part: str, status: int) -> None:
    config(cloud, "PUT", path, {"ldap": LDAP}, 201)
    config(cloud, method, f"{path}/{part}", status=status)


def test_of_a_domain_that_is_not_there(cloud: IdentityCloud) -> None:
    project = cloud.make("project", "/projects", name="p")["id"]
    for id in ("none", project):
        for part, body in (("", CONFIG), ("/ldap", {"ldap": LDAP}), ("/ldap/url", {"url": "x"})):
            for method in ("GET", "PATCH", "DELETE"):
                config(cloud, method, f"/domains/{id}/config{part}", body if method == "PATCH" else None, 404)
        config(cloud, "PUT", f"/domains/{id}/config", CONFIG, 404)
        config(cloud, "GET", f"/domains/{id}/config/other", status=403)


def test_it_goes_with_its_domain(cloud: IdentityCloud, path: str) -> None:
    config(cloud, "PUT", path, {"ldap": {**LDAP, "password": "hush"}}, 201)
    domain = path.removesuffix("/config")
    cloud.do("PATCH", domain, {"domain": {"enabled": False}})
    assert cloud.do("DELETE", domain).status == 204
    with cloud.cloud.database.read() as session:
        assert session.scalars(select(DomainOption)).all() == []


# --- what nobody may read ----------------------------------------------------------------------------------------------


def test_a_password_is_never_shown(cloud: IdentityCloud, path: str) -> None:
    hush = {**LDAP, "password": "hush"}
    assert config(cloud, "PUT", path, {"ldap": hush}, 201) == {"ldap": LDAP}
    assert config(cloud, "PATCH", f"{path}/ldap/password", {"password": "silence"}) == {"ldap": LDAP}
    assert config(cloud, "GET", path) == config(cloud, "GET", f"{path}/ldap") == {"ldap": LDAP}
    config(cloud, "GET", f"{path}/ldap/password", status=404)
    config(cloud, "GET", "/domains/config/ldap/password/default", status=403)
    with cloud.cloud.database.read() as session:
        kept = session.scalars(select(DomainOption).where(DomainOption.option == "password")).one()
        assert (kept.value, b"silence" in (kept.secret or b"")) == (None, False)
    log = changes_of(cloud, "identity.domain_config", path.split("/")[2])
    assert [change.kind for change in log] == ["create", "update"]
    assert not any(word in str((c.before, c.after)) for c in log for word in ("hush", "silence"))
    config(cloud, "DELETE", f"{path}/ldap/password", status=204)
    config(cloud, "PATCH", f"{path}/ldap/password", {"password": "x"}, 404)


def test_a_password_alone_is_a_configuration(cloud: IdentityCloud, path: str) -> None:
    assert config(cloud, "PUT", path, {"ldap": {"password": "hush"}}, 201) == {}
    config(cloud, "GET", path, status=404)
    assert config(cloud, "PUT", path, {"ldap": {"password": "hush"}}) == {}
    assert config(cloud, "PATCH", f"{path}/ldap", {"ldap": {"url": "x"}}) == {"ldap": {"url": "x"}}


def test_a_driver_gets_what_references_mean(cloud: IdentityCloud, path: str) -> None:
    url = {"url": "ldap://u:%(password)s@there/100%%"}
    with capture_logs() as said:
        config(cloud, "PUT", path, {"ldap": {**url, "password": "hush", "page_size": 3}}, 201)
    assert config(cloud, "GET", f"{path}/ldap/url") == url
    assert not [line for line in said if line["event"] == "domain_config.reference"]
    with cloud.cloud.database.read() as session:
        found = whole(session, cloud.cloud.secrets, path.split("/")[2])
    assert found == {"ldap": {"url": "ldap://u:hush@there/100%", "password": "hush", "page_size": 3}}


@pytest.mark.parametrize("value", ["%(secret)s", "100%", "%(password)d", "%s", "%(password)99999999s"])
def test_references_that_lead_nowhere_stay(cloud: IdentityCloud, path: str, value: str) -> None:
    with capture_logs() as said:
        config(cloud, "PUT", path, {"ldap": {"url": value, "password": "hush"}}, 201)
    warned = [line for line in said if line["event"] == "domain_config.reference"]
    assert [(line["group"], line["option"]) for line in warned] == [("ldap", "url")]
    assert "hush" not in str(warned)
    with pytest.raises(LookupError):
        substituted(value, {"password": "hush"})
    with cloud.cloud.database.read() as session:
        assert whole(session, cloud.cloud.secrets, path.split("/")[2])["ldap"]["url"] == value


# --- what everybody may read ---------------------------------------------------------------------------------------------


def test_everybody_may_know_what_a_password_must_be_like(cloud: IdentityCloud, path: str) -> None:
    rules = {"password_regex": "^.{7,}$", "password_regex_description": "seven characters"}
    _, _, token = cloud.member("ann", "p", "reader")
    settings = cloud.identity.settings
    cloud.identity.settings = msgspec.structs.replace(settings, passwords=PasswordSettings(**rules))
    here = "/domains/default/config/security_compliance"
    assert cloud.do("GET", here, token=token).json == {"config": {"security_compliance": rules}}
    assert cloud.do("GET", f"{here}/password_regex", token=token).json == {"config": {"password_regex": "^.{7,}$"}}
    assert cloud.do("HEAD", f"{here}/password_regex_description", token=token).status == 200
    for other in (f"{here}/lockout_duration", f"{path}/security_compliance", f"{path}/security_compliance/password_regex",
                  "/domains/none/config/security_compliance"):  # fmt: skip
        assert cloud.do("GET", other, token=token).status == 403
        assert cloud.do("GET", other).status == 403
    assert cloud.ask("GET", f"/identity/v3{here}", token=None).status == 401


def test_where_nothing_is_demanded_of_passwords(cloud: IdentityCloud) -> None:
    shown = config(cloud, "GET", "/domains/default/config/security_compliance")
    assert shown == {"security_compliance": {"password_regex": None, "password_regex_description": None}}


# --- defaults ------------------------------------------------------------------------------------------------------------


def test_defaults(cloud: IdentityCloud) -> None:
    assert config(cloud, "GET", "/domains/config/default") == DEFAULTS
    for group, options in DEFAULTS.items():
        assert config(cloud, "GET", f"/domains/config/{group}/default") == {group: options}
        for option, value in options.items():
            assert config(cloud, "GET", f"/domains/config/{group}/{option}/default") == {option: value}
    for wrong in ("other", "ldap/other", "security_compliance", "security_compliance/password_regex"):
        config(cloud, "GET", f"/domains/config/{wrong}/default", status=403)
    assert cloud.do("HEAD", "/domains/config/default").status == 200
