"""Every way to log in that keystoneauth knows, over a socket: what clients, SDKs and services use to reach an OpenStack."""

from __future__ import annotations

import base64
import hashlib
import hmac
import struct
import time
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1 import exceptions, loading
from keystoneauth1.identity import v3
from keystoneauth1.session import Session
from keystoneclient.contrib.ec2.utils import Ec2Signer
from keystoneclient.v3.client import Client as KeystoneClient
from openstack.connection import Connection

from running_cloud import ADMIN, RunningCloud, running_cloud

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::PendingDeprecationWarning")  # of the SDK
PASSWORD = "a long enough secret"
SEED = base64.b32encode(b"twenty bytes of seed").decode()


class Cloud:
    """A running cloud with a user, and what the tests do all the time."""

    def __init__(self, running: RunningCloud, admin: Connection) -> None:
        self.url, self.admin = f"http://{running.address}/identity/v3", admin
        identity = admin.identity
        self.domain = identity.create_domain(name="land")
        self.project = identity.create_project(name="house", domain_id=self.domain.id)
        self.user = self.make_user("dweller")
        self.role = identity.find_role("member")
        identity.assign_project_role_to_user(self.project, self.user, self.role)
        identity.assign_domain_role_to_user(self.domain, self.user, self.role)
        identity.assign_system_role_to_user(self.user, identity.find_role("reader"), "all")

    def make_user(self, name: str, **fields: Any) -> Any:
        return self.admin.identity.create_user(name=name, password=PASSWORD, domain_id=self.domain.id, **fields)

    def plugin(self, kind: str, **options: Any) -> Any:
        """A plug-in by the name under which clouds.yaml knows it."""
        return loading.get_plugin_loader(kind).load_from_options(auth_url=self.url, **options)

    def login(self, kind: str, **options: Any) -> Any:
        """What a session knows of its token when it has logged in so."""
        plugin = self.plugin(kind, **options)
        session = Session(auth=plugin)
        found = plugin.get_access(session)
        assert session.get(f"{self.url}/auth/projects").status_code == 200
        return found

    @property
    def own(self) -> dict[str, str]:
        """Name and password of the user."""
        return {"username": self.user.name, "user_domain_id": self.domain.id, "password": PASSWORD}

    @property
    def house(self) -> dict[str, str]:
        return {"project_id": self.project.id}

    def session(self) -> Session:
        """Of the user, on the project."""
        return Session(auth=self.plugin("v3password", **self.own, **self.house))


@pytest.fixture(scope="module")
def cloud() -> Iterator[Cloud]:
    settings = "[identity]\npassword_rounds = 4\n"
    with running_cloud(simulated=True, settings=settings) as running, running.connect(ADMIN) as admin:
        yield Cloud(running, admin)


