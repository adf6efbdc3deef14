"""A service with one resource and one lifecycle, which uses what the core offers."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from msgspec import UNSET, Meta, UnsetType
from sqlalchemy import func, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.call import Call
from tiffin.core.driver import Refused
from tiffin.core.errors import Conflict, NotFound
from tiffin.core.http.dialect import Dialect
from tiffin.core.lifecycle import Lifecycle, Outcome, done, go, inside, outside, rest
from tiffin.core.listing import limit_of, page
from tiffin.core.quota import Quota
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, Version, required_since, since
from tiffin.core.service import Service
from tiffin.core.tables import Id, Name, Table

OWN = "role:admin or project_id:%(project_id)s"


class ToyRow(Table):
    __tablename__ = "toy"
    id: Mapped[Id] = mapped_column(primary_key=True)
    project_id: Mapped[Id]
    name: Mapped[Name]
    color: Mapped[str | None]
    status: Mapped[str]


class ToyIn(Schema):
    name: Annotated[str, Meta(min_length=1, max_length=20)]
    color: Annotated[str | UnsetType, since(1, 2), required_since(1, 5)] = UNSET


class ToyOut(Schema):
    id: str
    name: str
    status: str
    color: Annotated[str | UnsetType | None, since(1, 2)] = UNSET


class Workshop:
    """The outside world of toys."""

    def __init__(self) -> None:
        self.made: set[str] = set()
        self.refusing = 0

    def ensure(self, id: str) -> None:
        if self.refusing:
            self.refusing -= 1
            raise Refused("out of paint")
        self.made.add(id)


def view(call: Call, row: Any) -> ToyOut:
    return ToyOut(id=row.id, name=row.name, status=row.status, color=row.color)


class ToyDialect(Dialect):
    def negotiate(self, request: Any) -> Version:
        major, _, minor = (request.get_header("Toy-Version") or "1.9").partition(".")
        return int(major), int(minor)


toys = Resource("toy", "toys", "/v1/toys", view)


def find(call: Call, id: str, **_: Any) -> ToyRow:
    row = call.db.get(ToyRow, id)
    if row is None or (row.project_id != call.actor.project_id and not call.actor.is_admin):
        raise NotFound(f"Toy {id} could not be found.")
    return row


@toys.operation(
    "POST",
    policy=("toy:create", "role:member"),
    body=ToyIn,
    quota="toys",
    event="create",
    ok={(1, 0): 200, (1, 2): 202},
)
def create(call: Call, body: ToyIn) -> ToyRow:
    if call.db.scalar(select(ToyRow.id).where(ToyRow.name == body.name, ToyRow.project_id == call.actor.project_id)):
        raise Conflict(f"There is a toy named {body.name} already.")
    row = ToyRow(
        id=call.new_id(),
        project_id=call.actor.project_id,
        name=body.name,
        status="BUILD",
        color=None if body.color is UNSET else body.color,
    )
    call.db.add(row)
    call.begin("toy.toy", row.id)
    return row


@toys.operation("GET", policy=("toy:list", OWN))
def index(call: Call) -> Page:
    mine = select(*ToyRow.__table__.columns).where(ToyRow.project_id == call.actor.project_id)
    return page(
        call.db,
        mine,
        [(ToyRow.name, False)],
        ToyRow.id,
        limit=limit_of(call.param("limit"), 10),
        marker=call.param("marker"),
    )


@toys.operation("GET", "/{id}", policy=("toy:show", OWN), about=find)
def show(call: Call, id: str) -> ToyRow:
    return call.subject


@toys.operation("DELETE", "/{id}", policy=("toy:delete", OWN), about=find, event="delete")
def delete(call: Call, id: str) -> None:
    call.ask("toy.toy", id, "delete")


@toys.action("paint", policy=("toy:paint", OWN), about=find, event="update", answer_root="toy")
def paint(call: Call, id: str, body: Any) -> None:
    call.subject.color = str(body["color"])


class ToyLife(Lifecycle):
    kind = "toy.toy"
    requests: ClassVar = {"remake": "start"}
    patience = 3

    @outside
    def start(self) -> Outcome:
        self.part(Workshop).ensure(self.id)
        return go("finish")

    @inside
    def finish(self) -> Outcome:
        self.db.get_one(ToyRow, self.id).status = "ACTIVE"
        self.record("create.end", "toy.toy")
        return rest()

    @inside
    def failed(self) -> Outcome:
        self.db.get_one(ToyRow, self.id).status = f"ERROR: {self.reason}"
        return rest()

    @outside
    def teardown(self) -> Outcome:
        self.part(Workshop).made.discard(self.id)
        return go("gone")

    @inside
    def gone(self) -> Outcome:
        self.db.delete(self.db.get_one(ToyRow, self.id))
        return done()


def used(session: Session, project_id: str) -> int:
    return session.scalar(select(func.count()).select_from(ToyRow).where(ToyRow.project_id == project_id)) or 0


service = Service(
    type="toy",
    name="toy",
    prefix="/toy",
    api="/v1",
    dialect=ToyDialect(),
    resources=(toys,),
    lifecycles=(ToyLife,),
    quotas={"toys": Quota("toys", 3, used)},
)
