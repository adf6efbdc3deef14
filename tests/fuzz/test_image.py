"""Ten thousand wrong bodies, headers, paths and queries at every operation of images: no 5xx, and nothing has changed."""

from __future__ import annotations

import itertools
import os
import re
import urllib.parse
from collections.abc import Iterator
from pathlib import Path
from random import Random
from typing import Any

import pytest

from api.image.asked import metadefs
from api.image.asked.stores import LOCATION
from api.image.personas import Row, Scene, all_rows
from fuzz import hostile
from fuzz.checks import brief, check
from shapes import shape
from stored import stored
from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import LocalClient, Reply
from tiffin.services.identity.public import Identity, IdentitySettings, Keys
from tiffin.services.image.service import service

WRONG = [2_000, pytest.param(10_000, marks=pytest.mark.long)]
PATCH = {"Content-Type": "application/openstack-images-v2.1-json-patch"}
OLD_PATCH = {"Content-Type": "application/openstack-images-v2.0-json-patch"}
OCTETS = {"Content-Type": "application/octet-stream"}
UUID = "b2173dd3-7ad6-4362-baa6-a68bce3565cb"
NEW = {"name": "x", "disk_format": "raw", "container_format": "bare"}
SECTIONS = {
    "image": {
        "imports": {
            "enabled_import_methods": ["glance-direct", "web-download", "copy-image", "glance-download"],
            "locations": {"show_multiple_locations": True, "show_image_direct_url": True},
        },
        # where nobody listens; example.org is what the rows of asked/stores.py have
        "web": {"allowed_hosts": ["127.0.0.1", "example.org"], "allowed_ports": [80, 9]},
    }
}


def _import(name: str, **more: Any) -> Row:
    return Row("POST", "/v2/images/{private}/import", "", body={"method": {"name": name, **more}, "stores": ["memory"]})


def _patch(headers: dict[str, str], *edits: dict[str, Any]) -> Row:
    return Row("PATCH", "/v2/images/{active}", "", body=list(edits), headers=headers)


MORE = (
    _import("web-download", uri="http://127.0.0.1:9/image"),
    _import("glance-download", glance_region="R", glance_image_id=UUID, glance_service_interface="public"),
    Row("POST", "/v2/images/{active}/import", "", body={"method": {"name": "copy-image"}, "all_stores": True}),
    Row("POST", "/v2/tasks", "", body={
        "type": "import",
        "input": {"import_from": "http://127.0.0.1:9/i", "import_from_format": "raw", "image_properties": NEW},
    }),
    Row("POST", "/v2/images", "", body={
        **NEW, "id": UUID, "min_disk": 1, "min_ram": 1, "tags": ["a"], "visibility": "shared", "protected": True, "color": "red",
        "os_hidden": False, "owner": "p1",
    }),
    _patch(PATCH, {"op": "add", "path": "/locations/-", "value": LOCATION}),
    _patch(PATCH, {"op": "replace", "path": "/locations", "value": [LOCATION]}),
    _patch(PATCH, {"op": "remove", "path": "/locations/0"}),
    _patch(PATCH, {"op": "replace", "path": "/tags", "value": ["a", "b"]}, {"op": "add", "path": "/min_disk", "value": 1}),
    _patch(OLD_PATCH, {"add": "/color~1of", "value": "red"}, {"replace": "/name", "value": "y"}, {"remove": "/color~1of"}),
    Row("GET", "/v2/images/{active}/file", "", headers={"Range": "bytes=1-2"}),
    Row("PUT", "/v2/images/{private}/file", "", body=b"QFI\xfb" + bytes(99), headers=OCTETS),
)  # fmt: skip
"""Beside what personas ask: each in more of its forms."""

HEADERS: dict[str, tuple[str, ...]] = {
    "Range": ("bytes=5-1", "bytes=-0", "bytes=9-", "bytes=" + "0-1," * 500, "bytes=-" + "9" * 400, "\xff", "lines=1-2"),
    "Content-Range": ("bytes */*", "bytes 1-2/*", "bytes 9-1/5", "x"),
    "Content-Type": ("application/octet-stream", *PATCH.values(), *OLD_PATCH.values(), "application/openstack-images-v9-json"),
    "X-Image-Meta-Store": ("nowhere", "web", "\xff", "x" * 9000, "memory,web", "../x"),
    "X-Image-Cache-Clear-Target": ("everything", "\xff", "queue", ""),
    "X-OpenStack-Append": ("maybe", "\xff", "true"),
    "X-OpenStack-Image-Size": ("-1", "x", "9" * 400, "1e3", "5"),
    "X-Openstack-Image-Store-Ids": ("x", "\xff"),
}
QUERIES = (
    "limit", "marker", "sort", "sort_key", "sort_dir", "name", "id", "owner", "status", "visibility", "member_status", "tag",
    "size_min", "size_max", "created_at", "updated_at", "os_hidden", "protected", "disk_format", "container_format", "type",
    "min_ram", "changes-since", "resource_types", "prefix", "color", "os_hash_value",
)  # fmt: skip
VALUES = (
    "in:a,b", "in:\"a,b\",c", "in:\"", "in:" + "a," * 5000, "gt:x", "gte:2026-01-01", "lt:0001-01-01T00:00:00Z", "neq:", "eq:eq:",
    "name:asc,size:desc", "name:up", ":", "-1", "0", "1" * 400, "1e9", "true", "True", "2026-13-01", *hostile.NASTY_TEXT,
)  # fmt: skip


