"""Every command of the `openstack` client that speaks to images, against a whole cloud; none is left out.

Those of metadata definitions are in test_metadef_commands.py, which knows when one is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import pytest

from journeys.image_settings import STORES
from networks import eventually
from openstack_session import OpenStack
from running_cloud import ADMIN, DEMO, connect, running_cloud
from web_servers import pages, serving

ALL = frozenset(Path(__file__).with_name("image_commands.txt").read_text().splitlines())
"""What the client's documentation lists for images."""
COMMANDS = frozenset(name for name in ALL if not name.startswith("image metadef "))
DATA = bytes(range(251)) * 4_000


class Client:
    """The client as somebody; which commands have succeeded is remembered for all."""

    def __init__(self, openstack: OpenStack, succeeded: set[str], folder: Path, clouds_yaml: Path) -> None:
        self.openstack, self.succeeded, self.folder, self.clouds_yaml = openstack, succeeded, folder, clouds_yaml
        self.data = folder / "data"
        self.refused = openstack.refused

    def __call__(self, command: str) -> str:
        out = self.openstack(command)
        self.succeeded |= {name for name in COMMANDS if f"{command} ".startswith(f"{name} ")}
        return out

    def json(self, command: str) -> Any:
        return json.loads(self(f"{command} -f json"))

    def column(self, command: str, name: str = "Name") -> list[Any]:
        return [row[name] for row in self.json(command)]

    def create(self, name: str, *more: str) -> dict[str, Any]:
        """An image with `DATA`."""
        words = f"image create --disk-format raw --container-format bare --file {self.data} {' '.join(more)} {name}"
        made: dict[str, Any] = self.json(words)
        return made

    def saved(self, name: str, *more: str) -> bytes:
        file = self.folder / "saved"
        self(f"image save --file {file} {' '.join(more)} {name}")
        return file.read_bytes()

    def becomes(self, name: str, **fields: Any) -> bool:
        def now() -> dict[str, Any]:
            shown = self.json(f"image show {name}")
            return shown | shown["properties"]

        return eventually(lambda: fields.items() <= now().items(), 30)


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    """Of a web server that has `DATA`."""
    with serving(pages(image=DATA)) as server:
        yield f"{server.url}/image"


@pytest.fixture(scope="module")
def clients(address: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Client, Client]]:
    """The administrator, and a user."""
    folder = tmp_path_factory.mktemp("files")
    (folder / "data").write_bytes(DATA)
    port = address.rpartition(":")[2].partition("/")[0]
    settings = STORES.format(port=port, folder=folder)
    running = running_cloud(simulated=True, settings=settings)
    with running as cloud, cloud.openstack(ADMIN) as admin, cloud.openstack(DEMO) as user:
        succeeded: set[str] = set()
        yield Client(admin, succeeded, folder, cloud.clouds_yaml), Client(user, succeeded, folder, cloud.clouds_yaml)


def making(admin: Client, do: Client, address: str) -> None:
    made = do.create(
        "first",
        "--min-disk 1 --min-ram 64 --property color=red --property os_type=linux --tag a --tag b --protected --private",
    )
    assert (made["status"], made["size"], made["min_disk"], made["min_ram"]) == ("active", len(DATA), 1, 64)
    assert (made["protected"], made["visibility"], sorted(made["tags"])) == (True, "private", ["a", "b"])
    assert {"color": "red", "os_type": "linux"}.items() <= made["properties"].items()
    assert do.saved("first") == DATA
    assert do.saved("first", "--chunk-size 1000") == DATA
    assert "403" in do.refused("image delete first")
    do("image set --unprotected first")
    do("image delete first")
    assert "first" not in do.column("image list")
    given = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"
    assert do.create("chosen", f"--id {given} --community --progress --size {len(DATA)}")["id"] == given
    assert "409" in do.refused(f"image create --id {given} --file {do.data} twice")
    admin.create("for-demo", "--project demo --public")
    assert do.json("image show for-demo")["owner"] == admin.json("project show demo")["id"]
    admin("image delete for-demo")
    do("image delete chosen")


def changing(admin: Client, do: Client, address: str) -> None:
    do.create("old", "--property speed=slow --tag a")
    do(
        "image set --name new --min-disk 2 --min-ram 128 --property color=blue --tag b --architecture x86_64 "
        "--os-distro debian --os-version 13 --community old"
    )
    shown = do.json("image show new")
    assert (shown["min_disk"], shown["min_ram"], shown["visibility"], sorted(shown["tags"])) == (
        2,
        128,
        "community",
        ["a", "b"],
    )
    assert {"color": "blue", "os_distro": "debian", "architecture": "x86_64"}.items() <= shown["properties"].items()
    do("image unset --tag a --property speed --property color new")
    shown = do.json("image show new")
    assert shown["tags"] == ["b"]
    assert not {"speed", "color"} & set(shown["properties"])
    assert do.json("image show --human-readable new")["size"] == "1M"
    do("image set --deactivate new")
    do.refused(
        f"image save --file {do.folder / 'no'} new"
    )  # it takes the refusal for the data, and its digest is wrong
    do("image set --activate new")
    assert do.saved("new") == DATA
    do("image set --hidden new")
    assert "new" not in do.column("image list")
    assert do.column("image list --hidden") == ["new"]
    do("image set --unhidden new")
    assert "403" in do.refused("image set --public new")
    admin(f"image set --project admin {shown['id']}")
    assert do.refused("image delete no-such-image")
    admin(f"image delete {shown['id']}")


