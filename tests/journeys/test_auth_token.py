"""OpenStack's own gatekeeper before its services, keystonemiddleware's auth_token, takes our tokens as Keystone's."""

from __future__ import annotations

import time
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from openstack.connection import Connection

from running_cloud import ADMIN, DEMO, RunningCloud, running_cloud

with warnings.catch_warnings():  # of modules that Python will drop
    warnings.simplefilter("ignore")
    from keystonemiddleware.auth_token import AuthProtocol
    from oslo_config.cfg import ConfigOpts
    from webob import Request, Response

pytestmark = pytest.mark.filterwarnings("ignore")  # those of libraries that are not ours

PASSWORD = "a long enough secret"
SECONDS = 3
"""How long a token is valid here."""


class Guarded:
    """Some service behind the middleware, which asks the cloud who is asking."""

    def __init__(self, cloud: RunningCloud) -> None:
        url = f"http://{cloud.address}/identity/v3"
        config = ConfigOpts()  # its own: the process's may hold the options of another middleware
        config([])
        self.gate = AuthProtocol(Response(), {
            "oslo_config_config": config,
            "www_authenticate_uri": url, "auth_url": url, "auth_type": "v3password", "username": "nova",
            "password": PASSWORD, "user_domain_id": "default", "project_name": "service", "project_domain_id": "default",
            "service_type": "compute", "service_token_roles": "service", "service_token_roles_required": True,
            "token_cache_time": -1, "interface": "public", "region_name": "RegionOne",
        })  # fmt: skip

    def ask(self, method: str, path: str, token: str, service_token: str = "") -> tuple[int, dict[str, str]]:
        """The status, and what the service is told about who asks."""
        request = Request.blank(path, method=method, headers={"X-Auth-Token": token})
        if service_token:
            request.headers["X-Service-Token"] = service_token
        answer = request.get_response(self.gate)
        return answer.status_int, dict(request.headers)


@pytest.fixture(scope="module")
def cloud() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True, settings="[identity]\npassword_rounds = 4\n") as cloud:
        with cloud.connect(ADMIN) as admin:
            identity = admin.identity
            project = identity.find_project("service") or identity.create_project(name="service")
            user = identity.create_user(name="nova", password=PASSWORD)
            identity.assign_project_role_to_user(project, user, identity.find_role("service"))
        cloud.tiffin("down")
        settings = cloud.home / "tiffin.toml"
        settings.write_text(settings.read_text().replace("[identity]\n", f"[identity]\ntoken_seconds = {SECONDS}\n"))
        cloud.tiffin("up")
        yield cloud


@pytest.fixture
def guarded(cloud: RunningCloud) -> Guarded:
    return Guarded(cloud)


def fresh(connection: Connection) -> str:
    """A new token; what a connection keeps may end at any moment."""
    connection.session.invalidate()
    return str(connection.session.get_token())


def test_a_good_token_and_none(cloud: RunningCloud, guarded: Guarded) -> None:
    with cloud.connect() as demo:
        status, told = guarded.ask("GET", "/v2.1/servers", fresh(demo))
        user, project = demo.current_user_id, demo.current_project_id
    assert status == 200
    assert (told["X-Identity-Status"], told["X-User-Id"], told["X-Project-Id"]) == ("Confirmed", user, project)
    assert (told["X-Project-Name"], told["X-Project-Domain-Id"], told["X-User-Name"]) == ("demo", "default", "demo")
    assert "member" in told["X-Roles"].split(",")
    assert told["X-Service-Catalog"]
    assert guarded.ask("GET", "/v2.1/servers", "wrong")[0] == 401
    assert guarded.ask("GET", "/v2.1/servers", "")[0] == 401


def test_a_token_that_was_given_back(cloud: RunningCloud, guarded: Guarded) -> None:
    with cloud.connect() as demo:
        token = fresh(demo)
        assert guarded.ask("GET", "/", token)[0] == 200
        demo.session.delete(f"http://{cloud.address}/identity/v3/auth/tokens", headers={"X-Subject-Token": token})
    assert guarded.ask("GET", "/", token)[0] == 401


def by_credential(cloud: RunningCloud, demo: Connection, **fields: Any) -> str:
    """A token of a new application credential of `demo`."""
    url = f"http://{cloud.address}/identity/v3"
    fresh(demo)
    user = demo.session.get_user_id()
    reply = demo.session.post(f"{url}/users/{user}/application_credentials", json={"application_credential": fields})
    made = reply.json()["application_credential"]
    proof = {"id": made["id"], "secret": made["secret"]}
    auth = {"identity": {"methods": ["application_credential"], "application_credential": proof}}
    reply = demo.session.post(f"{url}/auth/tokens", json={"auth": auth}, authenticated=False)
    return str(reply.headers["X-Subject-Token"])


def test_access_rules(cloud: RunningCloud, guarded: Guarded) -> None:
    rules = [{"service": "compute", "method": "GET", "path": "/v2.1/servers/*"}]
    with cloud.connect() as demo:
        token = by_credential(cloud, demo, name="watcher", access_rules=rules)
        assert guarded.ask("GET", "/v2.1/servers/1", token)[0] == 200
        assert guarded.ask("DELETE", "/v2.1/servers/1", token)[0] == 401
        assert guarded.ask("GET", "/v2.1/servers/1/ips", token)[0] == 401
        reply = demo.session.get(
            f"http://{cloud.address}/identity/v3/auth/tokens", headers={"X-Subject-Token": token}, raise_exc=False
        )
        assert reply.status_code == 404  # who does not say that it minds access rules is told of no such token


def test_an_ended_token_goes_on_with_a_services(cloud: RunningCloud, guarded: Guarded) -> None:
    """Long work of one service for a user outlives the user's token: another service takes it beside a service's own."""
    with cloud.connect() as demo:
        token, user = fresh(demo), demo.session.get_user_id()
        while guarded.ask("GET", "/", token)[0] == 200:
            time.sleep(0.2)
        own = guarded.gate._auth
        service_token = own.get_token(guarded.gate._session)
        status, told = guarded.ask("GET", "/", token, service_token)
        assert (status, told["X-User-Id"], told["X-Service-Roles"]) == (200, user, "service")
        assert guarded.ask("GET", "/", token, fresh(demo))[0] == 401  # a token of no service


def test_demo_is_not_the_administrator(cloud: RunningCloud, guarded: Guarded) -> None:
    with cloud.connect(DEMO) as demo:
        assert guarded.ask("GET", "/", fresh(demo))[1]["X-Is-Admin-Project"] == "True"  # as where none is set apart
