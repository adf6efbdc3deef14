"""Every command of the `glance` client (python-glanceclient), against a whole cloud; none is left out."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

import glance_session
from journeys.image_settings import STORES, WEB
from networks import eventually
from openstack_session import Session
from running_cloud import ADMIN, running_cloud
from web_servers import pages, serving

DATA = bytes(range(251)) * 4_000
BARE = "--disk-format raw --container-format bare"
MANNERS = {"help", "bash-completion"}
"""Commands that ask no cloud."""
OLD_LOCATIONS = """
[image.imports.locations]
show_multiple_locations = true

[identity]
password_rounds = 4
"""


class Glance:
    """The client as the administrator; it remembers which commands have succeeded."""

    def __init__(self, session: Session, folder: Path, address: str, project: str) -> None:
        self.session, self.folder, self.address, self.project = session, folder, address, project
        self.refused = session.refused
        self.data = folder / "data"
        self.succeeded: set[str] = set()

    def __call__(self, command: str) -> str:
        out = self.session(command)
        self.succeeded.add(command.split()[0])
        return out

    def create(self, name: str, more: str = "") -> str:
        """The id of an image with `DATA`."""
        return field(self(f"image-create --name {name} {BARE} --file {self.data} {more}"), "id")

    def empty(self, name: str) -> str:
        return field(self(f"image-create --name {name} {BARE}"), "id")

    def becomes(self, id: str, **fields: str) -> bool:
        def now() -> bool:
            shown = self(f"image-show {id}")
            return all(field(shown, name) == value for name, value in fields.items())

        return eventually(now, 30)

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.write_text(text)
        return path


def field(table: str, name: str) -> str:
    """The value of a row; nothing when there is none."""
    found = re.search(rf"^\| {re.escape(name)} +\| (.*?) *\|$", table, re.MULTILINE)
    return found[1] if found else ""


@pytest.fixture(scope="module")
def glance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Glance]:
    folder = tmp_path_factory.mktemp("files")
    (folder / "data").write_bytes(DATA)
    program = str(Path(glance_session.__file__))
    with serving(pages(image=DATA)) as server:
        settings = (STORES + WEB + OLD_LOCATIONS).format(port=server.port, folder=folder)
        with running_cloud(simulated=True, settings=settings) as cloud:
            entry = yaml.safe_load(cloud.clouds_yaml.read_text())["clouds"][ADMIN]
            with cloud.connect(ADMIN) as sdk, Session(program, glance_session.environment(entry, str(folder))) as session:
                project = sdk.identity.find_project("demo", ignore_missing=False).id
                yield Glance(session, folder, f"{server.url}/image", project)


def images(do: Glance) -> None:
    id = do.create("first", "--property color=red --tags a --min-disk 1")
    assert field(do(f"image-show {id}"), "size") == str(len(DATA))
    assert field(do(f"image-show --human-readable {id}"), "size") == "980.5kB"
    assert field(do(f"image-update {id} --name other --property speed=fast --remove-property color"), "name") == "other"
    assert field(do(f"image-show {id}"), "color") == ""
    assert "other" in do("image-list --sort name:asc --include-stores --property-filter speed=fast")
    assert "other" in do("image-list --limit 5 --page-size 1 --tag a")
    do(f"image-tag-update {id} b")
    do(f"image-tag-delete {id} a")
    assert field(do(f"image-show {id}"), "tags") == '["b"]'
    do(f"image-deactivate {id}")
    assert field(do(f"image-show {id}"), "status") == "deactivated"
    do(f"image-reactivate {id}")
    do(f"image-download {id} --file {do.folder / 'down'}")
    assert (do.folder / "down").read_bytes() == DATA
    queued = do.empty("queued")
    do(f"image-upload {queued} --file {do.data} --store archive")
    assert do.becomes(queued, status="active", stores="archive")
    assert "image_count_total" in do("usage")
    assert "visibility" in do("explain image")
    do(f"image-delete {id} {queued}")
    assert "404" in do.refused(f"image-show {id}")


def members(do: Glance) -> None:
    id = do.create("shared")
    do(f"member-create {id} {do.project}")
    do(f"member-update {id} {do.project} accepted")
    assert field(do(f"member-get {id} {do.project}"), "status") == "accepted"
    assert do.project in do(f"member-list --image-id {id}")
    do(f"member-delete {id} {do.project}")
    assert do.project not in do(f"member-list --image-id {id}")
    do(f"image-delete {id}")


def imports(do: Glance) -> None:
    assert "import-methods" in do("import-info")
    assert "archive" in do("stores-info")
    assert "weight" in do("stores-info --detail")
    staged = do.empty("staged")
    do(f"image-stage {staged} --file {do.data}")
    do(f"image-import {staged} --import-method glance-direct --stores archive,file")
    assert do.becomes(staged, status="active", stores="archive,file")
    do(f"stores-delete --store archive {staged}")
    assert do.becomes(staged, stores="file")
    fetched = do(f"image-create-via-import --name fetched {BARE} --import-method web-download --uri {do.address}")
    fetched = field(fetched, "id")
    assert do.becomes(fetched, status="active")
    assert "success" in do(f"image-tasks {fetched}")
    do(f"image-import {fetched} --import-method copy-image --all-stores True --allow-failure False")
    assert do.becomes(fetched, stores="archive,file")
    do(f"image-delete {staged} {fetched}")


def tasks(do: Glance) -> None:
    about = {"name": "by-task", "disk_format": "raw", "container_format": "bare"}
    given = {"import_from": do.address, "import_from_format": "raw", "image_properties": about}
    made = field(do(f"task-create --type import --input '{json.dumps(given)}'"), "id")
    assert eventually(lambda: field(do(f"task-show {made}"), "status") == "success", 30)
    assert made in do("task-list --type import --status success")
    (image,) = re.findall(r"([0-9a-f-]{36}) \| by-task", do("image-list"))
    do(f"image-delete {image}")


def locations(do: Glance) -> None:
    id, digest = do.empty("elsewhere"), hashlib.sha512(DATA).hexdigest()
    told = json.dumps({"os_hash_algo": "sha512", "os_hash_value": digest})
    do(f"add-location {id} --url {do.address} --validation-data '{told}'")
    assert do.becomes(id, status="active", stores="web")
    do(f"location-add {id} --url {do.address}?again --metadata '{json.dumps({'at': 'noon'})}'")
    assert "noon" in do(f"image-show {id}")
    do(f"location-update {id} --url {do.address}?again --metadata '{json.dumps({'at': 'night'})}'")
    assert "night" in do(f"image-show {id}")
    do(f"location-delete {id} --url {do.address}?again")
    assert "night" not in do(f"image-show {id}")
    do(f"image-delete {id}")


def caches(do: Glance) -> None:
    id = do.create("hot")
    do(f"cache-queue {id}")
    assert eventually(lambda: re.search(rf"{id} \| cached", do("cache-list")) is not None, 30)
    do(f"cache-nodes-list {id}")
    do("cache-clean")
    do("cache-prune")
    do(f"cache-delete {id}")
    do("cache-clear --target both")
    assert id not in do("cache-list")
    do(f"image-delete {id}")


def namespaces(do: Glance) -> None:
    do("md-namespace-create Ns::Glance --display-name Ours --visibility public")
    assert field(do("md-namespace-update Ns::Glance --display-name Theirs --visibility public"), "display_name") == "Theirs"
    assert field(do("md-namespace-show Ns::Glance"), "display_name") == "Theirs"
    assert "Ns::Glance" in do("md-namespace-list --page-size 5")
    file = do.file("namespace", json.dumps({"namespace": "Ns::File", "objects": [{"name": "o"}], "tags": [{"name": "t"}]}))
    do(f"md-namespace-import --file {file}")
    assert "| o " in do("md-object-list Ns::File")
    do("md-namespace-delete Ns::File")
    do("md-resource-type-associate Ns::Glance --name OS::Nova::Flavor --prefix hw:")
    assert "OS::Nova::Flavor" in do("md-namespace-resource-type-list Ns::Glance")
    do("md-resource-type-deassociate Ns::Glance OS::Nova::Flavor")
    assert "OS::Nova::Flavor" in do("md-resource-type-list")
    parts(do)
    do("md-namespace-delete Ns::Glance")


def parts(do: Glance) -> None:
    """What a namespace has."""
    do("md-property-create Ns::Glance --name p --title P --type string --schema '{}'")
    do("md-property-update Ns::Glance p --name q --title Q")
    assert field(do("md-property-show Ns::Glance q"), "title") == "Q"
    assert "| q " in do("md-property-list Ns::Glance")
    do("md-property-delete Ns::Glance q")
    do("md-namespace-properties-delete Ns::Glance")
    schema = json.dumps({"properties": {"size": {"title": "Size", "type": "integer"}}})
    do(f"md-object-create Ns::Glance --name o --schema '{schema}'")
    do("md-object-update Ns::Glance o --name box")
    assert "size" in do("md-object-show Ns::Glance box")
    assert field(do("md-object-property-show Ns::Glance box size"), "title") == "Size"
    do("md-object-delete Ns::Glance box")
    do("md-namespace-objects-delete Ns::Glance")
    do("md-tag-create Ns::Glance --name t")
    do("md-tag-create-multiple Ns::Glance --names t,u,v")  # in the place of all
    do("md-tag-update Ns::Glance t --name s")
    assert field(do("md-tag-show Ns::Glance s"), "name") == "s"
    assert all(f"| {name} " in do("md-tag-list Ns::Glance") for name in "suv")
    do("md-tag-delete Ns::Glance s")
    do("md-namespace-tags-delete Ns::Glance")


TOPICS: tuple[Callable[[Glance], None], ...] = (images, members, imports, tasks, locations, caches, namespaces)


@pytest.fixture(scope="module")
def told(glance: Glance) -> Iterator[set[str]]:
    """The topics that have been gone through. After the last of all, no command is left out."""
    names: set[str] = set()
    yield names
    if len(names) == len(TOPICS):
        listed = {word for word in glance.session("bash-completion").split() if not word.startswith("-")} - MANNERS
        assert len(listed) > 60
        assert listed - glance.succeeded == set()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_commands(glance: Glance, told: set[str], topic: Callable[[Glance], None]) -> None:
    topic(glance)
    told.add(topic.__name__)
