"""What every image store promises, on each that there is."""

from __future__ import annotations

import contextlib
import json
import re
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from drivers.ceph import rbd_store
from tiffin.core.driver import Impossible, Refused
from tiffin.services.image.drivers.base import CHUNK, ImageStore, Missing, StoreFull
from tiffin.services.image.drivers.files import FileStore
from tiffin.services.image.drivers.http import HttpStore
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.image.web import WebReader
from web_servers import WebServer, pages, reply, says, serving

STORES: dict[str, Callable[[Path], ImageStore]] = {
    "files": lambda folder: FileStore(folder / "images"),
    "memory": lambda folder: MemoryStore(),
}


@pytest.fixture(params=[*sorted(STORES), pytest.param("rbd", id="rbd-real", marks=pytest.mark.real)])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ImageStore]:
    """An empty store of each kind."""
    if request.param in STORES:
        yield STORES[request.param](tmp_path)
        return
    with rbd_store(request.getfixturevalue("ceph_cluster")) as found:
        yield found


def text(store: ImageStore, key: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.read(key, start, length))


def test_what_is_written_is_read(store: ImageStore) -> None:
    data = bytes(range(251)) * 10_000
    assert store.write("a-1", iter([data[:7], data[7:CHUNK], b"", data[CHUNK:]])) == len(data)
    assert text(store, "a-1") == data
    assert all(0 < len(chunk) <= CHUNK for chunk in store.read("a-1"))
    assert text(store, "a-1", 5, 10) == data[5:15]
    assert text(store, "a-1", CHUNK - 3) == data[CHUNK - 3 :]
    assert text(store, "a-1", len(data) - 1, 99) == data[-1:]
    assert text(store, "a-1", len(data)) == b""
    assert text(store, "a-1", 3, 0) == b""
    assert list(store.keys()) == ["a-1"]


def test_nothing_is_a_thing_to_keep(store: ImageStore) -> None:
    assert store.write("empty", []) == 0
    assert text(store, "empty") == b""
    assert list(store.keys()) == ["empty"]


def test_a_writer_that_fails_leaves_nothing(store: ImageStore) -> None:
    class Broken(Exception):
        pass

    def chunks() -> Iterator[bytes]:
        yield b"some"
        assert list(store.keys()) == ["a"]
        raise Broken

    with pytest.raises(Broken):
        store.write("a", chunks())
    assert list(store.keys()) == []
    with pytest.raises(Missing):
        store.read("a")
    store.write("a", [b"again"])
    assert text(store, "a") == b"again"


def test_a_key_is_written_once(store: ImageStore) -> None:
    store.write("a", [b"first"])
    with pytest.raises(Refused):
        store.write("a", [b"second"])
    assert text(store, "a") == b"first"


