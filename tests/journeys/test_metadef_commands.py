"""Metadata definitions as the `openstack` client and the SDK use them, against a whole cloud; no command is left out."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import entry_points
from typing import Any

import pytest
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException, NotFoundException

from openstack_session import OpenStack
from running_cloud import ADMIN, DEMO, RunningCloud, running_cloud

COMMANDS = frozenset(
    name for e in entry_points(group="openstack.image.v2") if (name := e.name.replace("_", " ")).startswith("image metadef ")
)


class Client:
    """The client as the administrator; it remembers which commands have succeeded."""

    def __init__(self, openstack: OpenStack) -> None:
        self.openstack = openstack
        self.succeeded: set[str] = set()

    def __call__(self, command: str) -> str:
        out = self.openstack(f"image metadef {command}")
        self.succeeded |= {name for name in COMMANDS if f"image metadef {command} ".startswith(f"{name} ")}
        return out

    def json(self, command: str) -> Any:
        return json.loads(self(f"{command} -f json"))

    def column(self, command: str, name: str) -> list[Any]:
        return [row[name] for row in self.json(command)]


@pytest.fixture(scope="module")
def running() -> Iterator[RunningCloud]:
    with running_cloud(simulated=True) as cloud:
        yield cloud


@pytest.fixture
def sdk(running: RunningCloud) -> Iterator[Connection]:
    connection = running.connect(ADMIN)
    yield connection
    connection.close()


def test_every_command(running: RunningCloud, sdk: Connection) -> None:
    with running.openstack(ADMIN) as openstack:
        do = Client(openstack)
        namespaces(do, sdk)
        properties(do)
        objects(do)
        resource_types(do)
        do("namespace delete Ns::One")
        assert "Ns::One not found" in openstack.refused("image metadef namespace show Ns::One")
        assert COMMANDS - do.succeeded == set()


def namespaces(do: Client, sdk: Connection) -> None:
    made = do.json("namespace create --display-name One --description first --private --protected Ns::One")
    assert (made["namespace"], made["visibility"], made["protected"]) == ("Ns::One", "private", True)
    assert "403" in do.openstack.refused("image metadef namespace delete Ns::One")
    do("namespace set --display-name Uno --description other --public --unprotected --tag new --tag big Ns::One")
    shown = do.json("namespace show Ns::One")
    assert (shown["display_name"], shown["description"], shown["visibility"]) == ("Uno", "other", "public")
    assert (shown["protected"], sorted(tag["name"] for tag in shown["tags"])) == (False, ["big", "new"])
    do("namespace unset --tag new Ns::One")
    assert do.json("namespace show Ns::One")["tags"] == [{"name": "big"}]
    do("namespace unset --all-tags Ns::One")
    # this client's classes remember tags that it has set for namespaces without any
    assert sdk.image.get("/metadefs/namespaces/Ns::One/tags").json() == {"tags": []}
    assert do.column("namespace list", "namespace")[0] == "Ns::One"
    assert len(do.json("namespace list")) == 34  # in two pages
    assert "Ns::One" not in do.column("namespace list --visibility private", "namespace")
    assert "OS::Compute::Quota" in do.column("namespace list --resource-types OS::Nova::Flavor", "namespace")


def properties(do: Client) -> None:
    schema = json.dumps({"enum": ["red", "blue"], "minLength": 1})
    made = do.json(f"property create --name color --title Colour --type string --schema '{schema}' Ns::One")
    assert (made["name"], made["title"], made["enum"]) == ("color", "Colour", ["red", "blue"])
    do("property set --title Color --name colour Ns::One color")
    assert do.json("property show Ns::One colour")["title"] == "Color"
    do("property create --name size --title Size --type integer --schema '{}' Ns::One")
    assert do.column("property list Ns::One", "name") == ["colour", "size"]
    do("property delete Ns::One size")
    assert do.column("property list Ns::One", "name") == ["colour"]
    do("property delete Ns::One")
    assert do.json("property list Ns::One") == []


def objects(do: Client) -> None:
    assert do.json("object create --namespace Ns::One 'CPU case'")["name"] == "CPU case"
    do("object update Ns::One 'CPU case' --name bag")
    assert do.json("object show Ns::One bag")["name"] == "bag"
    do("object create --namespace Ns::One box")
    assert set(do.column("object list Ns::One", "name")) == {"bag", "box"}
    do("object delete Ns::One bag")
    assert do.column("object list Ns::One", "name") == ["box"]
    do("object delete Ns::One")
    assert do.json("object list Ns::One") == []
    found = do.json("object property show OS::Compute::Quota 'CPU Limits' quota:cpu_period")
    assert (found["name"], found["minimum"], found["maximum"]) == ("quota:cpu_period", 1000, 1_000_000)


def resource_types(do: Client) -> None:
    made = do.json("resource type association create --properties-target image Ns::One OS::Cinder::Volume")
    assert made["name"] == "OS::Cinder::Volume"
    assert do.column("resource type association list Ns::One", "Name") == ["OS::Cinder::Volume"]
    do("namespace set --protected Ns::One")
    do("resource type association delete --force Ns::One OS::Cinder::Volume")
    do("namespace set --unprotected Ns::One")
    assert do.json("resource type association list Ns::One") == []
    assert {"OS::Glance::Image", "OS::Nova::Flavor"} <= set(do.column("resource type list", "Name"))


def test_the_sdk(sdk: Connection) -> None:
    image = sdk.image
    made = image.create_metadef_namespace(namespace="Ns::Sdk", visibility="public", display_name="Sdk")
    assert image.get_metadef_namespace("Ns::Sdk").display_name == "Sdk"
    assert image.update_metadef_namespace(made, display_name="Other").display_name == "Other"
    color = {"title": "Colour", "type": "string", "enum": ["red"]}
    image.create_metadef_object("Ns::Sdk", name="case", properties={"color": color}, required=["color"])
    assert image.get_metadef_object("case", "Ns::Sdk").properties == {"color": color}
    assert image.update_metadef_object("case", "Ns::Sdk", name="case", description="d").description == "d"
    image.delete_metadef_object("case", "Ns::Sdk")
    image.delete_all_metadef_objects("Ns::Sdk")
    assert list(image.metadef_objects("Ns::Sdk")) == []
    image.create_metadef_property("Ns::Sdk", name="color", **color)
    assert [p.title for p in image.metadef_properties("Ns::Sdk")] == ["Colour"]
    assert image.update_metadef_property("color", "Ns::Sdk", name="color", title="C", type="string").title == "C"
    image.delete_metadef_property("color", "Ns::Sdk")
    image.delete_all_metadef_properties("Ns::Sdk")
    tagged = image.get_metadef_namespace("Ns::Sdk")
    tagged.set_tags(image, ["a", "b"])
    tagged.set_tags(image, ["c"], append=True)
    tagged.check_tag(image, "b")
    image.remove_tag_from_metadef_namespace("Ns::Sdk", "b")
    with pytest.raises(NotFoundException):
        tagged.check_tag(image, "b")
    image.remove_tags_from_metadef_namespace("Ns::Sdk")
    image.create_metadef_resource_type_association("Ns::Sdk", name="OS::Nova::Flavor", prefix="hw:")
    assert [a.prefix for a in image.metadef_resource_type_associations("Ns::Sdk")] == ["hw:"]
    image.delete_metadef_resource_type_association("OS::Nova::Flavor", "Ns::Sdk")
    assert "OS::Nova::Flavor" in {t.name for t in image.metadef_resource_types()}
    image.delete_metadef_namespace("Ns::Sdk")
    assert "Ns::Sdk" not in {n.namespace for n in image.metadef_namespaces()}


@pytest.mark.parametrize(
    "name",
    ["namespace", "namespaces", "object", "objects", "property", "properties", "tag", "tags", "resource_type", "resource_types"],
)
def test_the_sdk_reads_schemas(sdk: Connection, name: str) -> None:
    assert getattr(sdk.image, f"get_metadef_{name}_schema")().properties


def test_a_user_reads_and_does_not_write(running: RunningCloud) -> None:
    connection = running.connect(DEMO)
    assert len(list(connection.image.metadef_namespaces(limit=10))) >= 33
    with pytest.raises(ForbiddenException):
        connection.image.create_metadef_namespace(namespace="Ns::Mine")
    with pytest.raises(ForbiddenException):
        connection.image.delete_metadef_namespace("OS::Compute::Quota", ignore_missing=False)
    connection.close()
