"""Tasks: long work as clients see it. Imports make them; `POST /v2/tasks` is the old way to import, for administrators."""

from __future__ import annotations

import re
import urllib.parse
from typing import Annotated, Any, NoReturn

from msgspec import UNSET, Meta
from sqlalchemy import ColumnElement, or_, select

from tiffin.core import changes
from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, MethodNotAllowed, NotFound
from tiffin.core.listing import limit_of, page
from tiffin.core.policy import Target
from tiffin.core.resource import Page, Resource
from tiffin.core.schema import Schema, convert
from tiffin.core.world import iso
from tiffin.services.image import import_parts, importing
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.resources import images
from tiffin.services.image.resources.images import ADMIN, is_admin, look, missing
from tiffin.services.image.resources.task_schemas import STATUSES, TASK, TASKS, TYPES
from tiffin.services.image.rules import UUID
from tiffin.services.image.tables import TaskRow

SORTABLE = ("created_at", "expires_at", "id", "status", "type", "updated_at")
WEB = "web-download"


def stub(call: Call, row: Any) -> dict[str, Any]:
    """A task in a list."""
    found = {name: getattr(row, name) for name in ("id", "type", "status", "owner")}
    found |= {"created_at": iso(row.created_at), "updated_at": iso(row.updated_at)}
    if row.expires_at is not None:
        found["expires_at"] = iso(row.expires_at)
    return {**found, "self": f"/v2/tasks/{row.id}", "schema": "/v2/schemas/task"}


def view(call: Call, row: Any) -> dict[str, Any]:
    found = {**stub(call, row), "input": row.input, "result": row.result, "message": row.message}
    for name in ("image_id", "request_id", "user_id"):
        if getattr(row, name):
            found[name] = getattr(row, name)
    return found


tasks = Resource(
    "task",
    "tasks",
    "/v2/tasks",
    stub,
    rules=[("get_task", "rule:default"), ("get_tasks", "rule:default"), ("add_task", "rule:default"),
           ("modify_task", "rule:default")],
)  # fmt: skip
ACCESS = ("tasks_api_access", ADMIN)


def _seen(call: Call) -> list[ColumnElement[bool]]:
    """The tasks that the actor may see: their project's, an administrator every one, until they expire."""
    alive = or_(TaskRow.expires_at.is_(None), TaskRow.expires_at > call.now)
    return [alive] if is_admin(call) else [alive, TaskRow.owner == call.actor.project_id]


# --- the old way to import ------------------------------------------------------------------------------------------------


class TaskIn(Schema):
    type: Annotated[str, Meta(pattern=f"^(?:{'|'.join(TYPES)})$", max_length=32)]
    input: dict[Annotated[str, Meta(max_length=255)], Any]


class ImportInput(Schema):
    _unknown_ = "ignore"
    import_from: Annotated[str, Meta(min_length=1, max_length=4096)]
    import_from_format: Annotated[str, Meta(max_length=64)]
    image_properties: dict[Annotated[str, Meta(max_length=255)], Any]


@tasks.operation("POST", policy=ACCESS, body=TaskIn, root="")
def create(call: Call, body: TaskIn) -> dict[str, Any]:
    call.enforce("add_task")
    task = importing.new(
        call.cloud.world,
        call.request_id,
        type=body.type,
        owner=call.actor.project_id,
        user_id=call.actor.user_id,
        roles=sorted(call.actor.roles),
        input=body.input,
    )
    if body.type == "import":
        _import(call, task)
    else:  # it will say that these are made by other requests
        task.image_id = _image_id(body.input)
        importing.begin(call.db, call.cloud.world, task, None)
    call.record("create", ("image.task", task.id), after=changes.picture(task))
    call.response_headers["Location"] = f"{call.base_url}/v2/tasks/{task.id}"
    return view(call, task)


def _image_id(given: dict[str, Any]) -> str | None:
    found = given.get("image_id", UNSET)
    if found is UNSET:
        return None
    if not isinstance(found, str) or len(found) > 64:
        raise BadRequest("Invalid input for field/attribute input.image_id: it must be the id of an image.")
    return found


def _import(call: Call, task: TaskRow) -> None:
    """Make the record of the image that the task is for, and let it import as from the web."""
    asked: ImportInput = convert(ImportInput, task.input)
    if WEB not in call.service.settings.imports.enabled_import_methods:
        raise BadRequest(f"This cloud does not import from the web: the method {WEB} is not enabled.")
    described = {"disk_format": asked.import_from_format, "container_format": "bare", "visibility": "private"}
    target = Target(None, project_id=call.actor.project_id, owner=call.actor.project_id)
    call.enforce("add_image", target)
    for name in ("image_count_total", "image_count_uploading"):
        call.reserve(name, 1)
    image = images.make(call, {**described, **asked.image_properties})
    call.db.flush()
    given = import_parts.method(WEB).check(call, image, {"name": WEB, "uri": asked.import_from})
    stores = [call.part(ImageStores).default]
    image.status = "importing"
    importing.take(image, task.id, stores)
    task.image_id = image.id
    plan = importing.Plan({"name": WEB, **given.input}, stores)
    importing.begin(call.db, call.cloud.world, task, plan)
    call.record("create", ("image.image", image.id), after={"name": image.name, "status": image.status})


