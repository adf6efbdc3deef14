"""What an image shows of an import, by properties of upstream's names: which task does it, and which stores are still to come.

They are what the import's lifecycle goes by, too: while `os_glance_import_task` names it the image is its own, and whoever has
lost that changes nothing any more.
"""

from __future__ import annotations

from typing import Any

import msgspec
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core import lifecycle
from tiffin.core.world import World
from tiffin.services.image import content
from tiffin.services.image.tables import BlobRow, ImageRow, TaskRow

TASK = "os_glance_import_task"
COMING = "os_glance_importing_to_stores"
REFUSED = "os_glance_failed_import"
IMPORT = "api_image_import"
"""The type of the tasks that `POST /v2/images/{id}/import` makes."""


class Plan(msgspec.Struct, frozen=True):
    """What an import is to do: the frame that its lifecycle begins with."""

    method: dict[str, Any]  # its name, and what the method keeps in clear
    stores: list[str]
    must: bool = True  # whether it fails when one of the stores does


def begin(session: Session, world: World, task: TaskRow, plan: Plan | None) -> None:
    """Keep a new task, and let its lifecycle run. Without a plan it will say that it cannot."""
    session.add(task)
    session.flush()
    frame = msgspec.structs.asdict(plan) if plan else {}
    lifecycle.begin(session, world, "image.task", task.id, request_id=task.request_id, frame=frame)


def new(world: World, request_id: str, **more: Any) -> TaskRow:
    """A task that has not begun."""
    now = world.clock()
    row: dict[str, Any] = {"type": IMPORT, "status": "pending", "message": "", "roles": [], "input": {}, **more}
    return TaskRow(id=world.new_id(), request_id=request_id, created_at=now, updated_at=now, **row)


def take(image: ImageRow, task_id: str, stores: list[str]) -> None:
    """Make the image the task's own, for bringing it to these stores."""
    _set(image, {TASK: task_id, COMING: ",".join(stores), REFUSED: ""})


def release(image: ImageRow) -> None:
    """The import has ended; what was refused remains to be seen."""
    image.properties = {name: value for name, value in image.properties.items() if name != TASK}


def is_taken(image: ImageRow) -> bool:
    return TASK in image.properties


def expects(image: ImageRow, task_id: str, store: str = "") -> bool:
    """Whether the image waits for what this task brings, into this store."""
    own = image.status != "deleted" and image.properties.get(TASK) == task_id
    return own and (not store or store in coming(image))


def coming(image: ImageRow) -> list[str]:
    """The stores that the import has still to fill, the next one first."""
    return _words(image, COMING)


def refused(image: ImageRow) -> list[str]:
    """The stores that the import could not fill."""
    return _words(image, REFUSED)


def arrive(image: ImageRow, store: str) -> None:
    """A store has the image."""
    _set(image, {COMING: ",".join(name for name in coming(image) if name != store)})


def refuse(image: ImageRow, stores: list[str]) -> None:
    """Stores that the image will not come to."""
    left = [name for name in coming(image) if name not in stores]
    _set(image, {COMING: ",".join(left), REFUSED: ",".join([*refused(image), *stores])})


def staged(session: Session, image_id: str) -> list[BlobRow]:
    """The bytes that wait for the image's import."""
    return list(session.scalars(select(BlobRow).where(BlobRow.image_id == image_id, BlobRow.role == "stage")))


def has(session: Session, image_id: str, store: str) -> bool:
    """Whether a store has the image."""
    return any(blob.store == store for blob in content.blobs(session, image_id))


def own(properties: dict[str, Any]) -> dict[str, Any]:
    """The properties without those that an import has set."""
    return {name: value for name, value in properties.items() if not name.startswith("os_glance")}


def _words(image: ImageRow, name: str) -> list[str]:
    return [word for word in (image.properties.get(name) or "").split(",") if word]


def _set(image: ImageRow, values: dict[str, str | None]) -> None:
    image.properties = {**image.properties, **values}
