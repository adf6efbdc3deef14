"""How rows are declared, and the tables of the core itself."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, Index, Integer, LargeBinary, String, Text, UniqueConstraint, text
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

Id = Annotated[str, mapped_column(String(64))]
Name = Annotated[str, mapped_column(String(255))]
LongText = Annotated[str, mapped_column(Text)]
Time = Annotated[float, mapped_column(Float(53))]
"""Seconds since the epoch, UTC."""
Big = Annotated[int, mapped_column(BigInteger)]
SECRET: dict[str, Any] = {"secret": True}
"""`mapped_column(..., info=SECRET)`: never written to the change log."""
ENCRYPTED: dict[str, Any] = {"secret": True, "encrypted": True}
"""... and kept as `Cloud.secrets` encrypts it, so that a rotation of its keys encrypts it anew."""


class Table(DeclarativeBase):
    """A row. Columns hold what we store; what clients see is the view's business."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {
        dict[str, Any]: JSON,
        list[Any]: JSON,
        list[str]: JSON,
        dict[str, str]: JSON,
        str: String(255),
        bytes: LargeBinary,
    }


LOGIN = "authenticate"
"""The kind of the changes that are logins: all of them are rows of this table, and only they are removed some day."""
IS_LOGIN = text(f"kind = '{LOGIN}'")
"""The same as a condition; without a parameter, so that a database sees which index has exactly these."""


class Change(Table):
    """One line of the log of everything that happened; see `changes.py`."""

    __tablename__ = "change"
    __table_args__ = (
        Index("change_resource", "resource_type", "resource_id"),
        Index("change_login", "at", sqlite_where=IS_LOGIN, postgresql_where=IS_LOGIN),
        {"sqlite_autoincrement": True},
    )
    sequence: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    at: Mapped[Time]
    request_id: Mapped[Id]
    actor_id: Mapped[Id | None]
    project_id: Mapped[Id | None]
    resource_type: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[str]
    kind: Mapped[str] = mapped_column(String(64))
    before: Mapped[dict[str, Any] | None]
    after: Mapped[dict[str, Any] | None]
    via: Mapped[dict[str, Any] | None]  # how the request came: `Call.via`; None where the cloud acted by itself


class LifecycleRow(Table):
    """What a long-lived resource does next, and who is doing it; see `lifecycle.py`."""

    __tablename__ = "lifecycle"
    __table_args__ = (UniqueConstraint("kind", "resource_id"), Index("lifecycle_due", "wake"))
    id: Mapped[Id] = mapped_column(primary_key=True)
    kind: Mapped[str] = mapped_column(String(64))
    resource_id: Mapped[Id]
    step: Mapped[str] = mapped_column(String(64))
    frame: Mapped[dict[str, Any]] = mapped_column(default=dict)
    wake: Mapped[Time | None]  # None: rests until a request comes
    lease: Mapped[Time] = mapped_column(default=0.0)  # until when its runner owns it
    owner: Mapped[str | None]  # the node of that runner
    turn: Mapped[Big] = mapped_column(default=0)
    attempts: Mapped[int] = mapped_column(default=0)
    deadline: Mapped[Time | None]
    request_id: Mapped[Id]


class LifecycleRequest(Table):
    """Something asked of a lifecycle, in order of arrival. Nobody calls into a running one."""

    __tablename__ = "lifecycle_request"
    __table_args__ = (Index("lifecycle_request_of", "lifecycle_id"), {"sqlite_autoincrement": True})
    id: Mapped[int] = mapped_column(BigInteger().with_variant(Integer, "sqlite"), primary_key=True)
    lifecycle_id: Mapped[Id]
    name: Mapped[str] = mapped_column(String(64))
    args: Mapped[dict[str, Any]] = mapped_column(default=dict)
    request_id: Mapped[Id]


class IdempotentAnswer(Table):
    """What a mutation with an Idempotency-Key answered, encrypted since it may hold a secret."""

    __tablename__ = "idempotent_answer"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)  # digest of actor, project and key
    fingerprint: Mapped[str] = mapped_column(String(64))  # digest of method, path and body
    at: Mapped[Time] = mapped_column(index=True)
    answer: Mapped[bytes] = mapped_column(info=ENCRYPTED)


class QuotaLimit(Table):
    """A project's own limit, where it differs from the service's default."""

    __tablename__ = "quota_limit"
    project_id: Mapped[Id] = mapped_column(primary_key=True)
    service: Mapped[str] = mapped_column(String(32), primary_key=True)
    resource: Mapped[str] = mapped_column(String(64), primary_key=True)
    hard_limit: Mapped[int]


class Fact(Table):
    """A small truth about this cloud as a whole, such as that its first start is complete."""

    __tablename__ = "fact"
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[LongText]