def listing(admin: Client, do: Client, address: str) -> None:
    for name in ("one", "two", "three"):
        do.create(name, "--tag listed", f"--property word={name}")
    assert do.column("image list --tag listed --sort name:asc") == ["one", "three", "two"]
    assert do.column("image list --tag listed --sort name:desc --limit 2") == ["two", "three"]
    assert sorted(do.column("image list --tag listed --page-size 1")) == ["one", "three", "two"]
    assert do.column("image list --name two") == ["two"]
    assert do.column("image list --property word=three") == ["three"]
    assert do.column("image list --private --tag listed") == []
    marker = do.json("image show three")["id"]  # the newest, which comes first: this client sorts by itself
    assert do.column(f"image list --tag listed --marker {marker}") == ["one", "two"]
    rows = do.json("image list --long --tag listed --status active --shared")
    assert {row["Size"] for row in rows} == {len(DATA)}
    assert {"one", "two", "three"} <= set(admin.column("image list --all --project demo"))
    assert do.column("image list --community") == []
    do("image delete one two three")


def sharing(admin: Client, do: Client, address: str) -> None:
    made = admin.create("gift", "--shared")
    admin("image add project gift demo")
    assert do.column("image list --member-status pending --shared") == ["gift"]
    assert admin.column("image member list gift", "Status") == ["pending"]
    demo = admin.json("project show demo")["id"]
    do(f"image set --accept {made['id']}")
    assert admin.json(f"image member get gift {demo}")["status"] == "accepted"
    assert "gift" in do.column("image list")
    do(f"image set --reject {made['id']}")
    assert "gift" not in do.column("image list")
    do(f"image set --pending {made['id']}")
    assert admin.json(f"image member get gift {demo}")["status"] == "pending"
    admin("image remove project gift demo")
    assert admin.json("image member list gift") == []
    assert "No Image found" in do.refused(f"image show {made['id']}")
    admin("image delete gift")


def importing(admin: Client, do: Client, address: str) -> None:
    methods = do.json("image import info")["import-methods"]
    assert methods == ["glance-direct", "web-download", "copy-image", "glance-download"]
    stores = {row["ID"]: row for row in do.json("image stores list")}
    assert set(stores) == {"archive", "file"}
    assert str(do.folder / "tiffin-images") in str(admin.column("image stores list --detail", "Properties"))
    assert "403" in do.refused("image stores list --detail")
    bare = "--disk-format raw --container-format bare"
    imported = do.json(f"image create --import {bare} --file {do.data} direct")  # it stages and imports by itself
    assert do.becomes("direct", status="active", stores="file")
    admin("image import direct --method copy-image --store archive --disallow-failure")
    assert do.becomes("direct", stores="archive,file")
    assert do.saved("direct", "--store-preference archive") == DATA
    admin("image delete --store file direct")
    assert do.json("image show direct")["properties"]["stores"] == "archive"
    assert do.saved("direct") == DATA
    assert "403" in admin.refused("image delete --store archive direct")  # its last
    tasks = [row for row in admin.json("image task list --status success") if row["Type"] == "api_image_import"]
    results = [admin.json(f"image task show {task['ID']}")["result"] for task in tasks]
    assert results.count({"image_id": imported["id"]}) == 2
    do("image delete direct")


def staging(admin: Client, do: Client, address: str) -> None:
    """Images of which there is a record only: the client makes none as long as its standard input is not a terminal."""
    with connect(do.clouds_yaml, DEMO) as sdk:
        for name in ("staged", "fetched"):
            sdk.image.create_image(name, disk_format="raw", container_format="bare", allow_duplicates=True)
    do(f"image stage --file {do.data} staged")
    assert do.json("image show staged")["status"] == "uploading"
    do("image import staged --method glance-direct --all-stores --allow-failure")
    assert do.becomes("staged", status="active", stores="archive,file")
    do(f"image import fetched --method web-download --uri {address} --store archive")
    assert do.becomes("fetched", status="active", stores="archive")
    for name in ("staged", "fetched"):
        assert do.saved(name) == DATA
    do("image delete staged fetched")


def caching(admin: Client, do: Client, address: str) -> None:
    made = do.create("hot")
    admin("cached image clear")
    admin("cached image queue hot")
    assert eventually(lambda: admin.column("cached image list", "State") == ["cached"], 30)
    assert admin.column("cached image list", "ID") == [made["id"]]
    assert "not authorized to complete cache_list" in do.refused("cached image list")
    admin("cached image delete hot")
    assert admin.json("cached image list") == []
    do("image delete hot")


TOPICS: tuple[Callable[[Client, Client, str], None], ...] = (
    making, changing, listing, sharing, importing, staging, caching,
)  # fmt: skip


@pytest.fixture(scope="module")
def told(clients: tuple[Client, Client]) -> Iterator[set[str]]:
    """The topics that have been gone through. After the last of all, no command is left out."""
    names: set[str] = set()
    yield names
    if len(names) == len(TOPICS):
        assert COMMANDS - clients[0].succeeded == set()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_commands(
    clients: tuple[Client, Client], told: set[str], address: str, topic: Callable[[Client, Client, str], None]
) -> None:
    topic(*clients, address)
    told.add(topic.__name__)


def test_the_list_is_that_of_the_client() -> None:
    """A newer client with more commands shall be noticed."""
    assert {entry.name.replace("_", " ") for entry in entry_points(group="openstack.image.v2")} == ALL
