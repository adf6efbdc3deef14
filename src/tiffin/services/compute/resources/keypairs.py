"""Key pairs: a user's public keys, put into new servers."""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import BigInteger, Index, Integer, Text, func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, NotFound
from tiffin.core.listing import limit_of, page
from tiffin.core.quota import Quota
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, before, required_since, since
from tiffin.core.tables import Id, Table, Time
from tiffin.core.world import iso

OWNER = "(rule:context_is_admin) or user_id:%(user_id)s"
KIND = "compute.keypair"


class KeyPair(Table):
    __tablename__ = "keypair"
    __table_args__ = (Index("keypair_of", "user_id", "name", unique=True),)
    number: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    user_id: Mapped[Id]
    name: Mapped[str]
    type: Mapped[str]
    fingerprint: Mapped[str]
    public_key: Mapped[str] = mapped_column(Text)
    created_at: Mapped[Time]


class KeyPairIn(Schema, kw_only=True):
    name: Annotated[
        str,
        Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9 @._-]+\Z"),
        before(2, 92, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9 _-]+\Z")),
    ]
    public_key: Annotated[Annotated[str, Meta(min_length=1, max_length=16384)] | UnsetType, required_since(2, 92)] = (
        UNSET
    )
    type: Annotated[Literal["ssh", "x509"] | UnsetType, since(2, 2)] = UNSET
    user_id: Annotated[Annotated[str, Meta(min_length=1, max_length=64)] | UnsetType, since(2, 10)] = UNSET


class Listed(Schema, kw_only=True):
    name: str
    public_key: str
    fingerprint: str
    type: Annotated[str | UnsetType, since(2, 2)] = UNSET


class Made(Listed, kw_only=True):
    user_id: str
    private_key: str | UnsetType = UNSET


class Shown(Listed, kw_only=True):
    user_id: str
    id: int
    created_at: str | None
    deleted: bool = False
    deleted_at: None = None
    updated_at: None = None


class Wrapped(Schema):
    keypair: Listed


def _wrapped(call: Call, row: Any) -> Wrapped:
    return Wrapped(keypair=Listed(name=row.name, public_key=row.public_key, fingerprint=row.fingerprint, type=row.type))


keypairs = Resource("keypair", "keypairs", "/v2.1/os-keypairs", _wrapped)


def used(session: Session, user_id: str) -> int:
    return session.scalar(select(func.count()).select_from(KeyPair).where(KeyPair.user_id == user_id)) or 0


QUOTA = Quota("key_pairs", 100, used, "server_key_pairs", by_project=False, required=False)


# --- keys ---------------------------------------------------------------------------------------------------------------


def fingerprint(type: str, public_key: str) -> str:
    """MD5 of an SSH key's blob, SHA-1 of a certificate, as upstream shows them. Raises `BadRequest`."""
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_ssh_public_key

    try:
        if type == "x509":
            certificate = x509.load_pem_x509_certificate(public_key.encode())
            from cryptography.hazmat.primitives.serialization import Encoding

            raw = certificate.public_bytes(Encoding.DER)
            digest = hashlib.sha1(raw, usedforsecurity=False).hexdigest()
            return ":".join(digest[n : n + 2] for n in range(0, 40, 2))
        load_ssh_public_key(public_key.strip().encode())
        import base64

        blob = base64.b64decode(public_key.split()[1])
    except (ValueError, IndexError, UnsupportedAlgorithm) as bad:
        raise BadRequest(f"Keypair data is invalid: failed to read the public key ({bad}).") from None
    digest = hashlib.md5(blob, usedforsecurity=False).hexdigest()
    return ":".join(digest[n : n + 2] for n in range(0, 32, 2))


def generate() -> tuple[str, str]:
    """A new SSH key: (public, private)."""
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

    key = ec.generate_private_key(ec.SECP256R1())
    private = key.private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption()).decode()
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH).decode()
    return f"{public} Generated-by-Nova", private


# --- operations ---------------------------------------------------------------------------------------------------------


def _user(call: Call) -> str:
    """Whose key pairs the query asks about (2.10)."""
    asked = call.param("user_id") if call.version >= (2, 10) else None
    return asked or call.actor.user_id


def whose(call: Call, **_: Any) -> dict[str, Any]:
    return {"user_id": _user(call)}


def whose_new(call: Call, body: KeyPairIn) -> dict[str, Any]:
    return {"user_id": body.user_id or call.actor.user_id}


def find(session: Session, user_id: str, name: str) -> KeyPair | None:
    return session.scalar(select(KeyPair).where(KeyPair.user_id == user_id, KeyPair.name == name))


def _found(call: Call, name: str) -> KeyPair:
    row = find(call.db, _user(call), name)
    if row is None:
        raise NotFound(f"Keypair {name[:255]} not found for user {_user(call)}")
    return row


@keypairs.operation("GET", policy=("os_compute_api:os-keypairs:index", OWNER), about=whose)
def index(call: Call) -> Page:
    query = select(*KeyPair.__table__.columns, KeyPair.name.label("id")).where(KeyPair.user_id == _user(call))
    paged = call.version >= (2, 35)
    limit = limit_of(call.param("limit"), 1000) if paged else None
    marker = call.param("marker") if paged else None
    return page(call.db, query, [(KeyPair.name, False)], KeyPair.name, limit=limit, marker=marker)


@keypairs.operation(
    "POST",
    policy=("os_compute_api:os-keypairs:create", OWNER),
    body=KeyPairIn,
    about=whose_new,
    ok={(2, 1): 200, (2, 2): 201},
)
def create(call: Call, body: KeyPairIn) -> dict[str, Made]:
    user_id = body.user_id or call.actor.user_id
    type_ = body.type or "ssh"
    if body.public_key is UNSET and type_ == "x509":
        raise BadRequest("An x509 key pair needs a public_key, which is a certificate in PEM.")
    if find(call.db, user_id, body.name) is not None:
        raise Conflict(f"Key pair '{body.name}' already exists.")
    call.reserve("key_pairs", 1, counted=user_id)
    public, private = (str(body.public_key), UNSET) if body.public_key is not UNSET else generate()
    row = KeyPair(
        user_id=user_id,
        name=body.name,
        type=type_,
        public_key=public,
        fingerprint=fingerprint(type_, public),
        created_at=call.now,
    )
    call.db.add(row)
    call.record("create", (KIND, f"{user_id}/{row.name}"))
    made = Made(name=row.name, public_key=public, fingerprint=row.fingerprint, user_id=user_id, type=type_)
    made.private_key = private
    return {"keypair": made}


@keypairs.operation("GET", "/{name}", policy=("os_compute_api:os-keypairs:show", OWNER), about=whose)
def show(call: Call, name: str) -> dict[str, Shown]:
    row = _found(call, name)
    shown = Shown(
        name=row.name,
        public_key=row.public_key,
        fingerprint=row.fingerprint,
        type=row.type,
        user_id=row.user_id,
        id=row.number,
        created_at=iso(row.created_at, micro=True, zulu=False),
    )
    return {"keypair": shown}


@keypairs.operation(
    "DELETE",
    "/{name}",
    policy=("os_compute_api:os-keypairs:delete", OWNER),
    about=whose,
    ok={(2, 1): 202, (2, 2): 204},
)
def delete(call: Call, name: str) -> None:
    row = _found(call, name)
    call.db.delete(row)
    call.record("delete", (KIND, f"{row.user_id}/{name}"))


def data(row: KeyPair) -> dict[str, str]:
    """What a server keeps of a key pair, so that its metadata outlives it."""
    return {"name": row.name, "type": row.type, "data": row.public_key}
