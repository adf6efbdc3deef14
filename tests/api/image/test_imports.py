"""Imports as clients ask for them and see them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select, update

from api.image import plugins
from api.image.conftest import ImageCloud
from tiffin.core.http.local import Reply
from tiffin.core.tables import QuotaLimit
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.tables import BlobRow, ImageRow, TaskRow

DATA = b"staged bytes"
MIB = 1 << 20
DIRECT: dict[str, Any] = {"method": {"name": "glance-direct"}}
COPY: dict[str, Any] = {"method": {"name": "copy-image"}}
METHODS = ("glance-direct", "copy-image", "feed")
FEED: dict[str, Any] = {"method": {"name": "feed", "uri": "feed:1"}}


class ReadOnlyStore(MemoryStore):
    kind = "http"
    writable = False


class ImportCloud(ImageCloud):
    """Two stores to write to, one to read from, and a staging place; a method and plug-ins of its operator's own."""

    def __init__(self, *plugs: str, methods: tuple[str, ...] = METHODS, hours: int = 48, **more: Any) -> None:
        plugins.reset()
        imports = {"enabled_import_methods": methods, "image_import_plugins": plugs, "task_time_to_live": hours}
        super().__init__(sections={"image": {"imports": imports}}, **more)
        self.fast, self.slow = MemoryStore(name="fast"), MemoryStore(name="slow", capacity=1000)
        stores = [self.fast, self.slow, ReadOnlyStore(name="web")]
        self.staging = MemoryStore(name="staging")
        self.cloud.add(ImageStores, ImageStores(stores, staging=self.staging))

    def ask_import(self, id: str, body: Any, token: str = "member", **headers: str) -> Reply:
        return self.ask("POST", f"/image/v2/images/{id}/import", token, body, **headers)

    def staged(self, data: bytes = DATA, **image: Any) -> str:
        id: str = self.make(**image)["id"]
        assert self.put(id, data, what="stage").status == 204
        return id

    def tasks(self, id: str, token: str = "member") -> list[dict[str, Any]]:
        reply = self.ask("GET", f"/image/v2/images/{id}/tasks", token)
        assert reply.status == 200, reply.body
        found: list[dict[str, Any]] = reply.json["tasks"]
        return found

    def settle(self) -> None:
        """Until what is refused has been tried often enough."""
        for _ in range(8):
            super().settle()
            self.clock.now += 1.0 if self.waits() else 0.0

    def waits(self) -> bool:
        with self.cloud.database.read() as session:
            busy = select(TaskRow.id).where(TaskRow.status == "processing").limit(1)
            return session.scalar(busy) is not None

    def limit(self, name: str, value: int) -> None:
        with self.cloud.database.write() as session:
            session.add(QuotaLimit(project_id="p1", service="image", resource=name, hard_limit=value))


@pytest.fixture
def stores() -> Iterator[ImportCloud]:
    made = ImportCloud()
    yield made
    made.close()


@pytest.fixture
def plugged() -> Iterator[ImportCloud]:
    made = ImportCloud("turn", "sign")
    yield made
    made.close()


# --- staged bytes ---------------------------------------------------------------------------------------------------------


def test_what_clients_see_of_an_import(stores: ImportCloud) -> None:
    id = stores.staged()
    reply = stores.ask_import(id, {**DIRECT, "all_stores": True})
    assert (reply.status, reply.body) == (202, b"")
    image = stores.show(id)
    (task,) = stores.tasks(id)
    assert image["status"] == "importing"
    assert image["os_glance_import_task"] == task["id"]
    assert (image["os_glance_importing_to_stores"], image["os_glance_failed_import"]) == ("fast,slow", "")
    assert (task["type"], task["status"]) == ("api_image_import", "pending")
    assert task["request_id"] == reply.headers["x-openstack-request-id"]
    assert (task["owner"], task["user_id"], task["image_id"]) == ("p1", "member-id", id)
    asked = {"method": {"name": "glance-direct"}, "all_stores": True}
    assert task["input"] == {"image_id": id, "import_req": asked, "backend": ["fast", "slow"]}
    stores.settle()
    image = stores.show(id)
    assert (image["status"], image["stores"], image["size"]) == ("active", "fast,slow", len(DATA))
    assert (image["os_glance_importing_to_stores"], image["os_glance_failed_import"]) == ("", "")
    assert "os_glance_import_task" not in image
    (task,) = stores.tasks(id)
    assert (task["status"], task["result"], task["message"]) == ("success", {"image_id": id}, "Copied 0 MiB")
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    assert list(stores.staging.keys()) == []