def passcode(seed: str = SEED) -> str:
    """What an authenticator app shows at this moment (RFC 6238)."""
    counter = struct.pack(">Q", int(time.time()) // 30)
    digest = hmac.digest(base64.b32decode(seed), counter, hashlib.sha1)
    at = digest[-1] & 0xF
    return f"{(struct.unpack('>I', digest[at : at + 4])[0] & 0x7FFFFFFF) % 1_000_000:06}"


def test_password(cloud: Cloud) -> None:
    for kind in ("v3password", "password"):
        found = cloud.login(kind, **cloud.own, project_name="house", project_domain_name="land")
        assert (found.user_id, found.project_id) == (cloud.user.id, cloud.project.id)
        assert "member" in found.role_names
        assert found.has_service_catalog()
    assert cloud.login("v3password", **cloud.own, unscoped=True).project_id is None
    assert cloud.login("v3password", user_id=cloud.user.id, password=PASSWORD).scoped is False
    with pytest.raises(exceptions.Unauthorized):
        cloud.login("v3password", **(cloud.own | {"password": "wrong"}))
    with pytest.raises(exceptions.Unauthorized):
        cloud.login("v3password", **(cloud.own | {"username": "nobody"}))


def test_scopes(cloud: Cloud) -> None:
    assert cloud.login("v3password", **cloud.own, domain_id=cloud.domain.id).domain_name == "land"
    assert cloud.login("v3password", **cloud.own, domain_name="land").domain_id == cloud.domain.id
    found = cloud.login("v3password", **cloud.own, system_scope="all")
    assert found.system == {"all": True}
    assert found.role_names == ["reader"]
    bare = v3.Password(cloud.url, **cloud.own, **cloud.house, include_catalog=False)
    assert not bare.get_access(Session()).has_service_catalog()


def test_token(cloud: Cloud) -> None:
    first = cloud.login("v3password", **cloud.own, unscoped=True)
    second = cloud.login("v3token", token=first.auth_token, **cloud.house)
    assert second.audit_chain_id == first.audit_id
    assert second.project_id == cloud.project.id
    assert cloud.login("token", token=second.auth_token, domain_name="land").domain_id == cloud.domain.id
    with pytest.raises(exceptions.HttpError) as refused:
        cloud.login("v3token", token="gAAAAAwrong")
    assert refused.value.http_status == 404  # as upstream: the token of the body is a thing that is not found


def test_application_credential(cloud: Cloud) -> None:
    path = f"{cloud.url}/users/{cloud.user.id}/application_credentials"
    session = cloud.session()
    rules = [{"service": "identity", "method": "GET", "path": "/v3/auth/projects"}]
    made = session.post(path, json={"application_credential": {"name": "robot", "access_rules": rules}}).json()
    made = made["application_credential"]
    by_id = {"application_credential_id": made["id"], "application_credential_secret": made["secret"]}
    found = cloud.login("v3applicationcredential", **by_id)
    assert found.application_credential_id == made["id"]
    assert found.application_credential_access_rules[0]["path"] == "/v3/auth/projects"
    by_name = {"application_credential_name": "robot", "application_credential_secret": made["secret"]}
    who = {"username": cloud.user.name, "user_domain_id": cloud.domain.id}
    assert cloud.login("v3applicationcredential", **by_name, **who).project_id == cloud.project.id
    assert session.delete(f"{path}/{made['id']}").status_code == 204
    with pytest.raises(exceptions.HttpError) as refused:
        cloud.login("v3applicationcredential", **by_id)
    assert refused.value.http_status in (401, 404)


def with_seed(cloud: Cloud, name: str, **fields: Any) -> dict[str, str]:
    """A user with an authenticator app: whom `username` and its domain name."""
    user = cloud.make_user(name, **fields)
    cloud.admin.identity.assign_project_role_to_user(cloud.project, user, cloud.role)
    cloud.admin.identity.create_credential(user=user.id, user_id=user.id, type="totp", blob=SEED)
    return {"username": name, "user_domain_id": cloud.domain.id}


def test_totp(cloud: Cloud) -> None:
    who = with_seed(cloud, "watch")
    found = cloud.login("v3totp", **who, passcode=passcode(), **cloud.house)
    assert found.project_id == cloud.project.id
    with pytest.raises(exceptions.Unauthorized):
        cloud.login("v3totp", **who, passcode="000000", **cloud.house)


def test_multi_factor(cloud: Cloud) -> None:
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    who = with_seed(cloud, "careful", options=rules) | {"password": PASSWORD}
    both = {"auth_methods": ["v3password", "v3totp"], "passcode": passcode(), **cloud.house}
    assert cloud.login("v3multifactor", **who, **both).project_id == cloud.project.id
    with pytest.raises(exceptions.Unauthorized):
        cloud.login("v3multifactor", **who, **both)  # a passcode serves once
    with pytest.raises(exceptions.MissingAuthMethods) as missing:
        cloud.login("v3password", **who, **cloud.house)
    assert missing.value.methods == ["password"]
    assert missing.value.required_auth_methods == [["password", "totp"]]


def test_a_receipt_goes_on_where_it_stopped(cloud: Cloud) -> None:
    rules = {"multi_factor_auth_enabled": True, "multi_factor_auth_rules": [["password", "totp"]]}
    who = with_seed(cloud, "slow", options=rules)
    with pytest.raises(exceptions.MissingAuthMethods) as missing:
        cloud.login("v3password", **who, password=PASSWORD, **cloud.house)
    rest = cloud.plugin("v3totp", **who, passcode=passcode(), **cloud.house)
    rest.add_method(v3.ReceiptMethod(receipt=missing.value.receipt))
    assert rest.get_access(Session()).project_id == cloud.project.id


def test_trust(cloud: Cloud) -> None:
    helper = cloud.make_user("helper")
    body = {
        "trustor_user_id": cloud.user.id, "trustee_user_id": helper.id, "project_id": cloud.project.id,
        "impersonation": True, "roles": [{"name": "member"}], "remaining_uses": 1,
    }  # fmt: skip
    trust = cloud.session().post(f"{cloud.url}/OS-TRUST/trusts", json={"trust": body}).json()["trust"]
    as_helper = {"user_id": helper.id, "password": PASSWORD, "trust_id": trust["id"]}
    found = cloud.login("v3password", **as_helper)
    assert (found.trust_id, found.user_id) == (trust["id"], cloud.user.id)
    assert (found.trustor_user_id, found.trustee_user_id) == (cloud.user.id, helper.id)
    with pytest.raises(exceptions.Unauthorized, match="Could not find trust"):
        cloud.login("v3password", **as_helper)  # its one use is gone


def test_oauth1(cloud: Cloud) -> None:
    consumer = cloud.admin.identity.post("/OS-OAUTH1/consumers", json={"consumer": {}}).json()["consumer"]
    keystone = KeystoneClient(session=cloud.session(), endpoint_override=cloud.url)
    secret = consumer["secret"]
    request = keystone.oauth1.request_tokens.create(consumer["id"], secret, cloud.project.id)
    verifier = keystone.oauth1.request_tokens.authorize(request.id, [cloud.role.id]).oauth_verifier
    access = keystone.oauth1.access_tokens.create(consumer["id"], secret, request.id, request.secret, verifier)
    keys = {"access_key": access.id, "access_secret": access.secret}
    found = cloud.login("v3oauth1", consumer_key=consumer["id"], consumer_secret=secret, **keys)
    assert (found.oauth_access_token_id, found.oauth_consumer_id) == (access.id, consumer["id"])
    assert (found.project_id, found.user_id) == (cloud.project.id, cloud.user.id)
    assert found.role_names == ["member"]
    with pytest.raises(exceptions.Unauthorized):
        cloud.login("v3oauth1", consumer_key=consumer["id"], consumer_secret="wrong", **keys)
    cloud.session().delete(f"{cloud.url}/users/{cloud.user.id}/OS-OAUTH1/access_tokens/{access.id}")
    with pytest.raises(exceptions.HttpError) as refused:
        cloud.login("v3oauth1", consumer_key=consumer["id"], consumer_secret=secret, **keys)
    assert refused.value.http_status in (401, 404)


def signed(secret: str, access: str) -> dict[str, Any]:
    """A request to somebody's EC2 API, signed as AWS's clients do (version 2)."""
    stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    params = {"AWSAccessKeyId": access, "Action": "Test", "SignatureMethod": "HmacSHA256", "SignatureVersion": "2",
              "Timestamp": stamp}  # fmt: skip
    request = {"access": access, "host": "ec2.example.org", "verb": "GET", "path": "/", "params": params}
    return {**request, "signature": Ec2Signer(secret).generate(request)}


def test_ec2(cloud: Cloud) -> None:
    path = f"{cloud.url}/users/{cloud.user.id}/credentials/OS-EC2"
    made = cloud.session().post(path, json={"tenant_id": cloud.project.id}).json()["credential"]
    as_service = cloud.admin.session
    request = {"credentials": signed(made["secret"], made["access"])}
    answer = as_service.post(f"{cloud.url}/ec2tokens", json=request)
    assert (answer.status_code, answer.json()["token"]["user"]["id"]) == (200, cloud.user.id)
    assert cloud.login("v3token", token=answer.headers["X-Subject-Token"], unscoped=True).user_id == cloud.user.id
    request["credentials"]["signature"] = "wrong"
    assert as_service.post(f"{cloud.url}/ec2tokens", json=request, raise_exc=False).status_code == 401
    text = base64.b64encode(b"GET\n\n\n\n/bucket")
    by_s3 = {"access": made["access"], "token": text.decode(), "signature": s3_signature(made["secret"], text)}
    answer = as_service.post(f"{cloud.url}/s3tokens", json={"credentials": by_s3})
    assert (answer.status_code, answer.json()["token"]["project"]["id"]) == (200, cloud.project.id)


def s3_signature(secret: str, text: bytes) -> str:
    digest = hmac.digest(secret.encode(), base64.urlsafe_b64decode(text), hashlib.sha1)
    return base64.b64encode(digest).decode().strip()


def test_identities_from_outside_are_not_taken(cloud: Cloud) -> None:
    """What plug-ins for OpenID Connect and SAML ask is answered as where the method `mapped` is not enabled."""
    outside = {"identity_provider": "idp", "protocol": "openid"}
    with pytest.raises(exceptions.Unauthorized, match="unsupported method"):
        cloud.login("v3oidcaccesstoken", **outside, access_token="x", **cloud.house)
    path = f"{cloud.url}/OS-FEDERATION/identity_providers/idp/protocols/saml2/auth"
    paos = {"Accept": "text/html, application/vnd.paos+xml"}
    assert Session().get(path, headers=paos, authenticated=False, raise_exc=False).status_code == 401


def test_oauth2_is_not_there(cloud: Cloud) -> None:
    path = f"{cloud.url}/users/{cloud.user.id}/application_credentials"
    made = cloud.session().post(path, json={"application_credential": {"name": "client"}}).json()["application_credential"]
    plugin = cloud.plugin(
        "v3oauth2clientcredential", oauth2_endpoint=f"{cloud.url}/OS-OAUTH2/token", oauth2_client_id=made["id"],
        oauth2_client_secret=made["secret"],
    )  # fmt: skip
    assert plugin.get_access(Session()).project_id == cloud.project.id  # by the credential itself
    with pytest.raises(exceptions.ClientException, match="authentication failed"):
        plugin.get_headers(Session())
