"""openstacksdk's images, every call that it has, against a whole cloud; metadata definitions are in test_metadef_commands.py."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection
from openstack.exceptions import ForbiddenException, NotFoundException, SDKException
from openstack.image.v2._proxy import Proxy

from journeys.image_settings import STORES, WEB
from networks import eventually
from recorder import Recorder, calls
from running_cloud import ADMIN, DEMO, running_cloud
from web_servers import pages, serving

pytestmark = pytest.mark.filterwarnings(
    *(f"ignore::{name}" for name in ("DeprecationWarning", "PendingDeprecationWarning", "ResourceWarning"))
)  # of the SDK

CALLS = {name for name in calls(Proxy) if "metadef" not in name}
DATA = bytes(range(251)) * 4_000
RAW = {"disk_format": "raw", "container_format": "bare", "allow_duplicates": True}


@dataclass(frozen=True)
class Scene:
    do: Recorder  # as the administrator
    user: Connection
    folder: Path
    address: str  # of a web server that has `DATA`
    project: str  # the user's

    def make(self, name: str, **more: Any) -> Any:
        """An image with `DATA`, whose digests the SDK checks."""
        return self.do.create_image(name, data=DATA, validate_checksum=True, wait=True, **RAW, **more)

    def empty(self, name: str) -> Any:
        return self.do.create_image(name, **RAW)

    def becomes(self, image: Any, **fields: Any) -> bool:
        def now() -> dict[str, Any]:
            got = self.do.get_image(image)
            return {"status": got.status, **got.properties}

        return eventually(lambda: fields.items() <= now().items(), 30)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    folder = tmp_path_factory.mktemp("files")
    with serving(pages(image=DATA)) as server:
        settings = (STORES + WEB).format(port=server.port, folder=folder)
        running = running_cloud(simulated=True, settings=settings)
        with running as cloud, cloud.connect(ADMIN) as admin, cloud.connect(DEMO) as user:
            yield Scene(Recorder(admin.image), user, folder, f"{server.url}/image", str(user.current_project_id))


def bytes_up_and_down(scene: Scene) -> None:
    do, file = scene.do, scene.folder / "data"
    file.write_bytes(DATA)
    made = do.create_image("from-file", filename=str(file), validate_checksum=True, wait=True, **RAW)
    got = do.get_image(made)
    assert (got.status, got.size, got.checksum) == ("active", len(DATA), hashlib.md5(DATA).hexdigest())
    assert got.hash_value == hashlib.sha512(DATA).hexdigest()
    assert do.download_image(made).content == DATA
    with do.download_image(made, stream=True) as reply:
        assert b"".join(reply.iter_content(1000)) == DATA
    do.download_image(made, output=str(scene.folder / "down"), chunk_size=999, store_preferences=["file"])
    assert (scene.folder / "down").read_bytes() == DATA
    into = io.BytesIO()
    do.download_image(made, output=into)
    assert into.getvalue() == DATA
    old = do.upload_image(container_format="bare", disk_format="raw", data=DATA, name="old-way")
    assert do.download_image(old).content == DATA
    wrong = {"md5": "0" * 32, "sha256": "0" * 64}
    with pytest.raises(SDKException):
        do.create_image("wrong", data=DATA, validate_checksum=True, wait=True, **wrong, **RAW)
    for image in (made, old):
        do.delete_image(image, ignore_missing=False)
    with pytest.raises(NotFoundException):
        do.get_image(made.id)


def records(scene: Scene) -> None:
    do = scene.do
    made = scene.make("record", min_disk=1, tags=["a"], meta={"color": "red"})
    assert do.find_image("record").id == made.id
    assert do.find_image("there is none") is None
    assert [one.id for one in do.images(name="record", visibility="shared", sort="name:asc")] == [made.id]
    assert do.update_image(made, name="other", visibility="public", is_protected=True).name == "other"
    assert do.update_image_properties(do.get_image(made), meta={"speed": "fast"}) is True
    got = do.get_image(made)
    assert (got.min_disk, got.tags, got.is_protected, got.properties["speed"]) == (1, ["a"], True, "fast")
    assert got.properties["color"] == "red"
    with pytest.raises(ForbiddenException):
        do.delete_image(made)
    do.update_image(made, is_protected=False)
    do.add_tag(made, "b")
    do.remove_tag(made, "a")
    assert do.get_image(made).tags == ["b"]
    do.deactivate_image(made)
    with pytest.raises(SDKException):  # it holds the digest against the refusal
        scene.user.image.download_image(made.id)
    do.reactivate_image(made)
    assert do.get_image(made).status == "active"
    do.delete_image(made)


def members(scene: Scene) -> None:
    do, who = scene.do, scene.project
    made = scene.make("shared")
    assert do.add_member(made, member_id=who).status == "pending"
    assert scene.user.image.update_member(who, made.id, status="accepted").status == "accepted"
    do.called.add("update_member")  # which the member calls
    assert do.get_member(who, made).status == "accepted"
    assert do.find_member(who, made).member_id == who
    assert [one.member_id for one in do.members(made)] == [who]
    assert made.id in [one.id for one in scene.user.image.images()]
    do.remove_member(who, made, ignore_missing=False)
    assert list(do.members(made)) == []
    do.delete_image(made)


def imports(scene: Scene) -> None:
    do = scene.do
    assert do.get_import_info().import_methods["value"][0] == "glance-direct"
    assert {s.id: s.is_default for s in do.stores() if s.id != "web"} == {"archive": None, "file": True}
    assert {s.id for s in do.stores(details=True) if s.properties} >= {"archive", "file"}
    staged = scene.empty("staged")
    do.stage_image(staged, data=DATA)
    do.import_image(do.get_image(staged), method="glance-direct", stores=["archive", "file"], all_stores_must_succeed=True)
    assert scene.becomes(staged, status="active", stores="archive,file")
    fetched = scene.empty("fetched")
    do.import_image(fetched, method="web-download", uri=scene.address, store="archive")
    assert scene.becomes(fetched, status="active", stores="archive")
    do.import_image(do.get_image(fetched), method="copy-image", stores=["file"])
    assert scene.becomes(fetched, stores="archive,file")
    do.delete_image(fetched, store="file")
    assert do.get_image(fetched).properties["stores"] == "archive"
    direct = scene.make("direct", use_import=True)
    far = scene.empty("far")
    where = {"remote_region": "RegionOne", "remote_image_id": direct.id, "remote_service_interface": "public"}
    do.import_image(far, method="glance-download", **where)
    assert scene.becomes(far, status="active")
    for image in (staged, fetched, direct, far):
        assert do.download_image(image.id).content == DATA
        assert {task.status for task in do.image_tasks(image)} == {"success"}
        do.delete_image(image)


def tasks(scene: Scene) -> None:
    do = scene.do
    about = {"name": "by-task", "disk_format": "raw", "container_format": "bare"}
    given = {"import_from": scene.address, "import_from_format": "raw", "image_properties": about}
    made = do.create_task(type="import", input=given)
    done = do.proxy.wait_for_task(made, interval=0.2, wait=30)
    image = done.result["image_id"]
    assert do.download_image(image).content == DATA
    assert do.get_task(made.id).status == "success"
    assert made.id in [task.id for task in do.tasks(type="import")]
    do.delete_image(image)


def locations(scene: Scene) -> None:
    do = scene.do
    made = scene.empty("elsewhere")
    digest = {"os_hash_algo": "sha512", "os_hash_value": hashlib.sha512(DATA).hexdigest()}
    do.add_image_location(made, scene.address, validation_data=digest)
    assert scene.becomes(made, status="active", stores="web")
    assert [one.url for one in do.image_locations(made)] == [scene.address]
    assert do.download_image(made.id).content == DATA
    do.delete_image(made)


def caches(scene: Scene) -> None:
    do = scene.do
    made = scene.make("cached")
    do.queue_image(made.id)
    assert eventually(lambda: made.id in [one["image_id"] for one in do.get_image_cache().cached_images], 30)
    assert len(do.cached_image_nodes(made)) == 1
    do.cache_delete_image(made.id, ignore_missing=False)
    do.clean_cache()
    assert set(do.prune_cache()) == {"total_files_pruned", "total_bytes_pruned"}
    do.clear_cache("both")
    assert do.get_image_cache().cached_images == []
    do.delete_image(made)


def schemas(scene: Scene) -> None:
    for name in ("image", "images", "member", "members", "task", "tasks"):
        assert getattr(scene.do, f"get_{name}_schema")().properties


TOPICS: tuple[Callable[[Scene], None], ...] = (
    bytes_up_and_down, records, members, imports, tasks, locations, caches, schemas,
)  # fmt: skip


@pytest.fixture(scope="module")
def told(scene: Scene) -> Iterator[set[str]]:
    """The topics that have been gone through. After the last of all, no call is left out."""
    names: set[str] = set()
    yield names
    if len(names) == len(TOPICS):
        assert CALLS - scene.do.called == set()


@pytest.mark.parametrize("topic", TOPICS, ids=lambda topic: topic.__name__)
def test_calls(scene: Scene, told: set[str], topic: Callable[[Scene], None]) -> None:
    topic(scene)
    told.add(topic.__name__)