@pytest.mark.parametrize(
    ("body", "headers", "went"),
    [
        (DIRECT, {}, "fast"),
        (DIRECT, {"X_Image_Meta_Store": "slow"}, "slow"),
        ({**DIRECT, "stores": ["slow"]}, {}, "slow"),
        ({**DIRECT, "stores": ["slow"]}, {"X_Image_Meta_Store": "slow"}, "slow"),  # as openstacksdk says it
        ({**DIRECT, "stores": ["slow", "fast", "slow"], "all_stores": False}, {}, "fast,slow"),
    ],
)
def test_where_an_import_goes(stores: ImportCloud, body: Any, headers: dict[str, str], went: str) -> None:
    id = stores.staged()
    assert stores.ask_import(id, body, **headers).status == 202
    stores.settle()
    assert stores.show(id)["stores"] == went


@pytest.mark.parametrize(
    ("body", "headers", "status", "says"),
    [
        ({}, {}, 400, "method"),
        ({"method": {}}, {}, 400, "name"),
        ({"method": "glance-direct"}, {}, 400, "method"),
        ({"method": {"name": "osmosis"}}, {}, 400, "Unknown import method name 'osmosis'."),
        ({"method": {"name": "web-download"}}, {}, 400, "Unknown import method name 'web-download'."),
        ({**DIRECT, "all_stores": "yes"}, {}, 400, "all_stores"),
        ({**DIRECT, "all_stores_must_succeed": 1}, {}, 400, "all_stores_must_succeed"),
        ({**DIRECT, "stores": ["fast"], "all_stores": True}, {}, 400, "All_stores parameter can't be used"),
        ({**DIRECT, "all_stores": True}, {"X_Image_Meta_Store": "fast"}, 400, "All_stores parameter can't be used"),
        ({**DIRECT, "stores": ["fast"]}, {"X_Image_Meta_Store": "slow"}, 400, "can't be both specified"),
        ({**DIRECT, "stores": []}, {}, 400, "at least one store"),
        ({**DIRECT, "stores": ["attic"]}, {}, 409, "attic"),
        ({**DIRECT, "stores": ["web"]}, {}, 409, "web"),
        ({**DIRECT, "stores": ["staging"]}, {}, 409, "staging"),
        (DIRECT, {"X_Image_Meta_Store": "attic"}, 409, "attic"),
        (COPY, {}, 403, "copy_image"),
        ({"method": {"name": "feed", "uri": "bad"}}, {}, 400, "not where bytes are"),
    ],
)
def test_imports_that_cannot_be(
    stores: ImportCloud, body: Any, headers: dict[str, str], status: int, says: str
) -> None:
    id = stores.make()["id"] if "feed" in str(body) else stores.staged()
    before = stores.show(id)
    reply = stores.ask_import(id, body, **headers)
    assert (reply.status, says in reply.json["message"]) == (status, True), reply.body
    assert stores.show(id) == before
    assert stores.tasks(id) == []


def test_an_image_has_to_be_ready_for_its_import(stores: ImportCloud) -> None:
    queued, bare, active = stores.make()["id"], stores.ask("POST", "/image/v2/images", json={}).json["id"], stores.active()["id"]
    assert "staged before" in stores.ask_import(queued, DIRECT).json["message"]
    assert "'container_format' needs to be set" in stores.ask_import(bare, FEED).json["message"]
    assert "status active cannot be target" in stores.ask_import(active, DIRECT).json["message"]
    assert "Only images with status active" in stores.ask_import(queued, COPY, "admin").json["message"]
    assert [stores.ask_import(id, DIRECT).status for id in (queued, bare, active)] == [409, 409, 409]
    assert stores.ask_import(queued, COPY, "admin").status == 409
    assert stores.ask_import(stores.cloud.world.new_id(), DIRECT).status == 404


