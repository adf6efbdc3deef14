"""Password hashes, and the memory of those that were right a moment ago."""

from __future__ import annotations

import base64
import hashlib
import hmac

import bcrypt

from tiffin.core.world import World
from tiffin.services.identity.settings import IdentitySettings

MOST_REMEMBERED = 10_000
_QUICK = "sha256$"


def _material(password: str) -> bytes:
    # bcrypt reads 72 bytes; a digest lets every byte of a longer password count
    return base64.b64encode(hashlib.sha256(password.encode("utf-8", "surrogatepass")).digest())


def hash_password(password: str, rounds: int) -> str:
    """Slow by intent. Never call it inside a transaction."""
    return bcrypt.hashpw(_material(password), bcrypt.gensalt(rounds)).decode()


def hash_random(secret: str) -> str:
    """For a secret that we have drawn ourselves: it cannot be guessed, so that one digest is enough."""
    return _QUICK + hashlib.sha256(secret.encode()).hexdigest()


class Passwords:
    """Hashes and checks. One of a process; safe for threads."""

    def __init__(self, world: World, settings: IdentitySettings) -> None:
        self.rounds = settings.password_rounds
        self._world, self._seconds = world, settings.remember_seconds
        self._key = world.random_bytes(32)
        self._right: dict[bytes, float] = {}

    def hash(self, password: str) -> str:
        """Slow by intent. Never call it inside a transaction."""
        return hash_password(password, self.rounds)

    def check(self, password: str, kept: str | None) -> bool:
        """Whether `password` has the hash `kept`; a failure takes the same time when there is none (`None`).

        A right one is remembered, under a key of this process and with its hash, for `remember_seconds`: a changed
        password is another hash.
        """
        if kept is not None and kept.startswith(_QUICK) and hmac.compare_digest(kept, hash_random(password)):
            return True
        if kept is None or kept.startswith(_QUICK):
            bcrypt.checkpw(_material(password), bcrypt.gensalt(self.rounds) + b"." * 31)
            return False
        memory, now = self._digest(password, kept), self._world.clock()
        if self._right.get(memory, 0.0) > now:
            return True
        if not bcrypt.checkpw(_material(password), kept.encode()):
            return False
        if self._seconds > 0:
            if len(self._right) >= MOST_REMEMBERED:
                self._right.clear()
            self._right[memory] = now + self._seconds
        return True

    def _digest(self, password: str, kept: str) -> bytes:
        return hmac.digest(self._key, kept.encode() + b"\0" + _material(password), "sha256")
