"""EC2 keys, and tokens for requests that they have signed. The signatures are made by keystoneclient, and by Amazon's rules
for S3."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from keystoneclient.contrib.ec2.utils import Ec2Signer

from api.identity.conftest import IdentityCloud
from api.identity.oauth_client import Consumer
from tiffin.core.http.local import Reply

NOW = "2027-01-15T08:00:00Z"  # as the clock of the tests says
STAMP = "20270115T080000Z"


@pytest.fixture
def service(cloud: IdentityCloud) -> str:
    """The token of a user with the role service, as a gateway for S3 has one."""
    return cloud.member("swift", "services", "service")[2]


class Key:
    """An EC2 key of a new user, who is a member of a new project."""

    def __init__(self, cloud: IdentityCloud, name: str = "ann", blob: dict[str, Any] | None = None) -> None:
        self.cloud = cloud
        self.user, self.project, self.token = cloud.member(name, f"p-{name}")
        if blob is None:
            keys = cloud.do("POST", f"/users/{self.user}/credentials/OS-EC2", {"tenant_id": self.project}, token=self.token)
            self.access, self.secret = keys.json["credential"]["access"], keys.json["credential"]["secret"]
        else:
            self.keep(**blob)

    def keep(self, **blob: Any) -> None:
        """Make a key by hand, with whatever its blob shall say."""
        self.access, self.secret = f"access-{self.user}", "secret"
        text = json.dumps({"access": self.access, "secret": self.secret, **blob})
        fields = {"blob": text, "type": "ec2", "project_id": self.project, "user_id": self.user}
        assert self.cloud.do("POST", "/credentials", {"credential": fields}, token=self.token).status == 201

    def signed(self, version: str, **more: Any) -> dict[str, Any]:
        """A request of this signature version, as a gateway describes it; `more` replaces parts of it before it is signed."""
        params = {"AWSAccessKeyId": self.access, "Action": "Listing all", "Timestamp": NOW}
        request: dict[str, Any] = {"host": "host:80", "verb": "GET", "path": "/a b", "params": params, "headers": {},
                                   "body_hash": hashlib.sha256(b"").hexdigest()}  # fmt: skip
        scope = f"{self.access}/20270115/region/ec2/aws4_request"
        if version == "4":
            words = f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host;x-amz-date, Signature=x"
            request["headers"] = {"Authorization": words, "Host": "host:80 ", "X-Amz-Date": STAMP}
        elif version == "4 in the query":
            params |= {"X-Amz-Algorithm": "AWS4-HMAC-SHA256", "X-Amz-Credential": scope, "X-Amz-Date": STAMP,
                       "X-Amz-SignedHeaders": "host"}  # fmt: skip
            request["headers"] = {"host": "host:80", "User-Agent": "Boto/2.9.2"}
        else:
            params |= {"SignatureVersion": version, "SignatureMethod": "HmacSHA256"}
        request |= more
        made = Ec2Signer(self.secret).generate({**request, "params": dict(request["params"])})
        return {**request, "access": self.access, "signature": made}


def ask(cloud: IdentityCloud, token: str, request: dict[str, Any], name: str = "credentials") -> Reply:
    return cloud.do("POST", "/ec2tokens", {name: request}, token=token)


# --- signatures -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", ["0", "1", "2", "4", "4 in the query"])
def test_every_version(cloud: IdentityCloud, service: str, version: str) -> None:
    key = Key(cloud)
    for verb in ("GET", "POST"):
        request = key.signed(version, verb=verb)
        reply = ask(cloud, service, request)
        assert reply.status == 200, reply.body
        shown = reply.json["token"]
        assert (shown["user"]["id"], shown["project"]["id"]) == (key.user, key.project)
        assert (shown["methods"], [r["name"] for r in shown["roles"]]) == (["ec2credential"], ["member", "reader"])
        token = reply.headers["x-subject-token"]
        assert cloud.do("GET", "/auth/tokens", token=service, X_Subject_Token=token).json["token"] == shown
        assert ask(cloud, service, {**request, "signature": "x" * len(request["signature"])}).status == 401
        unsigned = version.startswith("4") and verb == "POST"  # parameters of a POST are in its body, by the hash
        other = {**request, "params": {**request["params"], "Timestamp": STAMP}}
        assert ask(cloud, service, other).status == (200 if unsigned else 401)


@pytest.mark.parametrize("name", ["credentials", "credential", "ec2Credentials"])
def test_three_names(cloud: IdentityCloud, service: str, name: str) -> None:
    assert ask(cloud, service, Key(cloud).signed("2"), name).status == 200


def test_some_sign_without_the_port(cloud: IdentityCloud, service: str) -> None:
    request = Key(cloud).signed("2", host="host")
    assert ask(cloud, service, {**request, "host": "host:8773"}).status == 200
    assert ask(cloud, service, {**request, "host": "[::1"}).status == 401
    assert ask(cloud, service, {**request, "host": "other:8773"}).status == 401


def test_what_is_no_signature(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud)
    request = key.signed("2")
    for body, status in (
        ({}, 400), ({"credentials": None}, 400), ({"credentials": {}}, 401), ({"credentials": 1}, 400),
        ({"credentials": {**request, "signature": None}}, 401),
        ({"credentials": {**request, "signature": "ü"}}, 401),
        ({"credentials": {**request, "access": "none"}}, 404),
        ({"credentials": {**request, "params": {"SignatureVersion": "3"}}}, 400),
        ({"credentials": {**request, "params": {}}}, 400),
        ({"credentials": {**request, "params": {"SignatureVersion": "0"}}}, 400),
        ({"credentials": {**request, "params": {"a": 1}}}, 400),
        ({"credentials": {**key.signed("4"), "headers": {"Authorization": "AWS4-HMAC-SHA256 x"}}}, 400),
        ({"credentials": {**key.signed("4"), "headers": {"Authorization": "AWS4-HMAC-SHA256 Credential=a/b/c/d/e"}}}, 400),
        ({"credentials": {**request, "params": {"X-Amz-Algorithm": "AWS4-HMAC-SHA256"}}}, 400),
    ):  # fmt: skip
        assert cloud.do("POST", "/ec2tokens", body, token=service).status == status, body
    assert cloud.ask("POST", "/identity/v3/ec2tokens", token=service).status == 400
    cert = {"blob": "x", "type": "cert", "user_id": key.user}
    assert cloud.do("POST", "/credentials", {"credential": cert}).status == 201
    for path in ("/ec2tokens", "/s3tokens"):
        for method in ("GET", "HEAD"):
            reply = cloud.ask(method, f"/identity/v3{path}", token=None)
            assert (reply.status, reply.headers["allow"]) == (405, "POST")


def test_a_signature_gets_old(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud)
    cloud.clock.now += 900
    for version in ("0", "2", "4", "4 in the query"):
        assert ask(cloud, service, key.signed(version)).status == 200
    cloud.clock.now += 1
    for version in ("0", "2", "4", "4 in the query"):
        assert ask(cloud, service, key.signed(version)).status == 401
    undated = {"AWSAccessKeyId": key.access, "SignatureVersion": "2"}
    assert ask(cloud, service, key.signed("2", params=undated)).status == 200  # who signed it meant it so
    assert ask(cloud, service, key.signed("2", params={**undated, "Timestamp": "soon"})).status == 401


def test_a_gateway_alone_may_ask(cloud: IdentityCloud) -> None:
    key = Key(cloud)
    for path in ("/ec2tokens", "/s3tokens"):
        body = {"credentials": key.signed("2")}
        assert cloud.do("POST", path, body, token=key.token).status == 403
        assert cloud.ask("POST", f"/identity/v3{path}", token=None, json=body).status == 401
    assert ask(cloud, cloud.admin, key.signed("2")).status == 200


# --- S3 -------------------------------------------------------------------------------------------------------------------


def _s3_1(secret: str, text: bytes) -> str:
    return base64.b64encode(hmac.new(secret.encode(), text, "sha1").digest()).decode()


def _s3_4(secret: str, text: bytes) -> str:
    key = f"AWS4{secret}".encode()
    for part in (b"20270115", b"region", b"s3", b"aws4_request"):
        key = hmac.new(key, part, "sha256").digest()
    return hmac.new(key, text, "sha256").hexdigest()


def s3(key: Key, text: bytes, signature: str) -> dict[str, Any]:
    token = base64.urlsafe_b64encode(text).decode()
    return {"credentials": {"access": key.access, "token": token, "signature": signature}}


def test_s3(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud)
    text = b"GET\n\n\nThu, 01 Jan 1970 00:00:00 GMT\n/bucket/\xff"
    reply = cloud.do("POST", "/s3tokens", s3(key, text, _s3_1(key.secret, text)), token=service)
    assert (reply.status, "x-subject-token" in reply.headers) == (200, False)
    assert reply.json["token"]["methods"] == ["ec2credential"]
    text = b"AWS4-HMAC-SHA256\n20270115T080000Z\n20270115/region/s3/aws4_request\n0123"
    assert cloud.do("POST", "/s3tokens", s3(key, text, _s3_4(key.secret, text)), token=service).status == 200
    wrong = _s3_4("other", text)
    for body, status in (
        (s3(key, text, wrong), 401), (s3(key, text + b"4", _s3_4(key.secret, text)), 401),
        (s3(key, text.replace(b"/s3/", b"/ec2/"), wrong), 401), (s3(key, b"AWS4\n", wrong), 401),
        (s3(key, b"AWS4-HMAC-SHA256\n\xff\n\n", wrong), 401), (s3(key, b"", wrong), 401),
        ({"credentials": {"access": key.access, "token": "a", "signature": wrong}}, 400),
        ({"credentials": {"access": key.access, "signature": wrong}}, 400),
        ({"credentials": {"access": key.access, "token": "aaaa"}}, 400),
        ({"credentials": {"access": "none", "token": "aaaa", "signature": "x"}}, 404),
    ):  # fmt: skip
        assert cloud.do("POST", "/s3tokens", body, token=service).status == status, body


# --- what the token is good for -------------------------------------------------------------------------------------------


def test_it_is_for_other_services(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud)
    token = ask(cloud, service, key.signed("2")).headers["x-subject-token"]
    assert cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token).status == 200
    assert cloud.do("HEAD", "/auth/tokens", token=token, X_Subject_Token=token).status == 200
    for method, path in (
        ("GET", f"/users/{key.user}/credentials/OS-EC2"), ("GET", "/credentials"), ("GET", "/auth/projects"),
        ("GET", f"/users/{key.user}"), ("DELETE", "/auth/tokens"),
    ):  # fmt: skip
        assert cloud.do(method, path, token=token, X_Subject_Token=token).status == 403, path
    assert cloud.auth({"methods": ["token"], "token": {"id": token}}).status == 403
    assert cloud.auth({"methods": ["ec2credential"], "ec2credential": {}}).status == 401


@pytest.mark.parametrize("cause", ["user", "project off", "project", "role", "key"])
def test_who_may_not_any_more(cloud: IdentityCloud, service: str, cause: str) -> None:
    key = Key(cloud)
    request = key.signed("2")
    token = ask(cloud, service, request).headers["x-subject-token"]
    off = {"enabled": False}
    role = f"/projects/{key.project}/users/{key.user}/roles/{cloud.role('member')}"
    done = {
        "user": lambda: cloud.do("PATCH", f"/users/{key.user}", {"user": off}),
        "project off": lambda: cloud.do("PATCH", f"/projects/{key.project}", {"project": off}),
        "project": lambda: cloud.do("DELETE", f"/projects/{key.project}"),
        "role": lambda: cloud.do("DELETE", role),
        "key": lambda: cloud.do("DELETE", f"/users/{key.user}/credentials/OS-EC2/{key.access}"),
    }[cause]()
    assert done.status < 300
    assert ask(cloud, service, request).status == (404 if cause in ("project", "key") else 401)
    if cause != "key":
        assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404


# --- lent keys ------------------------------------------------------------------------------------------------------------


def test_by_a_trust(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud)
    bob = cloud.member("bob", "q")[0]
    terms = {"trustor_user_id": key.user, "trustee_user_id": bob, "project_id": key.project, "roles": [{"name": "reader"}]}

    def trust(**more: Any) -> str:
        reply = cloud.do("POST", "/OS-TRUST/trusts", {"trust": {**terms, **more}}, token=key.token)
        return str(reply.json["trust"]["id"])

    mine = trust(impersonation=True)
    key.keep(trust_id=mine)
    shown = ask(cloud, service, key.signed("2")).json["token"]
    assert (shown["user"]["id"], shown["OS-TRUST:trust"]["id"]) == (key.user, mine)
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    assert cloud.do("DELETE", f"/OS-TRUST/trusts/{mine}", token=key.token).status == 204
    assert ask(cloud, service, key.signed("2")).status == 401
    for more in ({"impersonation": False}, {"impersonation": True, "remaining_uses": 3}):
        other = Key(cloud, f"u{len(more)}", blob={"trust_id": trust(**more)})
        assert ask(cloud, service, other.signed("2")).status == 401


def test_a_trustees_key(cloud: IdentityCloud, service: str) -> None:
    ann, bob = Key(cloud), Key(cloud, "bob", blob={})
    terms = {"trustor_user_id": ann.user, "trustee_user_id": bob.user, "project_id": ann.project, "impersonation": False,
             "expires_at": "2027-01-15T08:10:00Z", "roles": [{"name": "reader"}]}  # fmt: skip
    trust = cloud.do("POST", "/OS-TRUST/trusts", {"trust": terms}, token=ann.token).json["trust"]["id"]
    assert cloud.do("DELETE", f"/users/{bob.user}/credentials/OS-EC2/{bob.access}", token=bob.token).status == 204
    bob.keep(trust_id=trust)
    shown = ask(cloud, service, bob.signed("2")).json["token"]
    assert (shown["user"]["id"], shown["project"]["id"]) == (bob.user, ann.project)  # of the trust, not of the key
    assert shown["expires_at"] == "2027-01-15T08:10:00.000000Z"
    cloud.clock.now += 601
    assert ask(cloud, service, bob.signed("2")).status == 401


def test_by_an_application_credential(cloud: IdentityCloud, service: str) -> None:
    key, other = Key(cloud), Key(cloud, "bob")
    rule = {"service": "object-store", "method": "GET", "path": "/v1/**"}
    fields = {"name": "a", "roles": [{"name": "reader"}], "access_rules": [rule], "expires_at": "2027-01-15T08:30:00"}
    path = f"/users/{key.user}/application_credentials"
    made = cloud.do("POST", path, {"application_credential": fields}, token=key.token).json["application_credential"]
    key.keep(app_cred_id=made["id"])
    other.keep(app_cred_id=made["id"])
    shown = ask(cloud, service, key.signed("2")).json["token"]
    assert shown["application_credential"]["id"] == made["id"]
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    assert shown["expires_at"] == "2027-01-15T08:30:00.000000Z"
    assert ask(cloud, service, other.signed("2")).status == 401  # it is none of its own
    cloud.clock.now += 1800
    assert ask(cloud, service, key.signed("2", params={"SignatureVersion": "2"})).status == 401
    cloud.clock.now -= 1800
    assert cloud.do("DELETE", f"{path}/{made['id']}", token=key.token).status == 204
    assert ask(cloud, service, key.signed("2")).status == 401


def test_by_an_access_token(cloud: IdentityCloud, service: str) -> None:
    key, other = Key(cloud), Key(cloud, "bob")
    assert cloud.do("PUT", f"/projects/{key.project}/users/{key.user}/roles/{cloud.role('admin')}").status == 204
    consumer = Consumer(cloud, key.project)
    access = consumer.access_token(cloud.token("ann", "pw", "p-ann"), "reader")["oauth_token"]
    key.keep(access_token_id=access)
    other.keep(access_token_id=access)
    shown = ask(cloud, service, key.signed("2")).json["token"]
    assert shown["OS-OAUTH1"] == {"access_token_id": access, "consumer_id": consumer.id}
    assert [role["name"] for role in shown["roles"]] == ["reader"]
    assert ask(cloud, service, other.signed("2")).status == 401
    assert cloud.do("DELETE", f"/OS-OAUTH1/consumers/{consumer.id}").status == 204
    assert ask(cloud, service, key.signed("2")).status == 401


@pytest.mark.parametrize("blob", [{"secret": None}, {"secret": 1}])
def test_keys_without_a_secret(cloud: IdentityCloud, service: str, blob: dict[str, Any]) -> None:
    key = Key(cloud, blob=blob)
    assert ask(cloud, service, key.signed("2")).status == 401


# --- OS-EC2 ---------------------------------------------------------------------------------------------------------------


def test_keys_are_listed(cloud: IdentityCloud) -> None:
    key = Key(cloud)
    path = f"/users/{key.user}/credentials/OS-EC2"
    one = f"{path}/{key.access}"
    shown = cloud.do("GET", one, token=key.token).json["credential"]
    assert shown == {
        "user_id": key.user, "tenant_id": key.project, "access": key.access, "secret": key.secret, "trust_id": None,
        "links": {"self": shown["links"]["self"]},
    }  # fmt: skip
    assert shown["links"]["self"].endswith(one)
    listed = cloud.do("GET", path, token=key.token).json
    assert (listed["credentials"], listed["links"]["self"][-len(path) :]) == ([shown], path)
    assert [c["type"] for c in cloud.do("GET", "/credentials", token=key.token).json["credentials"]] == ["ec2"]
    assert cloud.do("HEAD", one, token=key.token).status == 200
    assert cloud.do("GET", path.replace(key.user, "none")).status == 404
    assert cloud.do("POST", path.replace(key.user, "none"), {"tenant_id": key.project}).status == 404
    assert cloud.do("POST", path, {"tenant_id": "none"}, token=key.token).status == 404
    assert cloud.do("POST", path, {}, token=key.token).status == 400
    bob, _, bobs = cloud.member("bob", "q")
    assert cloud.do("GET", one, token=bobs).status == 403
    assert cloud.do("GET", one.replace(key.user, bob), token=bobs).status == 403
    reader = cloud.member("eve", "r", "reader")
    own = f"/users/{reader[0]}/credentials/OS-EC2"
    assert cloud.do("POST", own, {"tenant_id": reader[1]}, token=reader[2]).status == 403  # it takes a member
    assert cloud.do("GET", own, token=reader[2]).json["credentials"] == []
    assert cloud.do("DELETE", one, token=key.token).status == 204
    assert cloud.do("DELETE", one, token=key.token).status == 404


def test_another_kind_of_credential_is_no_key(cloud: IdentityCloud, service: str) -> None:
    key = Key(cloud, blob={})
    upper = {"blob": json.dumps({"access": "loud"}), "type": "EC2", "project_id": key.project, "user_id": key.user}
    made = cloud.do("POST", "/credentials", {"credential": upper}, token=key.token).json["credential"]
    assert made["id"] == hashlib.sha256(b"loud").hexdigest()
    assert cloud.do("GET", f"/users/{key.user}/credentials/OS-EC2/loud", token=key.token).status == 401
    assert ask(cloud, service, {**key.signed("2"), "access": "loud"}).status == 404