def test_one_import_at_a_time(stores: ImportCloud) -> None:
    id = stores.staged()
    assert stores.ask_import(id, DIRECT).status == 202
    again = stores.ask_import(id, DIRECT)
    assert (again.status, "prior operation is still in progress" in again.json["message"]) == (409, True)
    assert len(stores.tasks(id)) == 1


def test_bytes_that_are_something_else_can_be_staged_again(stores: ImportCloud) -> None:
    id = stores.staged(b"not a qcow2", disk_format="qcow2")
    assert stores.ask_import(id, DIRECT).status == 202
    stores.settle()
    image = stores.show(id)
    assert (image["status"], image["size"], image["checksum"]) == ("queued", None, None)
    assert image["os_glance_failed_import"] == "fast"
    (task,) = stores.tasks(id)
    assert (task["status"], task["result"]) == ("failure", None)
    assert task["message"] == "Image content is raw, which does not match disk_format qcow2."
    assert [list(s.keys()) for s in (stores.fast, stores.slow, stores.staging)] == [[], [], []]
    assert stores.patch(id, [{"op": "replace", "path": "/disk_format", "value": "raw"}]).status == 200
    assert stores.put(id, DATA, what="stage").status == 204
    stores.clock.now += 1
    assert stores.ask_import(id, DIRECT).status == 202
    stores.settle()
    assert (stores.show(id)["status"], stores.show(id)["os_glance_failed_import"]) == ("active", "")
    assert [task["status"] for task in stores.tasks(id)] == ["failure", "success"]


@pytest.mark.parametrize(("must", "status", "where"), [(True, "queued", None), (False, "active", "fast")])
def test_a_store_that_is_full(stores: ImportCloud, must: bool, status: str, where: str | None) -> None:
    id = stores.staged(bytes(2000))
    assert stores.ask_import(id, {**DIRECT, "all_stores": True, "all_stores_must_succeed": must}).status == 202
    for _ in range(12):
        stores.settle()
    image = stores.show(id)
    assert (image["status"], image.get("stores"), image["os_glance_failed_import"]) == (status, where, "slow")
    assert image["os_glance_importing_to_stores"] == ""
    (task,) = stores.tasks(id)
    assert task["status"] == ("failure" if must else "success")
    if must:
        assert "not enough room" in task["message"]
    assert len(list(stores.fast.keys())) == (0 if must else 1)
    assert list(stores.staging.keys()) == []


def test_an_image_is_active_as_soon_as_it_may_be(stores: ImportCloud) -> None:
    """When not every store has to succeed, the first one is enough; else all are waited for."""
    id = stores.staged(bytes(2000))
    stores.ask_import(id, {**DIRECT, "all_stores": True, "all_stores_must_succeed": False})
    ImageCloud.settle(stores)
    image = stores.show(id)
    assert (image["status"], image["stores"], image["os_glance_importing_to_stores"]) == ("active", "fast", "slow")


# --- copies ---------------------------------------------------------------------------------------------------------------


def test_a_copy_to_every_store_that_does_not_have_the_image(stores: ImportCloud) -> None:
    id = stores.active(DATA)["id"]
    assert stores.ask_import(id, {**COPY, "all_stores": True}, "admin").status == 202
    image = stores.show(id)
    assert (image["status"], image["os_glance_importing_to_stores"]) == ("active", "slow")
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == DATA  # it stays what it was
    stores.settle()
    image = stores.show(id)
    assert (image["stores"], image["os_glance_importing_to_stores"]) == ("fast,slow", "")
    assert stores.ask_import(id, {**COPY, "all_stores": True}, "admin").status == 202  # there is nothing to do
    assert len(stores.tasks(id)) == 1
    there = stores.ask_import(id, {**COPY, "stores": ["slow"]}, "admin")
    assert (there.status, there.json["message"]) == (400, "Image is already present at store 'slow'")


