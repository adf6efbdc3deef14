"""Several stores: what is told of them, and a copy that is given up."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from api.image.conftest import ImageCloud
from tiffin.core.changes import Origin
from tiffin.core.driver import Refused
from tiffin.core.settings import SettingsError, section
from tiffin.main import _image_stores
from tiffin.services.image import uploads
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.files import FileStore
from tiffin.services.image.drivers.rbd import RbdStore
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import ImageRow


class Awkward(MemoryStore):
    """A store some of whose bytes others live on, or that does not answer."""

    used = silent = False

    def in_use(self, key: str) -> bool:
        return self.facts() == {} or self.used

    def facts(self) -> dict[str, object]:
        if self.silent:
            raise Refused("The cluster does not answer.")
        return {"pool": "images"}


class StoresCloud(ImageCloud):
    def __init__(self) -> None:
        super().__init__()
        self.fast = Awkward(name="fast", description="")
        self.cloud.add(ImageStores, ImageStores([self.store, self.fast], weights={"fast": 100}))

    def copy(self, id: str, store: str = "fast") -> None:
        """What an import by copy-image does."""
        place = self.cloud.part(ImageStores).get(self.show(id, "admin")["stores"].split(",")[0])
        with self.cloud.database.write() as session:
            image = session.get_one(ImageRow, id)
            origin = Origin(self.clock.now, "req-1", None, "p1")
            claim = uploads.claim(session, self.cloud, image, origin, purpose="copy", store=store)
        key = next(iter(place.keys()))
        uploads.bring(self.cloud, claim, place.read(key))
        self.settle()

    def give_up(self, id: str, store: str = "memory", token: str = "admin") -> int:
        reply = self.ask("DELETE", f"/image/v2/stores/{store}/{id}", token)
        self.settle()
        return reply.status


@pytest.fixture
def stores() -> Iterator[StoresCloud]:
    made = StoresCloud()
    yield made
    made.close()


def test_what_everybody_is_told(stores: StoresCloud) -> None:
    for token in ("member", "reader", "other", "admin", "service"):
        assert stores.ask("GET", "/image/v2/info/stores", token).json == {
            "stores": [
                {"id": "memory", "description": "The memory of this process.", "default": "true"},
                {"id": "fast"},
            ]
        }
    assert stores.ask("GET", "/image/v2/info/stores", None).status == 401


def test_what_administrators_and_services_are_told(stores: StoresCloud) -> None:
    for token in ("admin", "service"):
        found = stores.ask("GET", "/image/v2/info/stores/detail", token).json["stores"]
        assert found[0]["type"] == "memory"
        assert found[0]["weight"] == 0
        assert found[1] == {"id": "fast", "type": "memory", "weight": 100, "properties": {"pool": "images"}}
    for token in ("manager", "member", "reader", "other", "nobody"):
        assert stores.ask("GET", "/image/v2/info/stores/detail", token).status == 403


def test_a_store_that_does_not_answer_hides_no_other(stores: StoresCloud) -> None:
    stores.fast.silent = True
    found = stores.ask("GET", "/image/v2/info/stores/detail", "admin").json["stores"]
    assert found[0]["properties"]["capacity"]
    assert found[1]["properties"] == {"problem": "The cluster does not answer."}


def test_the_heaviest_store_is_named_and_read_first(stores: StoresCloud) -> None:
    id = stores.active(b"bytes")["id"]
    assert stores.show(id)["stores"] == "memory"
    stores.copy(id)
    assert stores.show(id)["stores"] == "fast,memory"
    stores.fast._kept = dict.fromkeys(stores.fast._kept, b"fast!")
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == b"fast!"


def test_a_client_may_prefer_a_store(stores: StoresCloud) -> None:
    id = stores.active(b"bytes", visibility="private")["id"]
    stores.copy(id)
    stores.fast._kept = dict.fromkeys(stores.fast._kept, b"fast!")
    file = f"/image/v2/images/{id}/file"
    for prefer, body in (("memory", b"bytes"), ("nowhere,memory,fast", b"bytes"), ("nowhere", b"fast!"), ("", b"fast!")):
        assert stores.ask("GET", f"{file}?prefer={prefer}").body == body
    for token, status in (("admin", 200), ("manager", 200), ("reader", 403), ("other", 404), ("nobody", 404)):
        assert stores.ask("GET", f"{file}?prefer=memory", token).status == status


def test_a_copy_is_given_up_and_its_bytes_go(stores: StoresCloud) -> None:
    id = stores.active(b"bytes")["id"]
    stores.copy(id)
    assert stores.give_up(id) == 204
    assert stores.show(id)["stores"] == "fast"
    assert (len(list(stores.store.keys())), len(list(stores.fast.keys()))) == (0, 1)
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == b"bytes"
    assert stores.give_up(id, "fast") == 403
    assert stores.give_up(id, "memory") == 403
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == b"bytes"


def test_equal_images_give_up_their_copies_one_by_one(stores: StoresCloud) -> None:
    one, two = stores.active(b"same")["id"], stores.active(b"same")["id"]
    stores.copy(one)
    stores.copy(two)
    assert (len(list(stores.store.keys())), len(list(stores.fast.keys()))) == (1, 1)
    assert stores.give_up(one) == 204
    assert len(list(stores.store.keys())) == 1
    assert stores.ask("GET", f"/image/v2/images/{two}/file").body == b"same"
    assert stores.give_up(two) == 204
    assert list(stores.store.keys()) == []
    for id in (one, two):
        assert stores.ask("GET", f"/image/v2/images/{id}/file").body == b"same"
        assert stores.ask("DELETE", f"/image/v2/images/{id}").status == 204
        stores.settle()
    assert list(stores.fast.keys()) == []


def test_what_cannot_be_given_up(stores: StoresCloud) -> None:
    id = stores.active(b"bytes")["id"]
    assert stores.give_up(id, "slow") == 409
    assert stores.give_up("8a6a5f3c-0000-4000-8000-000000000000") == 404
    assert stores.give_up(id, "fast") == 403  # it is in one store only
    stores.copy(id)
    assert stores.ask("POST", f"/image/v2/images/{id}/actions/deactivate", "admin").status == 204
    assert stores.give_up(id) == 409
    assert stores.show(id)["stores"] == "fast,memory"


def test_a_copy_that_is_not_there(stores: StoresCloud) -> None:
    third = MemoryStore(name="third")
    stores.cloud.add(ImageStores, ImageStores([stores.store, stores.fast, third]))
    id = stores.active(b"bytes")["id"]
    stores.copy(id)
    reply = stores.ask("DELETE", f"/image/v2/stores/third/{id}", "admin")
    assert (reply.status, "is not stored in store third" in reply.json["message"]) == (404, True)


def test_who_may_give_up_a_copy(stores: StoresCloud) -> None:
    id = stores.active(b"bytes", visibility="shared")["id"]
    stores.copy(id)
    for token in ("manager", "member", "reader"):
        assert stores.give_up(id, token=token) == 403
    for token in ("other", "service", "nobody"):
        assert stores.give_up(id, token=token) == 404
    assert stores.show(id)["stores"] == "fast,memory"


def test_what_others_live_on_is_not_deleted(stores: StoresCloud) -> None:
    id = stores.active(b"bytes")["id"]
    stores.copy(id)
    stores.fast.used = True
    for method, url in (("DELETE", f"/image/v2/images/{id}"), ("DELETE", f"/image/v2/stores/fast/{id}")):
        reply = stores.ask(method, url, "admin")
        assert (reply.status, "because it is in use" in reply.json["message"]) == (409, True)
    stores.fast.silent = True
    assert stores.ask("DELETE", f"/image/v2/images/{id}").status == 503
    assert stores.show(id)["stores"] == "fast,memory"
    assert stores.give_up(id, "memory") == 204  # the other one is not asked
    stores.fast.used = stores.fast.silent = False
    assert stores.ask("DELETE", f"/image/v2/images/{id}").status == 204


def test_the_other_copy_is_read_when_a_store_does_not_answer(stores: StoresCloud) -> None:
    id = stores.active(b"bytes")["id"]
    stores.copy(id)

    def refuse(key: str, start: int = 0, length: int | None = None) -> Iterator[bytes]:
        raise Refused("The cluster does not answer.")

    stores.fast.read = refuse  # type: ignore[method-assign]
    assert stores.ask("GET", f"/image/v2/images/{id}/file").body == b"bytes"
    stores.store.read = refuse  # type: ignore[method-assign]
    assert stores.ask("GET", f"/image/v2/images/{id}/file").status == 503


TABLE = {
    "cheap": {"kind": "file", "folder": "/srv/cheap", "description": "Disks that turn.", "default": True},
    "ceph": {"kind": "rbd", "pool": "images", "user": "glance", "weight": 10},
    "web": {"kind": "http"},
    "wait": {"kind": "file", "folder": "/srv/wait", "staging": True},
}


def settings(stores: object) -> Settings:
    return section({"image": {"stores": stores}}, "image", Settings)


def test_stores_are_made_from_settings(tmp_path: Path) -> None:
    folders = {"cheap": str(tmp_path), "wait": str(tmp_path / "w")}
    table = {**TABLE, **{name: {**TABLE[name], "folder": folder} for name, folder in folders.items()}}
    made = _image_stores(tmp_path / "home", settings(table))
    assert (made.names(), made.default, made.staging.name) == (["cheap", "ceph", "web"], "cheap", "wait")
    assert [(s.kind, s.writable) for s in made] == [("file", True), ("rbd", True), ("http", False)]
    assert made.get("cheap").description == "Disks that turn."
    ceph = made.get("ceph")
    assert isinstance(ceph, RbdStore)
    assert (ceph.account.pool, ceph.account.user, made.weight("ceph")) == ("images", "glance", 10)
    cheap = made.get("cheap")
    assert isinstance(cheap, FileStore)
    assert cheap.folder == tmp_path / "tiffin-images"
    assert made.reading("https://example.org/a") is made.get("web")
    assert made.reading("rbd://a/b/c/d") is None
    own = _image_stores(tmp_path / "home", settings({"file": {"kind": "file", "default": True}})).get("file")
    assert isinstance(own, FileStore)
    assert own.folder == tmp_path / "home" / "images"
    alone = _image_stores(tmp_path / "home", Settings())
    assert (alone.names(), alone.staging.name) == (["file"], "file")


@pytest.mark.parametrize(
    ("stores", "word"),
    [
        ({"a": {"kind": "file", "folder": "/srv/a"}}, "default"),
        ({n: {"kind": "file", "folder": f"/srv/{n}", "default": True} for n in ("a", "b")}, "default"),
        ({"a": {"kind": "file", "folder": "srv", "default": True}}, "absolute"),
        ({"a": {"kind": "file", "default": True}, "b": {"kind": "file"}}, "same folder"),
        ({"a": {"kind": "rbd", "default": True}}, "pool"),
        ({"a": {"kind": "http", "default": True}}, "read only"),
        ({"a": {"kind": "swift", "default": True}}, "swift"),
        ({"a/b": {"kind": "file", "folder": "/srv/a", "default": True}}, "regex"),
        ({"a": {"kind": "file", "folder": "/srv/a", "default": True, "fodler": "/srv"}}, "fodler"),
        ({**TABLE, "more": {"kind": "file", "folder": "/srv/m", "staging": True}}, "staging"),
    ],
)
def test_settings_that_cannot_be_meant(stores: object, word: str) -> None:
    with pytest.raises(SettingsError, match=word):
        settings(stores)
