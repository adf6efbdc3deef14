"""Keys in a folder, one file each. The highest number writes, every one reads, 0 waits to become the next: so that machines
that share the keys by copying them know each key before anything is written with it."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import hashlib
import hmac
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

__all__ = ["InvalidToken", "KeyState", "Keys", "SigningKeys"]

_STAGED = 0


class KeyState(msgspec.Struct, frozen=True):
    """One key: its number, and whether it is staged, primary or secondary."""

    number: int
    role: str


class _Repository:
    """The key files of one kind in a folder: PREFIX followed by a number. Safe for several processes."""

    def __init__(self, folder: Path, prefix: str, generate: Callable[[], bytes]) -> None:
        self.folder, self._prefix, self._generate = folder, prefix, generate

    def numbers(self) -> list[int]:
        tails = (name.removeprefix(self._prefix) for name in os.listdir(self.folder) if name.startswith(self._prefix))
        return sorted(int(tail) for tail in tails if tail.isdecimal())

    def read(self, number: int) -> bytes:
        return self._file(number).read_bytes()

    def ensure(self) -> None:
        """Have the folder, a primary key and a staged one."""
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with self._locked():
            if not self.numbers():
                self._write(1)
            self._stage()

    def states(self) -> list[KeyState]:
        numbers = self.numbers()
        roles = {_STAGED: "staged", numbers[-1] if numbers else _STAGED: "primary"}
        return [KeyState(n, roles.get(n, "secondary")) for n in numbers]

    def rotate(self, keep: int) -> None:
        """Let the staged key write from now on, stage a new one, and drop the oldest so that `keep` are left (of which
        one is staged; at least 2). A rotation that was killed is completed by the next."""
        self.promote()
        self.drop(keep)

    def promote(self) -> None:
        """Let the staged key write from now on, and stage a new one."""
        self.ensure()
        with self._locked():
            self._file(_STAGED).rename(self._file(self.numbers()[-1] + 1))
            self._stage()

    def drop(self, keep: int) -> None:
        """Drop the oldest keys so that `keep` are left, of which one is staged; at least 2."""
        with self._locked():
            for number in self.numbers()[1 : 1 - max(keep, 2)]:
                self._file(number).unlink()

    def _stage(self) -> None:
        if _STAGED not in self.numbers():
            self._write(_STAGED)

    def _file(self, number: int) -> Path:
        return self.folder / f"{self._prefix}{number}"

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        descriptor = os.open(self.folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _write(self, number: int) -> None:
        # the dot keeps a half written key from being read
        draft = self.folder / f".{self._prefix}{number}"
        descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        owner = os.stat(self.folder)
        if os.geteuid() == 0:  # root rotates the keys of a cloud that somebody else runs
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
        with os.fdopen(descriptor, "wb") as file:
            file.write(self._generate())
            file.flush()
            os.fsync(file.fileno())
        draft.rename(self._file(number))


class _Loaded:
    """What a process has read of a repository; read again when the names of the files are other ones."""

    def __init__(self, repository: _Repository, make: Callable[[list[tuple[int, bytes]]], Any]) -> None:
        self._repository, self._make = repository, make
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._made: Any = None

    def names(self) -> frozenset[str]:
        return frozenset(os.listdir(self._repository.folder))

    def get(self) -> Any:
        """What `make` makes of the keys as (number, file), the primary first and the staged last."""
        names = self.names()
        while names != self._names:
            try:
                with self._lock:
                    numbers = self._repository.numbers()
                    newest = [n for n in reversed(numbers) if n != _STAGED] + [n for n in numbers if n == _STAGED]
                    self._made = self._make([(n, self._repository.read(n)) for n in newest])
                    self._names = names
            except FileNotFoundError:  # another process rotates at this moment
                names = self.names()
        return self._made


class Keys:
    """A repository of Fernet keys; made with its first keys when the folder is empty.

    Other processes may rotate it: the folder is looked at again when it has changed. `older` opens what these keys do not:
    what an earlier release encrypted by them.
    """

    def __init__(self, folder: Path, older: Keys | None = None) -> None:
        self.folder, self._older = folder, older
        self.repository = _Repository(folder, "", Fernet.generate_key)
        self.repository.ensure()
        self._loaded = _Loaded(self.repository, lambda files: [raw for _, raw in files])
        self._purposes: dict[str, tuple[list[bytes], MultiFernet]] = {}

    def encrypt(self, plain: bytes, purpose: str = "") -> bytes:
        """What was encrypted for one purpose cannot be decrypted for another."""
        return self._fernet(purpose).encrypt(plain)

    def decrypt(self, kept: bytes, purpose: str = "") -> bytes:
        """Raises `InvalidToken` for what none of the keys has made for this purpose."""
        try:
            return self._fernet(purpose).decrypt(kept)
        except InvalidToken:
            if self._older is None:
                raise
            return self._older.decrypt(kept, purpose)

    def renew(self, kept: bytes) -> bytes:
        """The same under the key that encrypts now; `kept` itself where it is so already. Raises `ValueError` for what none
        of the keys has made."""
        try:
            Fernet(self._loaded.get()[0]).decrypt(kept)
            return kept
        except InvalidToken:
            pass
        try:
            return self.encrypt(self.decrypt(kept))
        except InvalidToken:
            raise ValueError("none of the keys opens it") from None

    def names(self) -> frozenset[str]:
        """The names of all files in the folder: other names, other keys, since a rotation ends with a new number."""
        return self._loaded.names()

    def rotate(self, keep: int = 3) -> None:
        self.repository.rotate(keep)

    def _fernet(self, purpose: str) -> MultiFernet:
        keys: list[bytes] = self._loaded.get()
        known = self._purposes.get(purpose)
        if known is None or known[0] is not keys:
            made = MultiFernet([Fernet(_derived(key, purpose) if purpose else key) for key in keys])
            known = self._purposes[purpose] = (keys, made)
        return known[1]


def _derived(key: bytes, purpose: str) -> bytes:
    return base64.urlsafe_b64encode(hmac.digest(key, purpose.encode(), hashlib.sha256))


class SigningKeys:
    """A repository of ES256 keys (ECDSA on P-256 with SHA-256) beside the Fernet keys of the same folder."""

    def __init__(self, folder: Path) -> None:
        self.repository = _Repository(folder, "jws-", _new_signing_key)
        self._loaded = _Loaded(self.repository, _private_keys)

    def public(self) -> list[str]:
        """The public keys as PEM, that of the key which signs first."""
        pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        return [key.public_key().public_bytes(*pem).decode() for key in self._loaded.get().values()]

    def sign(self, make: Callable[[str], bytes]) -> tuple[bytes, bytes]:
        """What `make` gives for the id of the key that signs, and its signature."""
        key_id, key = next(iter(self._loaded.get().items()))
        data = make(key_id)
        r, s = decode_dss_signature(key.sign(data, ec.ECDSA(hashes.SHA256())))
        return data, r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def verify(self, key_id: str, data: bytes, signature: bytes) -> bool:
        """Whether the key of this id, which must be one of ours, has signed the data."""
        key = self._loaded.get().get(key_id)
        if key is None or len(signature) != 64:
            return False
        encoded = encode_dss_signature(int.from_bytes(signature[:32], "big"), int.from_bytes(signature[32:], "big"))
        try:
            key.public_key().verify(encoded, data, ec.ECDSA(hashes.SHA256()))
        except InvalidSignature:
            return False
        return True


def _new_signing_key() -> bytes:
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _private_keys(files: list[tuple[int, bytes]]) -> dict[str, Any]:
    """By ids that are the same wherever a key lies and whatever its number is: of the digest of the public key."""
    keys = [serialization.load_pem_private_key(raw, password=None) for _, raw in files]
    return {hashlib.sha256(_public(key)).hexdigest()[:16]: key for key in keys}


def _public(key: Any) -> bytes:
    der: bytes = key.public_key().public_bytes(
        serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return der
