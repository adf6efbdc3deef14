"""Locations: what is shown of them, what clients may say, by a patch of old and by the API of their own."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterator
from typing import Any

import pytest
from msgspec.structs import replace

from api.image.conftest import ImageCloud
from support import PERSONAS
from tiffin.core.errors import BadRequest
from tiffin.core.http.local import Reply
from tiffin.core.quota import Quota
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.http import HttpStore
from tiffin.services.image.public import bootable
from tiffin.services.image.settings import Locations, Settings
from tiffin.services.image.web import WebReader, WebRules
from web_servers import pages, serving

DATA = b"what is on another server" * 100
SHA512, SHA256, MD5 = (hashlib.new(name, DATA).hexdigest() for name in ("sha512", "sha256", "md5"))


class LocationsCloud(ImageCloud):
    """A cloud with a store of the kind http, and a server that it may read."""

    def __init__(self, url: str, rules: WebRules, **switches: bool) -> None:
        super().__init__()
        self.url = f"{url}/image"
        service = self.cloud.service("image")
        settings: Settings = service.settings
        imports = replace(settings.imports, locations=Locations(**{"show_multiple_locations": True, **switches}))
        settings = replace(settings, web=rules, imports=imports)
        self.cloud._services["image"] = dataclasses.replace(service, settings=settings)
        self.web = HttpStore(WebReader(rules, settings.limits.bytes), name="web")
        self.cloud.add(ImageStores, ImageStores([self.store, self.web]))

    def add(self, id: str, url: str | None = None, token: str = "member", **more: Any) -> Reply:
        reply = self.ask("POST", f"/image/v2/images/{id}/locations", token, {"url": url or self.url, **more})
        self.settle()
        return reply

    def patched(self, id: str, op: str, path: str, value: Any = None, token: str = "member") -> Reply:
        edit = {"op": op, "path": path} | ({} if op == "remove" else {"value": value})
        reply = self.patch(id, [edit], token)
        self.settle()
        return reply

    def old(self, **location: Any) -> str:
        """An image that was given its location in the old way."""
        id = str(self.make()["id"])
        assert self.patched(id, "add", "/locations/-", {"url": self.url, "metadata": {}, **location}).status == 200
        return id

    def task(self, id: str) -> dict[str, Any]:
        tasks: list[dict[str, Any]] = self.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"]
        assert [task["type"] for task in tasks] == ["location_import"] * len(tasks)
        return tasks[-1]

    def urls(self, id: str) -> list[str]:
        return [location["url"] for location in self.show(id)["locations"]]


def made(**switches: bool) -> Iterator[LocationsCloud]:
    with serving(pages(image=DATA, empty=b"")) as server:
        cloud = LocationsCloud(server.url, server.rules(), **switches)
        yield cloud
        cloud.close()


@pytest.fixture
def cloud() -> Iterator[LocationsCloud]:
    yield from made()


@pytest.fixture
def hidden() -> Iterator[LocationsCloud]:
    """As upstream has it unless it is switched on."""
    yield from made(show_multiple_locations=False)


@pytest.fixture
def trusting() -> Iterator[LocationsCloud]:
    yield from made(do_secure_hash=False, show_image_direct_url=True)


# --- the API of their own -------------------------------------------------------------------------------------------------


def test_an_image_is_made_of_what_is_at_an_address(hidden: LocationsCloud) -> None:
    id = hidden.make()["id"]
    assert hidden.add(id).status == 202
    image = hidden.show(id)
    assert (image["status"], image["size"], image["stores"]) == ("active", len(DATA), "web")
    assert (image["os_hash_algo"], image["os_hash_value"], image["checksum"]) == ("sha512", SHA512, MD5)
    assert image["virtual_size"] == len(DATA)
    assert not {"locations", "direct_url"} & image.keys()
    assert hidden.task(id)["status"] == "success"
    assert hidden.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    part = hidden.ask("GET", f"/image/v2/images/{id}/file", Range="bytes=5-9")
    assert (part.status, part.body) == (206, DATA[5:10])
    assert list(hidden.store.keys()) == []


@pytest.mark.parametrize(("algorithm", "value"), [("sha512", SHA512), ("sha256", SHA256.upper())])
def test_digests_that_are_right(hidden: LocationsCloud, algorithm: str, value: str) -> None:
    id = hidden.make()["id"]
    assert hidden.add(id, validation_data={"os_hash_algo": algorithm, "os_hash_value": value}).status == 202
    image = hidden.show(id)
    assert (image["status"], image["os_hash_algo"], image["os_hash_value"]) == ("active", algorithm, value.lower())
    assert image["checksum"] == MD5


@pytest.mark.parametrize("wrong", [{"os_hash_value": "be" * 64}, {"checksum": "be" * 16}])
def test_digests_that_are_wrong(hidden: LocationsCloud, wrong: dict[str, str]) -> None:
    id = hidden.make()["id"]
    told = {"os_hash_algo": "sha512", "os_hash_value": SHA512, **wrong}
    assert hidden.add(id, validation_data=told).status == 202
    image, task = hidden.show(id), hidden.task(id)
    assert (image["status"], image["size"], image["os_hash_algo"], image["checksum"]) == ("queued", None, None, None)
    assert image["stores"] == "web"  # upstream leaves it there
    assert (task["status"], "digest of the data is" in task["message"]) == ("failure", True)
    assert hidden.ask("GET", f"/image/v2/images/{id}/file").status == 204  # but nobody reads it
    assert hidden.add(id).status == 202
    assert (hidden.show(id)["status"], hidden.show(id)["os_hash_value"]) == ("active", SHA512)
    assert len(hidden.ask("GET", f"/image/v2/images/{id}/locations", "admin").json) == 1


def test_an_upload_after_a_location_that_failed(hidden: LocationsCloud) -> None:
    id = hidden.make()["id"]
    hidden.add(id, validation_data={"os_hash_algo": "sha512", "os_hash_value": "be" * 64})
    assert hidden.put(id, b"uploaded").status == 204
    assert (hidden.show(id)["stores"], hidden.show(id)["size"]) == ("memory", 8)
    assert hidden.ask("GET", f"/image/v2/images/{id}/file").body == b"uploaded"


@pytest.mark.parametrize(
    "told",
    [
        {"os_hash_algo": "sha512", "os_hash_value": "be"},
        {"os_hash_algo": "sha512", "os_hash_value": "x" * 128},
        {"os_hash_algo": "sha512", "os_hash_value": SHA256},
        {"os_hash_algo": "sha123", "os_hash_value": SHA512},
        {"os_hash_algo": "md5", "os_hash_value": MD5},
        {"os_hash_value": SHA512},
        {"os_hash_algo": "sha512"},
        {"os_hash_algo": "sha512", "os_hash_value": SHA512, "checksum": "x" * 32},
        {"os_hash_algo": "sha512", "os_hash_value": SHA512, "more": "x"},
        {"os_hash_algo": 5, "os_hash_value": SHA512},
    ],
)
def test_digests_that_are_none(hidden: LocationsCloud, told: dict[str, Any]) -> None:
    id = hidden.make()["id"]
    assert hidden.add(id, validation_data=told).status == 400
    assert hidden.show(id)["status"] == "queued"


@pytest.mark.parametrize(
    "url",
    [
        *("file:///etc/passwd", "memory://memory/KEY", "rbd://a/images/tiffin-x/snap", "gopher://info.cern.ch", "swift://x"),
        *("http://169.254.169.254/latest", "http://10.0.0.1/a", "http://localhost/a", "http://127.0.0.1:22/", "http://user@x.org/"),
        *("http://", "x", "http://example.org/" + "a" * 250, "http://exa mple.org/"),
    ],
)
def test_addresses_that_are_not_read(cloud: LocationsCloud, url: str) -> None:
    own = cloud.active(b"somebody's secret", "other")["id"]
    url = url.replace("KEY", next(iter(cloud.store.keys())))
    id = cloud.make()["id"]
    assert cloud.add(id, url).status == 400
    assert cloud.patched(id, "add", "/locations/-", {"url": url, "metadata": {}}).status == 400
    assert cloud.patched(id, "replace", "/locations", [{"url": url, "metadata": {}}]).status == 400
    assert (cloud.show(id)["status"], cloud.show(id)["locations"]) == ("queued", [])
    assert cloud.show(own, "other")["status"] == "active"


@pytest.mark.parametrize("page", ["nothing", "empty"])
def test_nothing_is_at_the_address(cloud: LocationsCloud, page: str) -> None:
    id, url = cloud.make()["id"], cloud.url.replace("image", page)
    assert cloud.add(id, url).status == 202
    assert (cloud.show(id)["status"], cloud.task(id)["status"]) == ("queued", "failure")
    assert "stores" not in cloud.show(id)
    assert cloud.patched(id, "add", "/locations/-", {"url": url, "metadata": {}}).status == 400


def test_what_is_hostile_is_never_booted(hidden: LocationsCloud) -> None:
    """Bytes that are not what the image says give it no digest, and hosts take nothing without one."""
    id = hidden.make(disk_format="qcow2")["id"]
    assert hidden.add(id).status == 202
    image, task = hidden.show(id), hidden.task(id)
    assert (image["status"], image["os_hash_algo"], image["os_hash_value"]) == ("active", None, None)
    assert "does not match disk_format qcow2" in task["message"]
    with hidden.cloud.database.read() as session, pytest.raises(BadRequest, match="no SHA-512"):
        bootable(session, PERSONAS["member"], id)


def test_only_what_is_queued_takes_a_location(hidden: LocationsCloud) -> None:
    id = hidden.active(b"bytes")["id"]
    assert hidden.add(id).status == 409
    assert hidden.add("8a6a5f3c-0000-4000-8000-000000000000").status == 404
    bare = hidden.ask("POST", "/image/v2/images", json={"name": "no formats"}).json["id"]
    assert hidden.add(bare).status == 400
    assert hidden.add(hidden.make()["id"], metadata={"a": "x" * 17_000}).status == 400


def test_who_may_add_and_who_may_see(hidden: LocationsCloud) -> None:
    for token in ("reader", "nobody", "other"):
        assert hidden.add(hidden.make()["id"], token=token).status in (403, 404)
    for token in ("member", "manager", "admin"):
        assert hidden.add(hidden.make()["id"], token=token).status == 202
    id = hidden.make(visibility="public", token="admin")["id"]
    assert hidden.add(id, token="member").status == 403
    assert hidden.add(id, token="service", metadata={"a": "b", "store": "not yours to say"}).status == 202
    known = [{"url": hidden.url, "metadata": {"a": "b", "store": "web"}}]
    for token in ("admin", "service"):
        assert hidden.ask("GET", f"/image/v2/images/{id}/locations", token).json == known
    for token in ("member", "manager", "reader", "nobody", "other"):
        assert hidden.ask("GET", f"/image/v2/images/{id}/locations", token).status in (403, 404)


def test_services_see_where_bytes_of_ours_are(hidden: LocationsCloud) -> None:
    id = hidden.active(b"bytes")["id"]
    key = next(iter(hidden.store.keys()))
    known = [{"url": f"memory://memory/{key}", "metadata": {"store": "memory"}}]
    assert hidden.ask("GET", f"/image/v2/images/{id}/locations", "admin").json == known


def test_digests_are_trusted_where_the_operator_says_so(trusting: LocationsCloud) -> None:
    one, two = trusting.make()["id"], trusting.make()["id"]
    told = {"os_hash_algo": "sha256", "os_hash_value": SHA256}
    assert trusting.add(one, validation_data=told).status == 202
    assert trusting.add(two).status == 202
    image, bare = trusting.show(one), trusting.show(two)
    assert (image["status"], image["os_hash_value"], image["checksum"]) == ("active", SHA256, None)
    assert (bare["status"], bare["size"], bare["os_hash_algo"]) == ("active", len(DATA), None)
    assert image["direct_url"] == trusting.url


def test_a_quota_that_the_bytes_do_not_fit(hidden: LocationsCloud) -> None:
    quotas = hidden.cloud.service("image").quotas
    hidden.cloud.quotas("image").quotas = {**quotas, "image_size_total": Quota("image_size_total", 0, lambda s, p: 0)}
    id = hidden.make()["id"]
    assert hidden.add(id).status == 202
    assert (hidden.show(id)["status"], hidden.task(id)["status"]) == ("queued", "failure")


def test_the_image_is_deleted_with_its_location(cloud: LocationsCloud) -> None:
    id = cloud.make()["id"]
    cloud.add(id)
    assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
    cloud.settle()
    assert cloud.ask("GET", f"/image/v2/images/{id}").status == 404


# --- patches of old -------------------------------------------------------------------------------------------------------


def test_nothing_is_shown_or_patched_unless_it_is_switched_on(hidden: LocationsCloud) -> None:
    id = hidden.make()["id"]
    for op, path in (("add", "/locations/-"), ("replace", "/locations")):
        value = {"url": hidden.url, "metadata": {}}
        assert hidden.patched(id, op, path, value if op == "add" else [value]).status == 403
    assert hidden.patched(id, "remove", "/locations/0", token="admin").status == 403
    assert "locations" not in hidden.show(id)


def test_a_location_makes_an_image_active(cloud: LocationsCloud) -> None:
    assert cloud.show(cloud.make()["id"])["locations"] == []
    id = cloud.old(metadata={"foo": "bar"})
    image = cloud.show(id)
    assert image["locations"] == [{"url": cloud.url, "metadata": {"foo": "bar", "store": "web"}}]
    assert (image["status"], image["size"], image["os_hash_algo"], image["checksum"]) == ("active", len(DATA), None, None)
    assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == DATA
    listed = cloud.ask("GET", "/image/v2/images").json["images"]
    assert {i["id"]: len(i["locations"]) for i in listed}[id] == 1


def test_locations_have_an_order(cloud: LocationsCloud) -> None:
    id = cloud.old()
    two, three = f"{cloud.url}#two", f"{cloud.url}#three"
    assert cloud.patched(id, "add", "/locations/-", {"url": two, "metadata": {"speed": "88mph"}}).status == 200
    assert cloud.patched(id, "add", "/locations/0", {"url": three, "metadata": {}}).status == 200
    assert cloud.urls(id) == [three, cloud.url, two]
    assert cloud.patched(id, "add", "/locations/1", {"url": two, "metadata": {}}).status == 400
    assert cloud.patched(id, "add", "/locations/x", {"url": f"{cloud.url}#4", "metadata": {}}).status == 400
    all_ = cloud.show(id)["locations"]
    assert cloud.patched(id, "replace", "/locations", all_).status == 200
    all_[0]["metadata"]["date"] = "2015-10-15"
    assert cloud.patched(id, "replace", "/locations", all_[::-1]).status == 200
    assert cloud.show(id)["locations"] == all_[::-1]
    for bad in (all_[:1], [*all_[:2], {"url": f"{cloud.url}#new", "metadata": {}}], [all_[0]] * 3, "x", [5], [{}]):
        assert cloud.patched(id, "replace", "/locations", bad).status == 400, bad
    assert cloud.patched(id, "replace", "/locations", []).status == 403
    assert cloud.show(id)["locations"] == all_[::-1]


def test_a_location_is_removed_by_who_may(cloud: LocationsCloud) -> None:
    id = cloud.old()
    assert cloud.patched(id, "add", "/locations/-", {"url": f"{cloud.url}#two", "metadata": {}}).status == 200
    assert cloud.patched(id, "remove", "/locations/0").status == 403
    assert cloud.patched(id, "remove", "/locations/x", token="admin").status == 400
    assert cloud.patched(id, "remove", "/locations/0", token="admin").status == 200
    assert cloud.urls(id) == [f"{cloud.url}#two"]
    assert cloud.show(id)["stores"] == "web"
    assert cloud.patched(id, "remove", "/locations/0", token="admin").status == 403
    assert cloud.patched(cloud.make()["id"], "remove", "/locations/0", token="admin").status == 409


def test_bytes_of_ours_are_swept_when_their_location_is_removed(cloud: LocationsCloud) -> None:
    id = cloud.active(b"bytes")["id"]
    assert cloud.patched(id, "add", "/locations/-", {"url": cloud.url, "metadata": {}}).status == 200
    assert cloud.show(id)["stores"] == "memory,web"
    assert cloud.patched(id, "remove", "/locations/0", token="admin").status == 200
    assert (cloud.show(id)["stores"], list(cloud.store.keys())) == ("web", [])


def test_nobody_gets_at_anothers_bytes_by_naming_them(cloud: LocationsCloud) -> None:
    theirs = cloud.active(b"secret", "other")["id"]
    address = cloud.ask("GET", f"/image/v2/images/{theirs}/locations", "admin").json[0]["url"]
    for id in (cloud.make()["id"], cloud.active(b"own")["id"]):
        assert cloud.patched(id, "add", "/locations/-", {"url": address, "metadata": {}}).status == 400
        assert cloud.add(id, address).status in (400, 409)
    assert cloud.ask("GET", f"/image/v2/images/{theirs}/file", "other").body == b"secret"


def test_digests_of_old(cloud: LocationsCloud) -> None:
    told = {"checksum": "1" * 32, "os_hash_algo": "sha512", "os_hash_value": "deadbeef" * 16}
    id = cloud.old(validation_data=told)
    image = cloud.show(id)
    assert {name: image[name] for name in told} == told
    second = {"url": f"{cloud.url}#2", "metadata": {}, "validation_data": told}
    assert cloud.patched(id, "add", "/locations/-", second).status == 200
    for name, value in (("checksum", "2" * 32), ("os_hash_value", "be" * 64), ("os_hash_algo", "sha256")):
        other = {"url": f"{cloud.url}#3", "metadata": {}, "validation_data": {**told, name: value}}
        assert cloud.patched(id, "add", "/locations/-", other).status == 409
    assert len(cloud.urls(id)) == 2
    late = {"url": f"{cloud.url}#4", "metadata": {}, "validation_data": told}
    assert cloud.patched(cloud.old(), "add", "/locations/-", late).status == 409
    for bad in ({**told, "os_hash_algo": "sha256"}, {**told, "os_hash_value": "zz"}, {**told, "checksum": "z" * 32}):
        location = {"url": cloud.url, "metadata": {}, "validation_data": bad}
        assert cloud.patched(cloud.make()["id"], "add", "/locations/-", location).status == 409


def test_there_may_be_so_many(cloud: LocationsCloud) -> None:
    id = cloud.make()["id"]
    many = [{"url": f"{cloud.url}#{n}", "metadata": {}} for n in range(11)]
    assert cloud.patched(id, "replace", "/locations", many).status == 413
    assert cloud.patched(id, "replace", "/locations", many[:10]).status == 200
    assert len(cloud.urls(id)) == 10
    assert cloud.patched(id, "add", "/locations/-", many[10]).status == 413
    long = {"url": cloud.url, "metadata": {"a": "x" * 17_000}}
    assert cloud.patched(cloud.make()["id"], "add", "/locations/-", long).status == 400


def test_only_images_with_formats_that_are_at_rest(cloud: LocationsCloud) -> None:
    bare = cloud.ask("POST", "/image/v2/images", json={"name": "no formats"}).json["id"]
    location = {"url": cloud.url, "metadata": {}}
    assert cloud.patched(bare, "add", "/locations/-", location).status == 400
    id = cloud.make()["id"]
    cloud.put(id, b"staged", what="stage")
    assert cloud.patched(id, "add", "/locations/-", location).status == 409


def test_who_may_patch_locations(cloud: LocationsCloud) -> None:
    id, location = cloud.make(visibility="public", token="admin")["id"], {"url": cloud.url, "metadata": {}}
    for token in ("member", "manager", "reader", "other", "nobody", "service"):
        assert cloud.patched(id, "add", "/locations/-", location, token).status in (403, 404), token
    assert cloud.patched(id, "add", "/locations/-", location, "admin").status == 200
    assert cloud.show(id, "member")["locations"] == []  # seen by who owns it
    assert len(cloud.show(id, "admin")["locations"]) == 1
