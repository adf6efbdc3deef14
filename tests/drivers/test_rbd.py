"""What images in a Ceph cluster promise beyond what every store does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from api.image.conftest import ImageCloud
from drivers.ceph import Ceph, rbd_store
from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CHUNK, ImageStores, Missing
from tiffin.services.image.drivers.librbd import Account
from tiffin.services.image.drivers.rbd import RbdStore

MIB = 1 << 20
WRITER = """
import sys
from tiffin.services.image.drivers.librbd import Account
from tiffin.services.image.drivers.rbd import RbdStore

def chunks():
    yield b"half"
    print("written", flush=True)
    sys.stdin.read()
    yield b"whole"

RbdStore(Account(conf=sys.argv[1], user="admin", pool="images", seconds=30)).write("a", chunks())
"""


@pytest.fixture(params=[pytest.param("real", marks=pytest.mark.real)])
def cluster(request: pytest.FixtureRequest) -> Ceph:
    found: Ceph = request.getfixturevalue("ceph_cluster")
    return found


@pytest.fixture
def store(cluster: Ceph) -> Iterator[RbdStore]:
    with rbd_store(cluster) as found:
        yield found


def used(cluster: Ceph, name: str) -> int:
    """The bytes that the cluster keeps of an image."""
    extents = cluster.run("rbd", "diff", f"{cluster.pool}/{name}").splitlines()[1:]
    return sum(int(line.split()[1]) for line in extents)


def test_images_of_others_are_left_alone(cluster: Ceph, store: RbdStore) -> None:
    cluster.run("rbd", "create", f"{cluster.pool}/a", "--size", "1M")
    store.write("a", [b"x"])
    assert list(store.keys()) == ["a"]
    store.delete("a")
    assert cluster.images() == ["a"]
    cluster.run("rbd", "rm", f"{cluster.pool}/a")


def test_zeros_cost_nothing_and_an_image_is_as_large_as_its_bytes(cluster: Ceph, store: RbdStore) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(300):
            yield bytes(MIB)
        yield b"end"

    assert store.write("a", chunks()) == 300 * MIB + 3
    assert b"".join(store.read("a", 300 * MIB - 2)) == b"\0\0end"
    assert f"{300 * MIB + 3}" in cluster.run("rbd", "info", f"{cluster.pool}/tiffin-a", "--format", "json")
    assert used(cluster, "tiffin-a") <= 4 * MIB


def test_an_image_that_was_cloned_stays(cluster: Ceph, store: RbdStore) -> None:
    store.write("a", [b"x" * CHUNK])
    source = store.address("a").removeprefix("rbd://").partition("/")[2]
    pool, image, snapshot = source.split("/")
    cluster.run("rbd", "clone", f"{pool}/{image}@{snapshot}", f"{pool}/volume")
    assert store.in_use("a")
    with pytest.raises(Refused, match="in use"):
        store.delete("a")
    assert b"".join(store.read("a")) == b"x" * CHUNK
    cluster.run("rbd", "rm", f"{pool}/volume")
    assert not store.in_use("a")
    store.delete("a")
    assert cluster.images() == []


def test_a_reader_elsewhere_keeps_the_bytes(cluster: Ceph, store: RbdStore) -> None:
    store.write("a", [b"1" * CHUNK, b"2" * CHUNK])
    with rbd_store(cluster) as elsewhere:
        reader = elsewhere.read("a")
        with pytest.raises(Refused, match="in use"):
            store.delete("a")
        with pytest.raises(Missing):  # for everybody who comes from now on
            store.read("a")
        assert b"".join(reader) == b"1" * CHUNK + b"2" * CHUNK
        store.delete("a")
        assert list(store.keys()) == []


def test_a_writer_that_died_is_forgotten(cluster: Ceph, store: RbdStore) -> None:
    words = [sys.executable, "-c", WRITER, str(cluster.conf)]
    writer = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={**os.environ, "PYTHONPATH": "src"})
    assert writer.stdout is not None
    assert writer.stdin is not None
    assert writer.stdout.readline() == b"written\n"
    assert list(store.keys()) == ["a"]
    with pytest.raises(Missing):
        store.read("a")
    with pytest.raises(Refused, match="in use"):  # it lives
        store.delete("a")
    writer.kill()
    writer.wait()
    writer.stdin.close()
    writer.stdout.close()
    until = time.monotonic() + 60
    while list(store.keys()):
        try:
            store.delete("a")
        except Refused:  # the cluster takes thirty seconds to believe that it is dead
            assert time.monotonic() < until
            time.sleep(1)
    assert cluster.images() == []


def test_a_dead_cluster_refuses_in_time(cluster: Ceph, store: RbdStore) -> None:
    store.write("a", [b"x"])
    with rbd_store(cluster, seconds=2) as impatient:
        assert b"".join(impatient.read("a")) == b"x"
        cluster.freeze_osd()
        began = time.monotonic()
        try:
            for use in (
                lambda: list(impatient.keys()),
                lambda: impatient.read("a"),
                lambda: impatient.delete("a"),
                lambda: impatient.write("b", [b"y"]),
                lambda: impatient.in_use("a"),
            ):
                with pytest.raises(Refused):
                    use()
            assert time.monotonic() - began < 60
        finally:
            cluster.thaw_osd()
        impatient.delete("b")
        assert b"".join(impatient.read("a")) == b"x"


def test_a_writer_whose_cluster_dies_is_refused(cluster: Ceph, store: RbdStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"1" * CHUNK
        cluster.freeze_osd()
        for _ in range(8):
            yield b"2" * CHUNK

    with rbd_store(cluster, seconds=2) as impatient:
        try:
            with pytest.raises(Refused):
                impatient.write("a", chunks())
        finally:
            cluster.thaw_osd()
    assert list(store.keys()) in (["a"], [])
    store.delete("a")


def test_an_image_of_the_api(cluster: Ceph, store: RbdStore) -> None:
    cloud = ImageCloud()
    cloud.cloud.add(ImageStores, ImageStores([store]))
    data = os.urandom(CHUNK + 1000)
    one, two = cloud.active(data)["id"], cloud.active(data)["id"]
    assert len(cluster.images()) == 1  # equal bytes are there once
    assert cloud.ask("GET", f"/image/v2/images/{two}/file", Range="bytes=1048570-1048580").body == data[1048570:1048581]
    info = cloud.ask("GET", "/image/v2/info/stores/detail", "admin").json["stores"][0]
    assert info["properties"]["fsid"] == json.loads(cluster.run("ceph", "fsid", "-f", "json"))["fsid"]
    url = cloud.ask("GET", f"/image/v2/images/{one}/locations", "admin").json[0]["url"]
    assert url == f"rbd://{info['properties']['fsid']}/{cluster.pool}/{cluster.images()[0]}/snap"
    cluster.run("rbd", "clone", f"{cluster.pool}/{cluster.images()[0]}@snap", f"{cluster.pool}/volume")
    assert cloud.ask("DELETE", f"/image/v2/images/{one}").status == 204  # the other one keeps the bytes
    cloud.settle()
    reply = cloud.ask("DELETE", f"/image/v2/images/{two}")
    assert (reply.status, "in use" in reply.json["message"]) == (409, True)
    cluster.run("rbd", "rm", f"{cluster.pool}/volume")
    assert cloud.ask("DELETE", f"/image/v2/images/{two}").status == 204
    cloud.settle()
    assert cluster.images() == []
    cloud.close()


def test_an_upload_to_a_dead_cluster(cluster: Ceph, store: RbdStore) -> None:
    cloud = ImageCloud()
    with rbd_store(cluster, seconds=2) as impatient:
        cloud.cloud.add(ImageStores, ImageStores([impatient]))
        id = cloud.make()["id"]
        assert cloud.put(id, b"before").status == 204
        other = cloud.make()["id"]
        cluster.freeze_osd()
        try:
            assert cloud.put(other, b"bytes").status == 503
            assert cloud.ask("GET", f"/image/v2/images/{id}/file").status == 503
        finally:
            cluster.thaw_osd()
        assert cloud.show(other)["status"] == "queued"
        cloud.clock.now += 1000
        cloud.settle()
        assert len(list(impatient.keys())) == 1
        assert cloud.put(other, b"bytes").status == 204
        for one in (id, other):
            assert cloud.ask("DELETE", f"/image/v2/images/{one}").status == 204
        cloud.settle()
        assert list(impatient.keys()) == []
    cloud.close()


def test_there_is_no_cluster(cluster: Ceph) -> None:
    for conf, user in (("/nonexistent/ceph.conf", "admin"), (str(cluster.conf), "stranger")):
        store = RbdStore(Account(conf=conf, user=user, pool="images", seconds=2))
        with pytest.raises(Refused):
            store.read("a")
        store.close()
    store = RbdStore(Account(conf=str(cluster.conf), user="admin", pool="puddle", seconds=2))
    with pytest.raises(Refused, match="No such"):
        list(store.keys())