def test_two_writers_of_one_key(store: ImageStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"one"
        with pytest.raises(Refused):
            store.write("a", [b"two"])
        yield b"more"

    store.write("a", chunks())
    assert text(store, "a") == b"onemore"


def test_deletion_may_be_repeated(store: ImageStore) -> None:
    store.write("a", [b"x"])
    store.write("b", [b"y"])
    store.delete("a")
    store.delete("a")
    store.delete("never")
    assert list(store.keys()) == ["b"]
    with pytest.raises(Missing):
        store.read("a")


def test_deletion_wins_over_a_writer(store: ImageStore) -> None:
    def chunks() -> Iterator[bytes]:
        yield b"some"
        store.delete("a")
        yield b"more"

    with pytest.raises(Refused):
        store.write("a", chunks())
    assert list(store.keys()) == []


def test_a_reader_may_leave_early_and_outlives_deletion(store: ImageStore) -> None:
    data = [b"1" * CHUNK, b"2" * CHUNK, b"3" * CHUNK]
    store.write("a", data)
    reader = store.read("a")
    assert next(reader) == data[0]
    with contextlib.suppress(Refused):  # some stores delete when the last reader has gone
        store.delete("a")
    assert next(reader) == data[1]
    for chunks in (reader, iter(())):
        getattr(chunks, "close", lambda: None)()
    store.delete("a")
    assert list(store.keys()) == []


def test_what_a_store_tells_about_itself(store: ImageStore) -> None:
    store.write("a", [b"x"])
    assert store.in_use("a") is False
    assert store.in_use("never") is False
    assert re.fullmatch(r"(file|memory|rbd)://.*\ba(/snap)?", store.address("a"))
    assert json.dumps(store.facts())


def test_many_at_once(store: ImageStore) -> None:
    threads = [threading.Thread(target=store.write, args=(f"k{n}", [bytes([n]) * 100_000] * 5)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(store.keys()) == [f"k{n}" for n in range(8)]
    assert text(store, "k3") == b"\3" * 500_000


@pytest.mark.parametrize("key", ["", "..", "a/b", "/etc/passwd", "a.part", "x" * 65, "a\0"])
def test_words_that_are_no_keys(store: ImageStore, key: str) -> None:
    for use in (lambda: store.write(key, []), lambda: store.read(key), lambda: store.delete(key)):
        with pytest.raises(ValueError, match="not a key"):
            use()
    assert list(store.keys()) == []


def test_a_full_memory() -> None:
    store = MemoryStore(capacity=5)
    store.write("a", [b"1234"])
    with pytest.raises(StoreFull):
        store.write("b", [b"12"])
    assert list(store.keys()) == ["a"]


def test_files_are_for_nobody_else(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "images")
    store.write("a", [b"x"])
    assert (tmp_path / "images").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "images" / "a").stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "images")
    (tmp_path / "images" / "a.part").mkdir()
    with pytest.raises(Refused):
        store.write("a", [b"x"])


# --- a store that is only read: its keys are addresses ------------------------------------------------------------------

DATA = bytes(range(251)) * 10_000


def http_store(server: WebServer) -> HttpStore:
    return HttpStore(WebReader(server.rules(), most=1 << 30))


def test_what_is_elsewhere_is_read() -> None:
    with serving(pages(image=DATA, empty=b"")) as server:
        store, url = http_store(server), f"{server.url}/image"
        assert text(store, url) == DATA
        assert all(0 < len(chunk) <= CHUNK for chunk in store.read(url))
        assert text(store, url, 5, 10) == DATA[5:15]
        assert text(store, url, CHUNK - 3) == DATA[CHUNK - 3 :]
        assert text(store, url, len(DATA) - 1, 99) == DATA[-1:]
        assert text(store, url, len(DATA)) == b""
        assert text(store, url, 3, 0) == b""
        assert text(store, f"{server.url}/empty") == b""
        assert (store.size(url), store.size(f"{server.url}/empty")) == (len(DATA), 0)


def test_what_is_elsewhere_is_never_changed() -> None:
    with serving(pages(image=DATA)) as server:
        store, url = http_store(server), f"{server.url}/image"
        assert not store.writable
        with pytest.raises(Impossible, match="Nothing can be written"):
            store.write("a-1", [b"x"])
        store.delete(url)
        store.delete("never")
        assert server.asked == []
        assert list(store.keys()) == []
        assert text(store, url) == DATA


def test_what_is_elsewhere_may_be_gone() -> None:
    """It is said at once, not at the first chunk."""
    with serving(pages()) as server:
        store, url = http_store(server), f"{server.url}/image"
        for ask in (store.read, store.size):
            with pytest.raises(Missing, match="is not there"):
                ask(url)
    for ask in (store.read, store.size):
        with pytest.raises(Refused, match="does not answer"):
            ask(url)


def test_a_reader_of_what_is_elsewhere_may_leave_early() -> None:
    with serving(says(reply("200 OK", bytes(64 * CHUNK)))) as server:
        reader = http_store(server).read(f"{server.url}/image")
        assert len(next(reader)) == CHUNK
        reader.close()  # type: ignore[attr-defined]  # an iterator that can be closed
    assert server.gone, "the server has sent it all to somebody who had gone"


@pytest.mark.parametrize("key", ["", "a-1", "http://10.0.0.1/x", "file:///etc/passwd", "http://example.org:22/"])
def test_addresses_that_are_not_read(key: str) -> None:
    with serving(pages(image=DATA)) as server:
        store = http_store(server)
        for ask in (store.read, store.size):
            with pytest.raises(Impossible):
                ask(key)
        assert server.asked == []
