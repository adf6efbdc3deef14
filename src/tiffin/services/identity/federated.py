"""Which identities of identity providers belong to a user: the list `federated` of a user's body."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import ForeignKey, ForeignKeyConstraint, Index, Select, UniqueConstraint, delete, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict
from tiffin.core.tables import Id, Name, Table
from tiffin.services.identity.federation_tables import FederationProtocol, IdentityProvider
from tiffin.services.identity.schemas import Loose
from tiffin.services.identity.tables import User


class FederatedUser(Table):
    """An identity that an identity provider vouches for, by one of its protocols."""

    __tablename__ = "identity_federated_user"
    __table_args__ = (
        ForeignKeyConstraint(
            ["protocol_id", "idp_id"],
            ["identity_federation_protocol.id", "identity_federation_protocol.idp_id"],
            ondelete="CASCADE",
        ),
        Index("identity_federated_user_unique_id", "unique_id"),
        UniqueConstraint("user_id", "position"),
    )
    idp_id: Mapped[Id] = mapped_column(primary_key=True)
    protocol_id: Mapped[Id] = mapped_column(primary_key=True)
    unique_id: Mapped[Name] = mapped_column(primary_key=True)
    user_id: Mapped[Id] = mapped_column(ForeignKey("identity_user.id", ondelete="CASCADE"))
    position: Mapped[int]  # in the user's list


class ProtocolIn(Loose, kw_only=True):
    protocol_id: Annotated[str, Meta(max_length=64)]
    unique_id: Annotated[str, Meta(max_length=255)]


class FederatedIn(Loose, kw_only=True):
    idp_id: Annotated[str, Meta(max_length=64)]
    protocols: Annotated[list[ProtocolIn], Meta(min_length=1, max_length=64)]


FederatedList = Annotated[list[FederatedIn], Meta(max_length=64)]


def check(session: Session, wanted: list[FederatedIn]) -> None:
    """Raises `BadRequest` for an identity provider, or a protocol of one, that does not exist."""
    for item in wanted:
        if session.get(IdentityProvider, item.idp_id) is None:
            raise BadRequest(f"Could not find Identity Provider: {item.idp_id}.")
        for protocol in item.protocols:
            if session.get(FederationProtocol, (protocol.protocol_id, item.idp_id)) is None:
                raise BadRequest(
                    f"Could not find federated protocol {protocol.protocol_id} for Identity Provider: {item.idp_id}."
                )


def replace(session: Session, user_id: str, wanted: list[FederatedIn]) -> None:
    """Let a user have these identities and no others. Raises `Conflict` for one that is another user's."""
    session.execute(delete(FederatedUser).where(FederatedUser.user_id == user_id))
    keys = dict.fromkeys((i.idp_id, p.protocol_id, p.unique_id) for i in wanted for p in i.protocols)
    for position, key in enumerate(keys):
        if session.get(FederatedUser, key) is not None:
            raise Conflict(f"The identity {key[2]} of {key[0]} belongs to another user already.")
        idp_id, protocol_id, unique_id = key
        session.add(
            FederatedUser(
                idp_id=idp_id, protocol_id=protocol_id, unique_id=unique_id, user_id=user_id, position=position
            )
        )
    session.flush()


def show(session: Session, user_id: str) -> list[dict[str, Any]]:
    """A user's identities as its body has them: by identity provider."""
    found: dict[str, dict[str, Any]] = {}
    for row in session.execute(
        select(FederatedUser.idp_id, FederatedUser.protocol_id, FederatedUser.unique_id)
        .where(FederatedUser.user_id == user_id)
        .order_by(FederatedUser.position)
    ):
        item = found.setdefault(row.idp_id, {"idp_id": row.idp_id, "protocols": []})
        item["protocols"].append({"protocol_id": row.protocol_id, "unique_id": row.unique_id})
    return list(found.values())


def narrow(call: Call, statement: Select[Any]) -> Select[Any]:
    """Only users with an identity of this `idp_id`, `protocol_id` and `unique_id`, where the query says so."""
    asked = {word: value for word in ("idp_id", "protocol_id", "unique_id") if (value := call.param(word)) is not None}
    if not asked:
        return statement
    conditions = [getattr(FederatedUser, word) == value for word, value in asked.items()]
    return statement.where(User.id.in_(select(FederatedUser.user_id).where(*conditions)))
