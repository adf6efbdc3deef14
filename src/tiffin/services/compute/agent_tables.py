"""The rows of hosts that are other machines."""

from __future__ import annotations

from sqlalchemy.orm import Mapped, mapped_column

from tiffin.core.tables import Id, Table, Time


class HostToken(Table):
    """Lets one machine join. What is kept cannot be used: a digest of the secret."""

    __tablename__ = "host_token"
    digest: Mapped[Id] = mapped_column(primary_key=True)
    host: Mapped[str | None]  # the only name that may join with it; any, if none
    created_at: Mapped[Time]
    expires_at: Mapped[Time]
    used_by: Mapped[str | None]  # the host that joined; with the same key it may ask again, if the answer was lost


class HostAgent(Table):
    """A machine that has joined: how its agent is reached, and by which key it is known."""

    __tablename__ = "host_agent"
    name: Mapped[str] = mapped_column(primary_key=True)
    address: Mapped[str]  # HOST:PORT
    key_digest: Mapped[Id]  # SHA-256 of its public key
    joined_at: Mapped[Time]
    certified_at: Mapped[Time]
