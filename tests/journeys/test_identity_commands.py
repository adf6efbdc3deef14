"""Every command of the `openstack` client that speaks to identity, against a whole cloud; none is left out."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from openstack_session import OpenStack
from running_cloud import ADMIN, RunningCloud, running_cloud

COMMANDS = frozenset(Path(__file__).with_name("identity_commands.txt").read_text().splitlines())
"""What the client's documentation lists for identity's v3."""


class Client:
    """The client as the administrator; it remembers which commands have succeeded."""

    def __init__(self, cloud: RunningCloud, openstack: OpenStack, folder: Path) -> None:
        self.cloud, self.openstack, self.folder = cloud, openstack, folder
        self.succeeded: set[str] = set()

    def __call__(self, command: str) -> str:
        out = self.openstack(command)
        self.succeeded |= {name for name in COMMANDS if f"{command} ".startswith(f"{name} ")}
        return out

    def json(self, command: str) -> Any:
        return json.loads(self(f"{command} -f json"))

    def refused(self, command: str) -> str:
        return self.openstack.refused(command)

    def column(self, command: str, name: str = "Name") -> list[Any]:
        """One column of a list."""
        return [row[name] for row in self.json(command)]

    def file(self, name: str, value: Any) -> Path:
        path = self.folder / name
        path.write_text(json.dumps(value))
        return path

    def clouds_yaml(self, **auth: str) -> Path:
        """A clouds.yaml whose entry `somebody` logs in so."""
        entry = {"auth": {"auth_url": f"http://{self.cloud.address}/identity/v3", **auth}, "region_name": "RegionOne"}
        return self.file("clouds.yaml", {"clouds": {"somebody": entry}})


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with running_cloud(simulated=True) as cloud, cloud.openstack(ADMIN) as openstack:
        yield Client(cloud, openstack, tmp_path_factory.mktemp("files"))


def domains(do: Client) -> None:
    made = do.json("domain create --description first --immutable dom")
    assert (made["name"], made["description"], made["enabled"], made["options"]) == ("dom", "first", True, {"immutable": True})
    assert do.json("domain create --or-show dom")["id"] == made["id"]
    assert "dom" in do.column("domain list --enabled")
    assert "403" in do.refused("domain set --description other dom")
    do("domain set --no-immutable dom")  # and nothing else with it
    do("domain set --disable dom")
    do("domain set --name dom2 --description other dom")
    assert do.json("domain show dom2")["description"] == "other"
    assert do.column("domain list --name dom2") == ["dom2"]
    do("domain delete dom2")


def projects(do: Client) -> None:
    made = do.json("project create --description d --property size=big --tag red --tag blue --disable tree")
    assert (made["enabled"], made["tags"]) == (False, ["blue", "red"])
    do("project set --enable tree")
    child = do.json("project create --parent tree --immutable leaf")
    assert child["parent_id"] == made["id"]
    assert do.json("project create --or-show tree")["id"] == made["id"]
    do("project set --name trunk --description e --property size=small --remove-tag red tree")
    do("project set --tag green trunk")  # the client does one of both at a time
    shown = do.json("project show --children trunk")
    assert (shown["description"], shown["size"]) == ("e", "small")
    assert sorted(shown["tags"]) == ["blue", "green"]
    assert child["id"] in shown["subtree"]
    assert made["id"] in do.json("project show --parents leaf")["parents"]
    assert do.column("project list --tags blue,green") == ["trunk"]
    assert "trunk" not in do.column("project list --not-tags blue")
    assert do.column(f"project list --parent {made['id']}") == ["leaf"]
    assert "admin" in do.column("project list --my-projects")
    assert do.column("project list --long --sort name:desc") == sorted(do.column("project list"), reverse=True)
    assert len(do.column("project list --limit 1 --max-items 2")) == 2
    assert "403" in do.refused("project delete leaf")
    do("project set --no-immutable leaf")  # and nothing else with it
    do("project set --clear-tags leaf")
    do("project delete leaf trunk")


def users(do: Client) -> None:
    do("project create home")
    made = do.json(
        "user create --project home --password old --email a@example.org --description d --ignore-password-expiry "
        "--enable-multi-factor-auth --multi-factor-auth-rule password,totp someone"
    )
    assert made["email"] == "a@example.org"
    assert made["options"]["multi_factor_auth_rules"] == [["password", "totp"]]
    assert made["default_project_id"] == do.json("project show home")["id"]
    do("user set --name somebody --email b@example.org --disable-multi-factor-auth --no-ignore-password-expiry someone")
    assert do.json("user show somebody")["email"] == "b@example.org"
    do("role add --user somebody --project home member")
    assert do.column("user list --project home") == ["somebody"]
    assert {"Email": "b@example.org", "Enabled": True}.items() <= do.json("user list --long --project home")[0].items()
    auth = {"username": "somebody", "user_domain_id": "default", "project_name": "home", "project_domain_id": "default"}
    with OpenStack(do.clouds_yaml(**auth, password="old"), "somebody") as own:
        own("user password set --original-password old --password new")
    with OpenStack(do.clouds_yaml(**auth, password="old"), "somebody") as own:
        assert "401" in own.refused("token issue")
    with OpenStack(do.clouds_yaml(**auth, password="new"), "somebody") as own:
        assert own.json("token issue")["user_id"] == made["id"]
    do.succeeded.add("user password set")  # it was somebody who ran it
    do("user set --disable somebody")
    assert "somebody" in do.column("user list --disabled")
    do("user delete somebody")
    do("project delete home")


def groups(do: Client) -> None:
    do("user create walker")
    made = do.json("group create --domain default --description d walkers")
    assert do.json("group create --or-show walkers")["id"] == made["id"]
    do("group add user walkers walker")
    assert "walker in group walkers" in do("group contains user walkers walker")
    assert do.column("group list --user walker") == ["walkers"]
    assert do.column("user list --group walkers") == ["walker"]
    do("group remove user walkers walker")
    assert do.json("group list --user walker") == []
    do("group set --name runners --description e walkers")
    assert do.json("group show runners")["description"] == "e"
    assert "runners" in do.column("group list --long --domain default")
    do("group delete runners")
    do("user delete walker")


def roles(do: Client) -> None:
    do("domain create land")
    do("role create --description d --immutable judge")
    assert "403" in do.refused("role delete judge")
    own = do.json("role create --domain land sheriff")
    assert own["domain_id"] == do.json("domain show land")["id"]
    assert do.column("role list --domain land") == ["sheriff"]
    assert {"admin", "judge"} <= set(do.column("role list"))
    do("role set --no-immutable judge")
    do("role set --name chief --description e judge")
    assert do.json("role show chief")["description"] == "e"
    assert do.json("role show --domain land sheriff")["id"] == own["id"]
    do("implied role create --implied-role reader chief")
    assert "chief" in do.column("implied role list", "Prior Role Name")
    do("implied role delete --implied-role reader chief")
    assert "chief" not in do.column("implied role list", "Prior Role Name")
    do("role delete --domain land sheriff")
    do("role delete chief")
    do("domain set --disable land")
    do("domain delete land")


def assignments(do: Client) -> None:
    do("user create --domain default clerk")
    do("group create clerks")
    do("role add --user clerk --project demo reader")
    do("role add --user clerk --domain default --inherited reader")
    do("role add --group clerks --system all reader")
    found = do.json("role assignment list --names --user clerk --project demo")
    assert [(row["Role"], row["Project"]) for row in found] == [("reader", "demo@Default")]
    assert do.column("role assignment list --user clerk --inherited --domain default", "Inherited") == [True]
    assert do.column("role assignment list --group clerks --system all", "System") == ["all"]
    assert "demo@Default" in do.column("role assignment list --effective --names --user clerk", "Project")
    assert do.json("role assignment list --auth-user --auth-project")
    do("role remove --user clerk --project demo reader")
    do("role remove --user clerk --domain default --inherited reader")
    do("role remove --group clerks --system all reader")
    assert do.json("role assignment list --user clerk") == []
    do("user delete clerk")
    do("group delete clerks")


def tokens(do: Client) -> None:
    issued = do.json("token issue")
    assert issued["project_id"] == do.json("project show admin")["id"]
    do(f"token revoke {issued['id']}")
    assert "404" in do.refused(f"token revoke {issued['id']}")
    assert {"identity", "compute"} <= set(do.column("catalog list", "Type"))
    assert do.json("catalog show identity")["name"] == "keystone"
    do("federation project list")
    assert "admin" in do.column("federation project list")
    do("federation domain list")


def application_credentials(do: Client) -> None:
    rules = json.dumps([{"method": "GET", "path": "/v2.1/servers", "service": "compute"}])
    made = do.json(f"application credential create --role reader --expiration 2099-01-01T00:00:00 --access-rules '{rules}' app")
    assert len(made["Secret"]) > 20
    do("application credential create --secret s3 --unrestricted --description d open")
    assert {"app", "open"} <= set(do.column("application credential list"))
    assert do.json("application credential show open")["Unrestricted"] is True
    (rule,) = do.json("access rule list")
    assert (rule["Service"], rule["Method"], rule["Path"]) == ("compute", "GET", "/v2.1/servers")
    assert do.json(f"access rule show {rule['ID']}")["Path"] == "/v2.1/servers"
    assert "403" in do.refused(f"access rule delete {rule['ID']}")  # an application credential still has it
    do("application credential delete app open")
    do(f"access rule delete {rule['ID']}")
    assert do.json("access rule list") == []


def credentials(do: Client) -> None:
    made = do.json("credential create --type cert --project demo demo blob")
    assert (made["type"], made["blob"]) == ("cert", "blob")
    assert do.column("credential list --type cert --user demo", "ID") == [made["id"]]
    do(f"credential set --user demo --type cert --data other --project demo {made['id']}")
    assert do.json(f"credential show {made['id']}")["blob"] == "other"
    do(f"credential delete {made['id']}")
    made = do.json("ec2 credentials create --user demo --project demo")
    assert do.column("ec2 credentials list --user demo", "Access") == [made["access"]]
    assert do.json(f"ec2 credentials show --user demo {made['access']}")["secret"] == made["secret"]
    do(f"ec2 credentials delete --user demo {made['access']}")
    assert do.json("ec2 credentials list --user demo") == []


def trusts(do: Client) -> None:
    words = "--project admin --role member --impersonate --expiration 2099-01-01T00:00:00"
    made = do.json(f"trust create {words} admin demo")
    assert made["is_impersonation"] is True
    assert do.json(f"trust show {made['id']}")["trustee_user_id"] == do.json("user show demo")["id"]
    assert do.column("trust list --trustor admin", "ID") == [made["id"]]
    assert do.column("trust list --auth-user", "ID") == [made["id"]]
    do(f"trust delete {made['id']}")
    assert do.json("trust list") == []


def oauth(do: Client) -> None:
    made = do.json("consumer create --description d")
    do(f"consumer set --description e {made['id']}")
    assert do.json(f"consumer show {made['id']}")["description"] == "e"
    assert do.column("consumer list", "ID") == [made["id"]]
    consumer = f"--consumer-key {made['id']} --consumer-secret {made['secret']}"
    request = do.json(f"request token create {consumer} --project admin --domain default")
    pin = do.json(f"request token authorize --request-key {request['id']} --role member")["oauth_verifier"]
    keys = f"--request-key {request['id']} --request-secret {request['secret']}"
    access = do.json(f"access token create {consumer} {keys} --verifier {pin}")
    assert access["id"]
    assert access["secret"]
    do(f"consumer delete {made['id']}")


def catalogue(do: Client) -> None:
    do("region create --description d north")
    do("region create --parent-region north far-north")
    do("region set --description e --parent-region north far-north")
    assert do.column("region list --parent-region north", "Region") == ["far-north"]
    assert do.json("region show far-north")["description"] == "e"
    do("service create --name warm --description d --disable heating")
    do("service set --name hot --description e --enable --type heating warm")
    assert do.json("service show hot")["enabled"] is True
    assert "hot" in do.column("service list --long")
    made = do.json("endpoint create --region north --disable heating public http://hot/%(project_id)s")
    do(f"endpoint set --url http://hotter --interface internal --region far-north --enable {made['id']}")
    assert do.json(f"endpoint show {made['id']}")["url"] == "http://hotter"
    assert do.column("endpoint list --service hot --interface internal --region far-north", "ID") == [made["id"]]
    filters(do, made["id"])
    do(f"endpoint delete {made['id']}")
    do("service delete hot")
    do("region delete far-north north")


def filters(do: Client, endpoint: str) -> None:
    """Which endpoints and groups of endpoints a project sees."""
    do(f"endpoint add project {endpoint} demo")
    assert do.column("endpoint list --project demo", "ID") == [endpoint]
    do(f"endpoint remove project {endpoint} demo")
    do(f"endpoint group create --description d inner {do.file('filters', {'interface': 'internal'})}")
    do("endpoint group add project inner demo")
    assert do.column("endpoint group list --project demo") == ["inner"]
    assert do.column("endpoint group list --endpointgroup inner") == ["demo"]
    do("endpoint group remove project inner demo")
    do(f"endpoint group set --name outer --filters {do.file('filters', {'interface': 'public'})} inner")
    assert do.json("endpoint group show outer")["filters"] == {"interface": "public"}
    assert "outer" in do.column("endpoint group list")
    do("endpoint group delete outer")


def policies(do: Client) -> None:
    rules = do.file("rules", {"all": ""})
    made = do.json(f"policy create --type application/json {rules}")
    do(f"policy set --type text/plain --rules {do.file('rules', {'all': '!'})} {made['id']}")
    assert "!" in do.json(f"policy show {made['id']}")["rules"]
    assert made["id"] in do.column("policy list --long", "ID")
    do(f"policy delete {made['id']}")


def limits(do: Client) -> None:
    service = do.json("service show glance")["id"]
    made = do.json("registered limit create --description d --service glance --default-limit 10 --region RegionOne things")
    do(f"registered limit set --default-limit 12 --description e {made['id']}")
    assert do.json(f"registered limit show {made['id']}")["default_limit"] == 12
    assert made["id"] in do.column("registered limit list --service glance --resource-name things", "ID")
    # a token of a project lists the limits of that project only
    own = do.json("limit create --project admin --service glance --region RegionOne --resource-limit 5 things")
    assert own["service_id"] == service
    do(f"limit set --resource-limit 6 --description e {own['id']}")
    assert do.json(f"limit show {own['id']}")["resource_limit"] == 6
    assert do.column("limit list --project admin --resource-name things", "ID") == [own["id"]]
    do(f"limit delete {own['id']}")
    do(f"registered limit delete {made['id']}")


def federation(do: Client) -> None:
    do("domain create abroad")
    do("identity provider create --remote-id https://idp --description d --domain abroad --authorization-ttl 5 idp")
    do("identity provider set --description e --remote-id https://idp2 --disable idp")
    assert do.json("identity provider show idp")["remote_ids"] == ["https://idp2"]
    assert do.column("identity provider list --id idp", "ID") == ["idp"]
    rules = [{"local": [{"user": {"name": "{0}"}}], "remote": [{"type": "REMOTE_USER"}]}]
    do(f"mapping create --rules {do.file('mapping', rules)} map")
    do(f"mapping set --rules {do.file('mapping', rules * 2)} map")
    assert len(do.json("mapping show map")["rules"]) == 2
    assert do.column("mapping list", "ID") == ["map"]
    do("mapping create --schema-version 2.0 --rules " + str(do.file("mapping", rules)) + " map2")
    do("federation protocol create --identity-provider idp --mapping map saml2")
    do.openstack.answer("federation protocol set --identity-provider idp --mapping map2 saml2")
    do.succeeded.add("federation protocol set")  # though this client takes what it should print for an exit code
    assert do.json("federation protocol show --identity-provider idp saml2")["mapping"] == "map2"
    assert do.column("federation protocol list --identity-provider idp", "id") == ["saml2"]
    do("federation protocol delete --identity-provider idp saml2")
    urls = "--auth-url https://sp/v3 --service-provider-url https://sp/sso"
    do(f"service provider create {urls} --description d --disable sp")
    do("service provider set --description e --enable sp")
    assert do.json("service provider show sp")["description"] == "e"
    assert do.column("service provider list", "ID") == ["sp"]
    do("service provider delete sp")
    do("identity provider delete idp")
    do("mapping delete map map2")
    do("domain set --disable abroad")
    do("domain delete abroad")


TOPICS: tuple[Callable[[Client], None], ...] = (
    domains, projects, users, groups, roles, assignments, tokens, application_credentials, credentials, trusts, oauth,
    catalogue, policies, limits, federation,
)  # fmt: skip


@pytest.fixture(scope="module")
def told(client: Client) -> Iterator[set[str]]:
    """The topics that have been gone through. After the last of all, no command is left out."""
    names: set[str] = set()
    yield names
    if len(names) == len(TOPICS):
        assert COMMANDS - client.succeeded == set()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_commands(client: Client, told: set[str], topic: Callable[[Client], None]) -> None:
    topic(client)
    told.add(topic.__name__)


def test_the_list_is_that_of_the_client() -> None:
    """A newer client with more commands shall be noticed."""
    assert {entry.name.replace("_", " ") for entry in entry_points(group="openstack.identity.v3")} == COMMANDS


def test_commands_about_the_whole(client: Client) -> None:
    """Commands that ask identity as one of several services."""
    assert "identity" in client.column("versions show", "Service Type")
    assert client.json("configuration show")["auth.username"] == "admin"
    client("project create doomed")
    client("role add --user admin --project doomed member")
    client("project cleanup --dry-run --project doomed")
    client("project cleanup --auto-approve --project doomed")
    client("project delete doomed")
