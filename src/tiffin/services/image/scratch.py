"""Folders for the files that an import's plug-ins make: one for each task, whose lifecycle removes it whatever happens."""

from __future__ import annotations

import contextlib
import shutil
from collections.abc import Iterator
from pathlib import Path

from tiffin.core.driver import Refused
from tiffin.services.image.drivers.base import CHUNK, check_key


class Scratch:
    def __init__(self, root: Path) -> None:
        """`root` belongs to this cloud alone; it is made when it is first needed."""
        self._root = root

    @contextlib.contextmanager
    def folder(self, task_id: str) -> Iterator[Path]:
        """An empty folder. Raises `Refused` when there is no room for what is put into it."""
        self.forget(task_id)
        path = self._path(task_id)
        try:
            path.mkdir(mode=0o700, parents=True)
            yield path
        except OSError as no:
            raise Refused(f"The import has no room for its files: {no.strerror}.") from no
        finally:
            self.forget(task_id)

    def forget(self, task_id: str) -> None:
        """Remove what a task has left. May be repeated. Raises `Refused`."""
        try:
            shutil.rmtree(self._path(task_id))
        except FileNotFoundError:
            return
        except OSError as no:
            raise Refused(f"The files of the import {task_id} could not be removed: {no.strerror}.") from no

    def clear(self) -> None:
        """Remove what a process left that died here: its tasks may have ended elsewhere. Call it while none of ours runs.
        What cannot be removed is tried again at the next start."""
        shutil.rmtree(self._root, ignore_errors=True)

    def _path(self, task_id: str) -> Path:
        return self._root / check_key(task_id)


def keep(path: Path, chunks: Iterator[bytes]) -> None:
    """Write a file."""
    with open(path, "xb", buffering=0) as file:
        for chunk in chunks:
            view = memoryview(chunk)
            while view:
                view = view[file.write(view) :]


def read(path: Path) -> Iterator[bytes]:
    """The bytes of a file."""
    with open(path, "rb", buffering=0) as file:
        while chunk := file.read(CHUNK):
            yield chunk