# --- tasks are seen -------------------------------------------------------------------------------------------------------


@tasks.operation("GET", policy=ACCESS)
def index(call: Call) -> Page:
    call.enforce("get_tasks")
    marker, limit = call.param("marker"), limit_of(call.param("limit"), 1000, 25)
    if marker:
        _check_marker(marker)
    direction, key = call.param("sort_dir", "desc"), call.param("sort_key", "created_at") or ""
    if direction not in ("asc", "desc"):
        raise BadRequest(f"Invalid sort direction: {direction!r:.80}")
    if key not in SORTABLE:
        raise BadRequest(f"Invalid sort key: {key!r:.80}. It must be one of the following: {', '.join(SORTABLE)}.")
    statement = select(*TaskRow.__table__.columns).where(*_seen(call), *_filters(call))
    found = page(
        call.db, statement, [(getattr(TaskRow, key), direction == "desc")], TaskRow.id, limit=limit, marker=marker or None
    )
    found.links = False
    found.extra = {"schema": "/v2/schemas/tasks", "first": _href(call, None)}
    if found.more and found.rows:
        found.extra["next"] = _href(call, found.rows[-1].id)
    return found


def _check_marker(marker: str) -> None:
    if not re.fullmatch(UUID, marker):
        raise BadRequest("Invalid marker format")


def _filters(call: Call) -> list[ColumnElement[bool]]:
    found = []
    for name, known in (("status", STATUSES), ("type", TYPES)):
        value = call.param(name)
        if value and value not in known:
            raise BadRequest(f"Invalid {name} value: {value:.80}")
        if value:
            found.append(getattr(TaskRow, name) == value)
    for name in ("id", "owner", "image_id", "user_id", "request_id"):
        value = call.param(name)
        if value is not None:
            found.append(getattr(TaskRow, name) == value)
    return found


def _href(call: Call, marker: str | None) -> str:
    query = [(k, v) for k, values in call.query.items() if k != "marker" for v in values]
    query += [("marker", marker)] if marker else []
    return "/v2/tasks" + (f"?{urllib.parse.urlencode(query)}" if query else "")


def _find(call: Call, id: str) -> TaskRow:
    row = call.db.scalar(select(TaskRow).where(TaskRow.id == id, *_seen(call)))
    if row is None:
        raise NotFound(f"No task found with ID {id:.80}")
    return row


@tasks.operation("GET", "/{id}", policy=ACCESS)
def show(call: Call, id: str) -> dict[str, Any]:
    call.enforce("get_task")
    return view(call, _find(call, id))


@tasks.operation("DELETE", "/{id}", policy=ACCESS, transaction="read")
def delete(call: Call, id: str) -> NoReturn:
    """Nobody deletes tasks: they expire."""
    raise MethodNotAllowed(
        "This operation is currently not permitted on Glance Tasks. They are auto deleted after reaching the time based on "
        "their expires_at property.",
        headers={"Allow": "GET"},
    )


image_tasks = Resource("task", "tasks", "/v2/images/{id}/tasks")


@image_tasks.operation("GET", policy=None, about=look)
def of_image(call: Call, id: str) -> dict[str, Any]:
    if not call.allows("get_image", call.subject):
        raise missing(id)
    alive = or_(TaskRow.expires_at.is_(None), TaskRow.expires_at > call.now)
    found = select(*TaskRow.__table__.columns).where(TaskRow.image_id == id, alive)
    rows = call.db.execute(found.order_by(TaskRow.created_at, TaskRow.id))
    return {"tasks": [_raw(row) for row in rows]}


def _raw(row: Any) -> dict[str, Any]:
    """A task as upstream's database has it, which is what it shows here."""
    names = ("id", "image_id", "request_id", "user_id", "type", "status", "owner", "input", "result", "message")
    found: dict[str, Any] = {name: getattr(row, name) for name in names}
    for name in ("expires_at", "created_at", "updated_at"):
        found[name] = iso(getattr(row, name), micro=True, zulu=False)
    return {**found, "deleted": False, "deleted_at": None}


task_schemas = Resource("schema", "schemas", "/v2/schemas")


@task_schemas.operation("GET", "/task", policy=None)
def task_schema(call: Call) -> dict[str, Any]:
    return TASK


@task_schemas.operation("GET", "/tasks", policy=None)
def tasks_schema(call: Call) -> dict[str, Any]:
    return TASKS