def test_a_copy_that_fails_leaves_the_image_as_it_was(stores: ImportCloud) -> None:
    id = stores.active(bytes(2000))["id"]
    assert stores.ask_import(id, {**COPY, "stores": ["slow"]}, "admin").status == 202
    for _ in range(12):
        stores.settle()
    image = stores.show(id)
    assert (image["status"], image["stores"], image["size"]) == ("active", "fast", 2000)
    assert image["os_glance_failed_import"] == "slow"
    assert stores.tasks(id)[0]["status"] == "failure"


def test_the_default_is_the_default_store(stores: ImportCloud) -> None:
    id = stores.active(DATA)["id"]
    assert stores.ask_import(id, COPY, "admin").json["message"] == "Image is already present at store 'fast'"


# --- bytes from elsewhere ---------------------------------------------------------------------------------------------------


def test_bytes_that_a_method_fetches(plugged: ImportCloud) -> None:
    plugins.feed.announced = {"properties": {"fed": "yes"}, "size": 9}
    id = plugged.make(kept="as it was")["id"]
    assert plugged.ask_import(id, FEED).status == 202
    assert plugged.tasks(id)[0]["input"]["import_req"] == FEED
    with plugged.cloud.database.read() as session:
        kept = session.scalar(select(TaskRow.secret))
    assert kept is not None
    assert b"the token" not in kept
    plugged.settle()
    image = plugged.show(id)
    assert (image["status"], image["fed"], image["kept"]) == ("active", "yes", "as it was")
    assert image["signed"] == "for p1 in member,reader"
    assert plugged.ask("GET", f"/image/v2/images/{id}/file").body == b"fed bytes"[::-1]
    assert [given.secret for given in plugins.feed.opened] == ["the token"]
    with plugged.cloud.database.read() as session:
        assert session.scalar(select(TaskRow.secret)) is None
        assert [blob.role for blob in session.scalars(select(BlobRow))] == ["data"]


def test_a_source_says_what_its_bytes_are(stores: ImportCloud) -> None:
    plugins.feed.announced = {"disk_format": "raw", "container_format": "bare"}
    id = stores.make(disk_format="iso", container_format="ovf")["id"]
    stores.ask_import(id, FEED)
    stores.settle()
    image = stores.show(id)
    assert (image["status"], image["disk_format"], image["container_format"]) == ("active", "raw", "bare")
    assert image["virtual_size"] == 9  # an iso has none that counts


@pytest.mark.parametrize(("size", "says"), [(8, "9 bytes"), (10, "9 bytes")])
def test_a_source_that_lies_about_its_size(stores: ImportCloud, size: int, says: str) -> None:
    plugins.feed.announced = {"size": size}
    id = stores.make()["id"]
    stores.ask_import(id, FEED)
    stores.settle()
    assert (stores.show(id)["status"], stores.show(id)["os_glance_failed_import"]) == ("queued", "fast")
    assert says in stores.tasks(id)[0]["message"]
    assert list(stores.staging.keys()) == []


def test_a_plug_in_that_fails(plugged: ImportCloud) -> None:
    plugins.turn.fails = "It cannot be turned."
    id = plugged.staged()
    plugged.ask_import(id, DIRECT)
    plugged.settle()
    assert plugged.show(id)["status"] == "queued"
    assert plugged.tasks(id)[0]["message"] == "It cannot be turned."
    assert list(plugged.staging.keys()) == []


def test_progress_is_told_and_a_deletion_is_seen_in_the_middle(stores: ImportCloud) -> None:
    id = stores.make()["id"]
    said: list[str] = []
    closed: list[bool] = []

    def chunks() -> Iterator[bytes]:
        try:
            for _ in range(3):
                yield bytes(MIB)
                stores.clock.now += 6
                said.append(stores.tasks(id)[0]["message"])
            assert stores.ask("DELETE", f"/image/v2/images/{id}").status == 204
            yield bytes(MIB)
            stores.clock.now += 6
            yield b"nobody wants this"
            raise AssertionError("it goes on")
        finally:
            closed.append(True)

    plugins.feed.chunks = chunks
    stores.ask_import(id, FEED)
    stores.settle()
    assert said == ["", "Copied 2 MiB", "Copied 3 MiB"]
    assert closed == [True]
    assert list(stores.staging.keys()) == []
    with stores.cloud.database.read() as session:
        task = session.scalars(select(TaskRow)).one()
        assert session.scalars(select(ImageRow)).all() == []
    assert (task.status, "deleted" in task.message) == ("failure", True)


