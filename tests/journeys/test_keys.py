"""Keys of users and programs, with OpenStack's own libraries on the other side: keystoneauth's OAuth1 plug-in,
keystoneclient's EC2 signer, keystonemiddleware before a service of somebody else; and the rotation that nobody notices."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from keystoneauth1.exceptions import NotFound, Unauthorized
from keystoneauth1.extras.oauth1 import V3OAuth1
from keystoneauth1.identity import V3ApplicationCredential
from keystoneauth1.identity.v3 import Password
from keystoneauth1.session import Session
from keystoneclient.contrib.ec2.utils import Ec2Signer
from keystoneclient.v3.client import Client

from running_cloud import RunningCloud, running_cloud
from storm import rows
from tiffin.core.http.local import LocalClient
from tiffin.core.state_folder import StateFolder

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of the libraries, about each other


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True) as made:
        yield made


class Admin:
    """The administrator, as keystoneclient knows it."""

    def __init__(self, cloud: RunningCloud) -> None:
        self.url = f"http://{cloud.address}/identity/v3"
        self.password = StateFolder(cloud.home).secrets().admin_password
        self.session = Session(auth=Password(self.url, **self.words()))
        self.client = Client(session=self.session)
        self.user, self.project = self.session.get_user_id(), self.session.get_project_id()

    def words(self) -> dict[str, str]:
        domains = {"user_domain_id": "default", "project_domain_id": "default"}
        return {"username": "admin", "password": self.password, "project_name": "admin", **domains}


@pytest.fixture(scope="module")
def admin(cloud: RunningCloud) -> Admin:
    return Admin(cloud)


def test_oauth1(admin: Admin) -> None:
    oauth = admin.client.oauth1
    consumer = oauth.consumers.create("a program")
    request = oauth.request_tokens.create(consumer.id, consumer.secret, admin.project)
    role = admin.client.roles.list(name="reader")[0].id
    pin = oauth.request_tokens.authorize(request.id, [role]).oauth_verifier
    access = oauth.access_tokens.create(consumer.id, consumer.secret, request.id, request.secret, pin)
    for catalogue in (True, False):  # the query of the request is not signed
        words = {"consumer_key": consumer.id, "consumer_secret": consumer.secret, "include_catalog": catalogue}
        plugin = V3OAuth1(admin.url, access_key=access.key, access_secret=access.secret, **words)
        lent = Session(auth=plugin)
        assert (lent.get_user_id(), lent.get_project_id()) == (admin.user, admin.project)
        assert plugin.get_access(lent).role_names == ["reader"]
        assert plugin.get_access(lent).oauth_access_token_id == access.key
        assert plugin.get_access(lent).oauth_consumer_id == consumer.id
    wrong = V3OAuth1(admin.url, access_key=access.key, access_secret="x", **words)
    with pytest.raises(Unauthorized):
        wrong.get_token(Session())
    consumer.delete()
    gone = V3OAuth1(admin.url, access_key=access.key, access_secret=access.secret, **words)
    with pytest.raises(NotFound):
        gone.get_token(Session())


def test_ec2(cloud: RunningCloud, admin: Admin) -> None:
    keys = admin.client.ec2.create(admin.user, admin.project)
    params = {"SignatureVersion": "2", "AWSAccessKeyId": keys.access, "Action": "DescribeInstances"}
    request = {"host": "ec2:8773", "verb": "GET", "path": "/", "params": params, "access": keys.access}
    request["signature"] = Ec2Signer(keys.secret).generate({**request, "params": dict(params)})
    reply = admin.session.post(f"{admin.url}/ec2tokens", json={"credentials": request})
    token = {"X-Auth-Token": reply.headers["X-Subject-Token"]}
    assert reply.json()["token"]["methods"] == ["ec2credential"]
    assert Session().get(f"http://{cloud.address}/compute/v2.1/servers", headers=token).json() == {"servers": []}
    assert Session().get(f"{admin.url}/users", headers=token, raise_exc=False).status_code == 403


def test_access_rules_bind_at_other_services_too(cloud: RunningCloud, admin: Admin) -> None:
    """keystonemiddleware promises to observe the rules, and does so before a service that is none of ours."""
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers/*/ips"}]
    made = admin.client.application_credentials.create("robot", access_rules=rules, roles=[{"name": "reader"}])
    plugin = V3ApplicationCredential(admin.url, application_credential_id=made.id, application_credential_secret=made.secret)
    token = {"X-Auth-Token": str(plugin.get_token(Session()))}
    service = LocalClient(guarded(admin))
    assert service.request("GET", "/v2.1/servers/x/ips", headers=token).body == b"served"
    for method, path in (("GET", "/v2.1/servers/x"), ("POST", "/v2.1/servers/x/ips"), ("GET", "/v2.1/servers/x/y/ips")):
        assert service.request(method, path, headers=token).status == 401
        ours = f"http://{cloud.address}/compute{path}"
        assert Session().request(ours, method, headers=token, raise_exc=False).status_code == 401
    assert Session().get(f"http://{cloud.address}/compute/v2.1/servers/x/ips", headers=token, raise_exc=False).status_code == 404
    made.delete()


def guarded(admin: Admin) -> Any:
    """A service of somebody else, behind keystonemiddleware."""
    from keystonemiddleware.auth_token import AuthProtocol

    def service(environ: dict[str, Any], start: Any) -> list[bytes]:
        start("200 OK", [("Content-Type", "text/plain")])
        return [b"served"]

    words = {"auth_type": "password", "auth_url": admin.url, "service_type": "compute", **admin.words()}
    return AuthProtocol(service, {**words, "www_authenticate_uri": admin.url, "service_token_roles_required": True})


def test_nobody_notices_a_rotation(cloud: RunningCloud, admin: Admin) -> None:
    made = [admin.client.credentials.create(admin.user, "totp", f"seed-{n}") for n in range(30)]
    stop, wrong = threading.Event(), list[str]()

    def read() -> None:
        client = Admin(cloud).client
        while not stop.is_set():
            wrong.extend(one.blob for one in client.credentials.list(type="totp") if not one.blob.startswith("seed-"))

    reader = threading.Thread(target=read)
    reader.start()
    for _ in range(3):
        told = cloud.tiffin("credential-keys", "rotate").stdout
        seen, renewed = (int(word) for word in re.findall(r"\d+", told))
        assert seen == renewed >= 30
    stop.set()
    reader.join()
    assert not wrong
    assert sorted(one.blob for one in admin.client.credentials.list(type="totp")) == sorted(f"seed-{n}" for n in range(30))
    assert len([file for file in (cloud.home / "keys" / "secrets").iterdir() if file.name.isdecimal()]) == 3
    told = repr(rows(cloud.home, "SELECT * FROM identity_credential"))
    assert made[0].id in told
    assert "seed-" not in told