class Client(LocalClient):
    """Sends a path byte by byte as it is."""

    def _environ(self, method: str, path: str, *rest: Any) -> dict[str, Any]:
        path, _, query = path.partition("?")
        environ = super()._environ(method, "/", *rest)
        plain = urllib.parse.unquote_to_bytes(path.encode(errors="surrogateescape"))
        return environ | {"PATH_INFO": plain.decode("latin-1"), "QUERY_STRING": query}


class Target:
    """A cloud with something of everything, and a good request for each operation."""

    def __init__(self, folder: Path) -> None:
        self.scene = Scene(SECTIONS, [ServiceRef("identity", "/identity", "tiffin.services.identity.service")])
        self.cloud = self.scene.cloud
        self.cloud.cloud.add(Identity, Identity(Keys(folder), self.cloud.cloud.world, IdentitySettings(password_rounds=4)))
        self.client = Client(self.cloud.client.app)
        self.random = Random(os.environ.get("FUZZ_SEED", "image"))
        metadefs.prepare(self.cloud)
        names: dict[str, str] = {}
        self.good = [self._good(row, names) for row in (*all_rows(), *MORE)]
        self.stored = stored(self.cloud.cloud.database)
        self.stored.keep()
        self.kept = dict(self.cloud.store._kept)
        self.sent = self.refused = 0

    def _good(self, row: Any, names: dict[str, str]) -> Row:
        path, body = self.scene.fill(row.path, names), self.scene.fill(row.body, names)
        return Row(row.method, path, "", body=body, headers=row.headers)

    def send(self, row: Row, body: bytes | None, headers: dict[str, str], path: str = "") -> Reply:
        """Checks the answer, and that what was refused has changed nothing; what was not refused is undone."""
        before, path = self.stored.fingerprint(), f"/image{path or row.path}"
        sent = {"Content-Type": "application/json", "X-Auth-Token": "admin", **row.headers, **headers}
        reply = self.client.request(row.method, path, headers=sent, body=body)
        try:
            self._look(row, reply, before)
        except AssertionError as wrong:
            raise AssertionError(f"{row.method} {brief(path)} {brief(headers)} {brief(body)} -> {brief(reply)}") from wrong
        self.sent += 1
        self.refused += reply.status >= 400
        return reply

    def _look(self, row: Row, reply: Reply, before: bytes) -> None:
        check("image", row.method, reply)
        refused = reply.status >= 400
        assert not refused or self.cloud.store._kept == self.kept, "refused, and bytes are there"
        if self.stored.fingerprint() != before:
            # bytes that are refused when they have come were there for a while
            tried = row.method == "PUT" and re.search(r"/(file|stage)$", row.path)
            assert not refused or tried, "refused, and rows have changed"
            self.cloud.settle()
            self.stored.restore()
            self.cloud.store._kept.clear()
            self.cloud.store._kept.update(self.kept)

    def close(self) -> None:
        self.stored.close()
        self.cloud.close()


@pytest.fixture
def target(tmp_path: Path) -> Iterator[Target]:
    made = Target(tmp_path)
    yield made
    made.close()


def encoded(row: Row) -> bytes | None:
    return row.body if row.body is None or isinstance(row.body, bytes) else hostile._encode(row.body)


def a_wrong_body(target: Target, row: Row) -> None:
    target.send(row, *hostile.body(None if isinstance(row.body, bytes) else row.body, target.random))


def wrong_headers(target: Target, row: Row) -> None:
    body = encoded(row) if target.random.random() < 0.3 else target.random.choice(hostile.NOT_JSON[:8])
    target.send(row, body, hostile.headers(target.random))


def wrong_headers_of_images(target: Target, row: Row) -> None:
    chosen = target.random.sample(sorted(HEADERS), target.random.randint(1, 3))
    target.send(row, encoded(row), {name: target.random.choice(HEADERS[name]) for name in chosen})


def a_wrong_path(target: Target, row: Row) -> None:
    """One of its parts is another."""
    parts = row.path.split("?")[0].split("/")
    known = [part for other in target.good for part in other.path.split("/")[3:]]
    strange = (target.random.choice(hostile.NASTY_TEXT), target.random.choice(known), UUID, "", "é", "a/b", "%2e%2e")
    text = target.random.choice(strange).encode(errors="surrogatepass")
    parts[target.random.randrange(2, len(parts)) if len(parts) > 2 else -1] = urllib.parse.quote(text)
    target.send(row, encoded(row), {}, "/".join(parts))


def a_wrong_query(target: Target, row: Row) -> None:
    words = [(target.random.choice(QUERIES), target.random.choice(VALUES)) for _ in range(target.random.randint(1, 3))]
    query = "&".join(f"{name}={urllib.parse.quote(value.encode(errors='surrogatepass'))}" for name, value in words)
    target.send(row, encoded(row), {}, f"{row.path.partition('?')[0]}?{query}")


ATTACKS = (a_wrong_body, a_wrong_body, wrong_headers, wrong_headers_of_images, a_wrong_path, a_wrong_query)


def test_every_operation_is_attacked(target: Target) -> None:
    """Personas ask for every operation (test_personas.py), so that here is a good request for each."""
    assert len({shape(o.method, o.path) for o in service.operations()}) == 84
    assert len(target.good) > 84


@pytest.mark.parametrize("number", WRONG)
def test_wrong_requests_change_nothing(target: Target, number: int) -> None:
    before = target.stored.fingerprint()
    attacks = itertools.cycle(itertools.product(ATTACKS, target.good))
    while target.sent < number:
        attack, row = next(attacks)
        attack(target, row)
    assert target.stored.fingerprint() == before
    assert target.refused > number / 4  # of many reads any header and most queries are none of the service's business
