"""Fernet keys in a folder, one file each. The highest number encrypts, every one decrypts, 0 waits to become the next."""

from __future__ import annotations

import os
import threading
from pathlib import Path

from cryptography.fernet import Fernet, InvalidToken, MultiFernet

__all__ = ["InvalidToken", "Keys"]


class Keys:
    """A repository of Fernet keys; made with its first keys when the folder is empty.

    Other processes may rotate it: the folder is looked at again when it has changed. `older` opens what these keys do not:
    what an earlier release encrypted by them.
    """

    def __init__(self, folder: Path, older: Keys | None = None) -> None:
        self.folder, self._older = folder, older
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._fernet: MultiFernet
        self._newest: Fernet
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not self._numbers():
            self._write(1)
            self._write(0)

    def encrypt(self, plain: bytes) -> bytes:
        return self._current().encrypt(plain)

    def decrypt(self, kept: bytes) -> bytes:
        """Raises `InvalidToken` for what none of the keys has made."""
        try:
            return self._current().decrypt(kept)
        except InvalidToken:
            if self._older is None:
                raise
            return self._older.decrypt(kept)

    def renew(self, kept: bytes) -> bytes:
        """The same under the key that encrypts now; `kept` itself where it is so already. Raises `ValueError` for what none
        of the keys has made."""
        fernet = self._current()
        try:
            self._newest.decrypt(kept)
            return kept
        except InvalidToken:
            pass
        try:
            return fernet.encrypt(self.decrypt(kept))
        except InvalidToken:
            raise ValueError("none of the keys opens it") from None

    def names(self) -> frozenset[str]:
        """The names of the keys that there are: other names, other keys, since a rotation ends with a new number."""
        return frozenset(os.listdir(self.folder))

    def rotate(self, keep: int = 3) -> None:
        """Let the waiting key encrypt from now on, make a new waiting one, and drop the oldest beyond `keep`."""
        self.promote()
        self.drop(keep)

    def promote(self) -> None:
        """Let the waiting key encrypt from now on, and make a new waiting one."""
        with self._lock:
            numbers = self._numbers()
            (self.folder / "0").rename(self.folder / str(numbers[-1] + 1))
            self._write(0)

    def drop(self, keep: int) -> None:
        """Drop the oldest keys beyond `keep`, the waiting one among them."""
        with self._lock:
            for number in self._numbers()[1 : 1 - max(keep, 2)]:
                (self.folder / str(number)).unlink()

    def _numbers(self) -> list[int]:
        return sorted(int(file.name) for file in self.folder.iterdir() if file.name.isdecimal())

    def _write(self, number: int) -> None:
        # the dot keeps a half written key from being read
        draft = self.folder / f".{number}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self.folder / str(number))

    def _current(self) -> MultiFernet:
        names = self.names()
        while names != self._names:
            try:
                with self._lock:
                    numbers = self._numbers()
                    newest = [n for n in reversed(numbers) if n] + [n for n in numbers if not n]
                    every = [Fernet((self.folder / str(n)).read_bytes()) for n in newest]
                    self._newest, self._fernet = every[0], MultiFernet(every)
                    self._names = names
            except FileNotFoundError:  # another process rotates at this moment
                names = self.names()
        return self._fernet
