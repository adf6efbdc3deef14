"""The JSON schemas of tasks, for clients that read them."""

from __future__ import annotations

from typing import Any

from tiffin.services.image.rules import UUID

TYPES = ("import", "api_image_import", "location_import")
STATUSES = ("pending", "processing", "success", "failure")

_READ_ONLY: dict[str, Any] = {"type": "string", "readOnly": True}


def _said(description: str, kind: str | list[str] = "string", **more: Any) -> dict[str, Any]:
    return {"description": description, "type": kind, **more}


_SHOWN: dict[str, Any] = {
    "id": _said("The task's identifier, a UUID", pattern=UUID),
    "type": _said("What the task does", enum=list(TYPES)),
    "status": _said("Where the task is in its life", enum=list(STATUSES)),
    "owner": _said("The project that asked for the task"),
    "image_id": _said("The image that the task works on"),
    "request_id": _said("The request that made the task"),
    "user_id": _said("The user who asked for the task"),
    "expires_at": _said("When the task will no longer be shown; null while it has not ended", ["null", "string"]),
    "created_at": _said("When the task was asked for"),
    "updated_at": _said("When the task was last changed"),
    "self": _READ_ONLY,
    "schema": _READ_ONLY,
}
_DETAILS: dict[str, Any] = {
    "input": _said("What the task was asked to do", ["null", "object"]),
    "result": _said("What came of it; null while it has not ended well", ["null", "object"]),
    "message": _said("How far it is, or why it has failed"),
}
TASK: dict[str, Any] = {"name": "task", "properties": {**_SHOWN, **_DETAILS}}
TASKS: dict[str, Any] = {
    "name": "tasks",
    "properties": {
        "tasks": {"type": "array", "items": {"name": "task", "properties": _SHOWN}},
        "schema": {"type": "string"},
    },
    "links": [{"rel": "describedby", "href": "{schema}"}],
}
