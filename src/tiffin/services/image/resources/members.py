"""Members: the projects with which an image is shared, and whether they accepted it."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import Meta
from sqlalchemy import func, select

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Conflict, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema
from tiffin.core.world import iso
from tiffin.services.image import search
from tiffin.services.image.resources.images import OWNER, find, is_admin
from tiffin.services.image.rules import check_amount
from tiffin.services.image.tables import ImageRow, MemberRow

READ = "rule:context_is_admin or role:reader and (project_id:%(project_id)s or project_id:%(member_id)s)"


STATUSES = ("pending", "accepted", "rejected")


class MemberIn(Schema):
    _unknown_ = "ignore"
    member: Annotated[str, Meta(min_length=1, max_length=255)]


class StatusIn(Schema):
    _unknown_ = "ignore"  # clients say the member again
    status: Annotated[str, Meta(max_length=255)]


class MemberOut(Schema):
    member_id: str
    image_id: str
    status: str
    created_at: str | None
    updated_at: str | None
    schema: str = "/v2/schemas/member"


def view(call: Call, row: MemberRow) -> MemberOut:
    return MemberOut(
        member_id=row.member_id,
        image_id=row.image_id,
        status=row.status,
        created_at=iso(row.created_at),
        updated_at=iso(row.updated_at),
    )


members = Resource("member", "members", "/v2/images/{id}/members", view)


def _image(call: Call, id: str) -> ImageRow:
    """The image, which the actor may see and which is shared. Raises `NotFound` or `Forbidden`."""
    image = find(call, id)
    call.enforce("get_image", search.target(image, call.actor))
    if image.visibility != "shared":
        raise Forbidden("Only shared images have members.")
    return image


def _of_image(call: Call, id: str, **_: Any) -> Target:
    """An image and the actor's share in it, if there is one."""
    image = _image(call, id)
    share = MemberRow.image_id == id, MemberRow.member_id == call.actor.project_id
    return Target(image, member_id=call.db.scalar(select(MemberRow.member_id).where(*share)))


def _of_member(call: Call, id: str, member_id: str, **_: Any) -> Target:
    image, member = _image(call, id), call.db.get(MemberRow, (id, member_id))
    if member is None or not (is_admin(call) or call.actor.project_id in (image.owner, member_id)):
        raise NotFound(f"{member_id} not found in the member list of the image {id}.")
    return Target(image, member_id=member_id, member=member)


def _to_show(call: Call, id: str, member_id: str, **_: Any) -> Target:
    """The same; whoever may not see it is not told that it is there."""
    try:
        return _of_member(call, id, member_id)
    except Forbidden as fault:
        raise NotFound(fault.message) from None


@members.operation(
    "POST",
    policy=("add_member", OWNER),
    about=_of_image,
    body=MemberIn,
    root="",
    event="create",
    ok=200,
    answer_root="",
)
def create(call: Call, id: str, body: MemberIn) -> MemberRow:
    if call.db.get(MemberRow, (id, body.member)) is not None:
        raise Conflict(f"Member {body.member} is duplicated for image {id}")
    count = call.db.scalar(select(func.count()).select_from(MemberRow).where(MemberRow.image_id == id)) or 0
    check_amount("members", count + 1, call.service.settings.limits.members)
    row = MemberRow(image_id=id, member_id=body.member, status="pending", created_at=call.now, updated_at=call.now)
    call.db.add(row)
    return row


@members.operation("GET", policy=("get_members", READ), about=_of_image)
def index(call: Call, id: str) -> Page:
    statement = select(MemberRow).where(MemberRow.image_id == id).order_by(MemberRow.created_at, MemberRow.member_id)
    if not is_admin(call) and call.subject["project_id"] != call.actor.project_id:
        statement = statement.where(MemberRow.member_id == call.actor.project_id)
    return Page(list(call.db.scalars(statement)), extra={"schema": "/v2/schemas/members"})


@members.operation("GET", "/{member_id}", policy=("get_member", READ), about=_to_show, answer_root="")
def show(call: Call, id: str, member_id: str) -> MemberRow:
    return _subject(call)


@members.operation(
    "PUT",
    "/{member_id}",
    about=_of_member,
    body=StatusIn,
    root="",
    event="update",
    answer_root="",
    policy=("modify_member", "rule:context_is_admin or (role:member and project_id:%(member_id)s)"),
)
def update(call: Call, id: str, member_id: str, body: StatusIn) -> MemberRow:
    row = _subject(call)
    if body.status not in STATUSES:
        raise BadRequest('Incorrect request: Status must be "pending", "accepted" or "rejected".')
    row.status, row.updated_at = body.status, call.now
    return row


@members.operation("DELETE", "/{member_id}", policy=("delete_member", OWNER), about=_of_member, event="delete")
def delete(call: Call, id: str, member_id: str) -> None:
    call.db.delete(_subject(call))


def _subject(call: Call) -> MemberRow:
    row: MemberRow = call.subject["member"]
    return row
