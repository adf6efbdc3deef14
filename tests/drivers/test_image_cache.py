"""The folder in which a real host keeps images, whoever dies in it."""

from __future__ import annotations

import hashlib
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tiffin.core.driver import Impossible, Refused
from tiffin.services.compute.drivers.base import BaseImage
from tiffin.services.compute.drivers.fences import Fences
from tiffin.services.compute.drivers.qemu_images import ImageCache

DATA = b"one" * 1000
IMAGE = BaseImage("image-1", "raw", hashlib.sha512(DATA).hexdigest(), len(DATA), len(DATA))


class Dead(BaseException):
    """The process dies here."""


class Folder:
    def __init__(self, root: Path) -> None:
        self.root, self.served, self.used = root, 0, False
        self.between: Callable[[], object] = lambda: None
        fences = Fences(root / "turns")
        self.cache = ImageCache(root / "cache", self._source, fences, 1 << 30, lambda id: self.used)

    def _source(self, image_id: str) -> Iterator[bytes]:
        for at in range(0, len(DATA), 1000):
            self.served += 1000
            yield DATA[at : at + 1000]
            self.between()

    def files(self) -> list[str]:
        return sorted(path.name for path in (self.root / "cache").iterdir())

    def die(self) -> None:
        """A download that is killed in its middle: what it has is left as it is."""
        child = os.fork()
        if child == 0:
            self.between = lambda: os._exit(9)
            self.cache.ensure(IMAGE)
        os.waitpid(child, 0)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_it_appears_whole(folder: Folder) -> None:
    seen: list[list[str]] = []
    folder.between = lambda: seen.append(folder.files())
    folder.cache.ensure(IMAGE)
    assert seen == [[".image-1"]] * 3
    assert folder.files() == ["image-1"]
    assert folder.cache.path("image-1").read_bytes() == DATA
    assert folder.cache.path("image-1").stat().st_mode & 0o777 == 0o444


def test_a_killed_download_is_begun_again(folder: Folder) -> None:
    folder.die()
    assert folder.files() == [".image-1"]
    assert folder.cache.all() == []
    with pytest.raises(Impossible):
        folder.cache.get(IMAGE)
    folder.cache.ensure(IMAGE)
    assert folder.files() == ["image-1"]


def test_a_killed_download_is_swept_up_in_time(folder: Folder) -> None:
    folder.die()
    assert folder.cache.clean(3600.0) == 0
    assert folder.files() == [".image-1"]
    assert folder.cache.clean(0.0) == 1
    assert folder.files() == []


def test_a_killed_download_goes_with_its_image(folder: Folder) -> None:
    folder.die()
    assert folder.cache.forget("image-1")
    assert folder.files() == []


@pytest.mark.parametrize("trouble", [Refused("the store is away"), Impossible("the image is gone")])
def test_a_failed_download_leaves_nothing(folder: Folder, trouble: Exception) -> None:
    def fail() -> None:
        raise trouble

    folder.between = fail
    with pytest.raises(type(trouble)):
        folder.cache.ensure(IMAGE)
    assert folder.files() == []


def test_who_is_being_fetched_is_left_alone(folder: Folder) -> None:
    answers: list[object] = []

    def meddle() -> None:
        folder.between = lambda: None
        with pytest.raises(Refused):
            folder.cache.forget("image-1")
        answers.extend((folder.cache.clean(0.0), folder.files()))

    folder.between = meddle
    folder.cache.ensure(IMAGE)
    assert answers == [0, [".image-1"]]
    assert folder.files() == ["image-1"]


def test_two_who_want_it_fetch_it_once(folder: Folder) -> None:
    threads = [threading.Thread(target=folder.cache.ensure, args=(IMAGE,)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert folder.served == len(DATA)


def test_who_is_killed_while_he_removes_leaves_no_half_image(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.cache.ensure(IMAGE)

    def die(path: Path, **_: object) -> None:
        if path.exists():
            raise Dead

    monkeypatch.setattr("tiffin.services.compute.drivers.qemu_images.shutil.rmtree", die)
    with pytest.raises(Dead):
        folder.cache.forget("image-1")
    assert folder.files() == [".image-1"]
    monkeypatch.undo()
    assert folder.cache.clean(0.0) == 1
    assert folder.files() == []


def test_it_stays_while_it_is_used(folder: Folder) -> None:
    folder.cache.ensure(IMAGE)
    folder.used = True
    assert not folder.cache.forget("image-1")
    assert folder.files() == ["image-1"]
    folder.used = False
    assert [folder.cache.forget("image-1") for _ in range(2)] == [True, True]


def test_hits_are_counted(folder: Folder) -> None:
    folder.cache.ensure(IMAGE, hit=True)  # it was not there
    folder.cache.ensure(IMAGE, hit=True)
    folder.cache.ensure(IMAGE)
    (found,) = folder.cache.all()
    assert (found.hits, found.size) == (1, len(DATA))
    assert found.last_accessed >= found.last_modified