# --- who and how much -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("token", "direct", "copied"),
    [
        ("admin", 202, 202),
        ("manager", 202, 403),
        ("member", 202, 403),
        ("member2", 202, 403),
        ("reader", 403, 403),
        ("other", 403, 403),
        ("service", 404, 404),  # without a role that reads, it is not there
        ("nobody", 404, 404),
        ("stranger", 401, 401),
    ],
)
def test_who_may_import(stores: ImportCloud, token: str, direct: int, copied: int) -> None:
    staged, active = stores.staged(visibility="community"), stores.active(visibility="community")["id"]
    assert stores.ask_import(staged, DIRECT, token).status == direct
    assert stores.ask_import(active, {**COPY, "all_stores": True}, token).status == copied


def test_an_image_of_others_is_not_there(stores: ImportCloud) -> None:
    id = stores.staged(visibility="private")
    assert stores.ask_import(id, DIRECT, "other").status == 404


def test_an_operator_may_let_owners_copy(tmp_path: Any) -> None:
    (tmp_path / "image.yaml").write_text('copy_image: "role:member and project_id:%(project_id)s"\n')
    cloud = ImportCloud(policy_folder=tmp_path)
    id = cloud.active(visibility="community")["id"]
    assert cloud.ask_import(id, {**COPY, "all_stores": True}, "other").status == 403
    assert cloud.ask_import(id, {**COPY, "all_stores": True}).status == 202
    cloud.close()


def test_quotas_hold_for_imports(stores: ImportCloud) -> None:
    stores.limit("image_size_total", 2)
    id = stores.staged(bytes(3 * MIB))
    over = stores.ask_import(id, DIRECT)
    assert (over.status, stores.show(id)["status"]) == (413, "uploading")
    plugins.feed.chunks = lambda: (bytes(MIB) for _ in range(3))
    fed = stores.make()["id"]
    assert stores.ask_import(fed, FEED).status == 202  # how much will come nobody knows
    stores.settle()
    assert stores.show(fed)["status"] == "queued"
    assert "larger than the 2097152 bytes" in stores.tasks(fed)[0]["message"]
    stores.limit("image_count_uploading", 1)
    assert stores.ask_import(fed, FEED).status == 413


def test_what_an_import_sets_is_the_services_own(stores: ImportCloud) -> None:
    id = stores.staged()
    stores.ask_import(id, DIRECT)
    for op in ("add", "replace", "remove"):
        edit = {"op": op, "path": "/os_glance_import_task", "value": "x"}
        assert stores.patch(id, [edit]).status == 403
    stores.settle()
    assert stores.patch(id, [{"op": "add", "path": "/mine", "value": "x"}]).status == 200
    assert stores.show(id)["os_glance_importing_to_stores"] == ""


def test_the_methods_and_stores_are_told(stores: ImportCloud) -> None:
    found = stores.ask("GET", "/image/v2/info/import").json["import-methods"]
    assert (found["type"], found["value"]) == ("array", ["glance-direct", "copy-image", "feed"])
    made = stores.ask("POST", "/image/v2/images", json={"name": "x"})
    assert made.headers["openstack-image-import-methods"] == "glance-direct,copy-image,feed"
    assert made.headers["openstack-image-store-ids"] == "fast,slow,web"


def test_the_staged_bytes_are_gone(stores: ImportCloud) -> None:
    """A death of the disk, say; the import says so and the image can be tried again."""
    id = stores.staged()
    stores.ask_import(id, DIRECT)
    with stores.cloud.database.write() as session:
        session.execute(update(BlobRow).values(role="gone"))
    stores.settle()
    assert (stores.show(id)["status"], stores.tasks(id)[0]["message"]) == ("queued", "The staged bytes are not there any more.")
