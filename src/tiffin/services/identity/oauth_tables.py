"""The rows of OAuth 1.0a. They stand apart from the operations because what only checks tokens reads them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import ENCRYPTED, Id, LongText, Table, Time


def _owned(table: str, **more: Any) -> Any:
    """A foreign key: the row dies with the one it belongs to."""
    return mapped_column(ForeignKey(f"{table}.id", ondelete="CASCADE"), **more)


class Consumer(Table):
    """A program that may ask users to lend it some of their roles."""

    __tablename__ = "identity_consumer"
    id: Mapped[Id] = mapped_column(primary_key=True)
    description: Mapped[LongText | None]
    secret: Mapped[bytes] = mapped_column(info=ENCRYPTED)
    extra: Mapped[dict[str, Any]] = mapped_column(default=dict)


class RequestToken(Table):
    """A consumer's wish for roles on a project. A user who grants it gets a verifier for the consumer, which draws the
    access token by it."""

    __tablename__ = "identity_request_token"
    id: Mapped[Id] = mapped_column(primary_key=True)
    consumer_id: Mapped[Id] = _owned("identity_consumer", index=True)
    project_id: Mapped[Id] = _owned("identity_project")
    secret: Mapped[bytes] = mapped_column(info=ENCRYPTED)
    expires_at: Mapped[Time | None] = mapped_column(index=True)
    user_id: Mapped[Id | None] = _owned("identity_user")  # who granted it
    verifier: Mapped[bytes | None] = mapped_column(info=ENCRYPTED)
    role_ids: Mapped[list[str]] = mapped_column(default=list)


class AccessToken(Table):
    """Roles of a user on a project that are lent to a consumer."""

    __tablename__ = "identity_access_token"
    id: Mapped[Id] = mapped_column(primary_key=True)
    consumer_id: Mapped[Id] = _owned("identity_consumer", index=True)
    user_id: Mapped[Id] = _owned("identity_user", index=True)
    project_id: Mapped[Id] = _owned("identity_project")
    secret: Mapped[bytes] = mapped_column(info=ENCRYPTED)
    expires_at: Mapped[Time | None]
    role_ids: Mapped[list[str]]
