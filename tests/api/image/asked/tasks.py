"""Imports by copying, and tasks."""

from __future__ import annotations

from api.image.conftest import ImageCloud
from api.image.personas import ANY, PROJECTS, READERS, Row, thing


@thing("task")
def task(cloud: ImageCloud) -> str:
    """Of p1, which has imported an image."""
    id = cloud.make(visibility="private")["id"]
    assert cloud.put(id, b"some bytes", what="stage").status == 204
    asked = {"method": {"name": "glance-direct"}}
    assert cloud.ask("POST", f"/image/v2/images/{id}/import", json=asked).status == 202
    cloud.settle()
    return str(cloud.ask("GET", f"/image/v2/images/{id}/tasks").json["tasks"][0]["id"])


COPY = {"method": {"name": "copy-image"}, "all_stores": True}
ROWS = [
    Row("POST", "/v2/images/{published}/import", "admin", see=PROJECTS, body=COPY, ok=202),
    Row("GET", "/v2/images/{private}/tasks", READERS, see=""),
    Row("GET", "/v2/images/{public}/tasks", PROJECTS, see=""),
    Row("GET", "/v2/tasks", "admin"),
    Row("POST", "/v2/tasks", "admin", body={"type": "location_import", "input": {}}),
    Row("GET", "/v2/tasks/{task}", "admin"),
    Row("DELETE", "/v2/tasks/{task}", "admin", ok=405),
    Row("GET", "/v2/schemas/task", ANY),
    Row("GET", "/v2/schemas/tasks", ANY),
]
