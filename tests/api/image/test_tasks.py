"""Tasks as clients see them, and the old way to import by them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import select

from api.image import plugins
from api.image.test_imports import DATA, DIRECT, FEED, ImportCloud
from tiffin.core.http.local import Reply
from tiffin.services.image import import_names
from tiffin.services.image.tables import ImageRow, TaskRow

OLD: dict[str, Any] = {
    "type": "import",
    "input": {
        "import_from": "http://example.com/image",
        "import_from_format": "raw",
        "image_properties": {"name": "imported", "container_format": "bare", "os_distro": "debian"},
    },
}
HOUR = 3600


class TaskCloud(ImportCloud):
    def ask_task(self, body: Any = OLD, token: str = "admin") -> Reply:
        return self.ask("POST", "/image/v2/tasks", token, body)

    def task(self, id: str, token: str = "admin") -> dict[str, Any]:
        reply = self.ask("GET", f"/image/v2/tasks/{id}", token)
        assert reply.status == 200, reply.body
        found: dict[str, Any] = reply.json
        return found

    def ids(self, query: str = "", token: str = "admin") -> list[str]:
        reply = self.ask("GET", f"/image/v2/tasks{query}", token)
        assert reply.status == 200, reply.body
        return [task["id"] for task in reply.json["tasks"]]

    def imported(self) -> str:
        """The id of a task that has imported an image of the member's."""
        id = self.staged()
        assert self.ask_import(id, DIRECT).status == 202
        self.settle()
        self.clock.now += 10
        return str(self.tasks(id)[0]["id"])


@pytest.fixture
def cloud() -> Iterator[TaskCloud]:
    made = TaskCloud()
    yield made
    made.close()


@pytest.fixture
def web(monkeypatch: pytest.MonkeyPatch) -> Iterator[TaskCloud]:
    """A cloud whose method `web-download` is the test's own, which needs no web."""
    monkeypatch.setitem(import_names.METHODS, "web-download", "api.image.plugins:feed")
    made = TaskCloud("sign", methods=("glance-direct", "web-download"))
    yield made
    made.close()


# --- what is seen ---------------------------------------------------------------------------------------------------------


def test_a_task_as_upstream_shows_it(cloud: TaskCloud) -> None:
    id = cloud.imported()
    task = cloud.task(id)
    image_id = task["image_id"]
    assert task == {
        "id": id,
        "type": "api_image_import",
        "status": "success",
        "owner": "p1",
        "image_id": image_id,
        "user_id": "member-id",
        "request_id": task["request_id"],
        "input": {"image_id": image_id, "import_req": {"method": {"name": "glance-direct"}}, "backend": ["fast"]},
        "result": {"image_id": image_id},
        "message": "Copied 0 MiB",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
        "expires_at": "2027-01-17T08:00:00Z",
        "self": f"/v2/tasks/{id}",
        "schema": "/v2/schemas/task",
    }


def test_a_list_has_less_of_each(cloud: TaskCloud) -> None:
    id = cloud.imported()
    listed = cloud.ask("GET", "/image/v2/tasks", "admin").json
    (task,) = listed.pop("tasks")
    assert listed == {"first": "/v2/tasks", "schema": "/v2/schemas/tasks"}
    assert task == {
        "id": id,
        "type": "api_image_import",
        "status": "success",
        "owner": "p1",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
        "expires_at": "2027-01-17T08:00:00Z",
        "self": f"/v2/tasks/{id}",
        "schema": "/v2/schemas/task",
    }


def test_the_tasks_of_an_image(cloud: TaskCloud) -> None:
    id = cloud.staged()
    assert cloud.ask("GET", f"/image/v2/images/{id}/tasks", "reader").json == {"tasks": []}
    reply = cloud.ask_import(id, DIRECT)
    (task,) = cloud.ask("GET", f"/image/v2/images/{id}/tasks", "reader").json["tasks"]
    assert task == {
        "id": task["id"],
        "image_id": id,
        "request_id": reply.headers["x-openstack-request-id"],
        "user_id": "member-id",
        "type": "api_image_import",
        "status": "pending",
        "owner": "p1",
        "input": {"image_id": id, "import_req": DIRECT, "backend": ["fast"]},
        "result": None,
        "message": "",
        "expires_at": None,
        "created_at": "2027-01-15T08:00:00.000000",
        "updated_at": "2027-01-15T08:00:00.000000",
        "deleted": False,
        "deleted_at": None,
    }


@pytest.mark.parametrize(
    ("token", "status"),
    [("admin", 200), ("manager", 200), ("member", 200), ("reader", 200), ("other", 404), ("service", 404), ("nobody", 404)],
)
def test_who_sees_the_tasks_of_an_image(cloud: TaskCloud, token: str, status: int) -> None:
    id = cloud.make(visibility="private")["id"]
    assert cloud.ask("GET", f"/image/v2/images/{id}/tasks", token).status == status
    assert cloud.ask("GET", f"/image/v2/images/{cloud.cloud.world.new_id()}/tasks", token).status == 404


@pytest.mark.parametrize("token", ["manager", "member", "reader", "other", "service", "nobody"])
def test_tasks_are_for_administrators(cloud: TaskCloud, token: str) -> None:
    id = cloud.imported()
    assert cloud.ask("GET", "/image/v2/tasks", token).status == 403
    assert cloud.ask("GET", f"/image/v2/tasks/{id}", token).status == 403
    assert cloud.ask("DELETE", f"/image/v2/tasks/{id}", token).status == 403
    assert cloud.ask_task(token=token).status == 403


def test_nobody_deletes_tasks(cloud: TaskCloud) -> None:
    id = cloud.imported()
    reply = cloud.ask("DELETE", f"/image/v2/tasks/{id}", "admin")
    assert (reply.status, reply.headers["allow"]) == (405, "GET")
    assert "auto deleted" in reply.json["message"]
    assert cloud.task(id)["id"] == id
    assert cloud.ask("GET", "/image/v2/tasks/nothing", "admin").json["message"] == "No task found with ID nothing"
    assert cloud.ask("GET", "/image/v2/tasks", None).status == 401


def test_an_operator_may_open_the_tasks(tmp_path: Any) -> None:
    (tmp_path / "image.yaml").write_text('tasks_api_access: "role:reader"\nget_tasks: "not user_id:reader-id"\n')
    cloud = TaskCloud(policy_folder=tmp_path)
    id = cloud.imported()
    assert cloud.ids(token="member") == [id]
    assert cloud.task(id, "member")["id"] == id
    assert cloud.ids(token="other") == []
    assert cloud.ask("GET", f"/image/v2/tasks/{id}", "other").status == 404
    cloud.close()


def test_tasks_expire(cloud: TaskCloud) -> None:
    id = cloud.imported()
    image_id = cloud.task(id)["image_id"]
    cloud.clock.now += 48 * HOUR - 20
    cloud.settle()
    assert cloud.ids() == [id]
    cloud.clock.now += 20
    assert cloud.ids() == []  # at once
    assert cloud.ask("GET", f"/image/v2/tasks/{id}", "admin").status == 404
    assert cloud.tasks(image_id) == []
    cloud.settle()
    with cloud.cloud.database.read() as session:
        assert session.scalars(select(TaskRow)).all() == []
    assert cloud.show(image_id)["status"] == "active"


def test_an_operator_says_how_long_tasks_are_shown() -> None:
    cloud = TaskCloud(hours=1)
    id = cloud.imported()
    assert cloud.task(id)["expires_at"] == "2027-01-15T09:00:00Z"
    cloud.close()


# --- lists ----------------------------------------------------------------------------------------------------------------


def test_filters_and_pages(cloud: TaskCloud) -> None:
    first, second = cloud.imported(), cloud.imported()
    failed = cloud.staged(b"raw", disk_format="qcow2")
    cloud.ask_import(failed, DIRECT)
    cloud.settle()
    third = cloud.tasks(failed)[0]["id"]
    assert cloud.ids() == [third, second, first]
    assert cloud.ids("?sort_dir=asc") == [first, second, third]
    assert cloud.ids("?sort_key=status&sort_dir=asc")[0] == third
    assert cloud.ids("?sort_key=id&sort_dir=asc") == sorted([first, second, third])
    assert cloud.ids("?status=failure") == [third]
    assert cloud.ids("?status=processing") == []
    assert cloud.ids("?type=import") == []
    assert cloud.ids(f"?image_id={failed}") == [third]
    assert cloud.ids("?owner=p2") == []
    assert cloud.ids("?limit=0") == []
    page = cloud.ask("GET", "/image/v2/tasks?limit=2&type=api_image_import", "admin").json
    assert [task["id"] for task in page["tasks"]] == [third, second]
    assert page["first"] == "/v2/tasks?limit=2&type=api_image_import"
    assert page["next"] == f"/v2/tasks?limit=2&type=api_image_import&marker={second}"
    rest = cloud.ask("GET", f"/image{page['next']}", "admin").json
    assert ([task["id"] for task in rest["tasks"]], "next" in rest) == ([first], False)


@pytest.mark.parametrize(
    "query",
    [
        "status=done", "type=export", "sort_key=message", "sort_key=", "sort_dir=up", "limit=-1", "limit=many",
        "marker=here", "marker=00000000-0000-4000-8000-000000000000",
    ],
)  # fmt: skip
def test_lists_that_cannot_be(cloud: TaskCloud, query: str) -> None:
    cloud.imported()
    assert cloud.ask("GET", f"/image/v2/tasks?{query}", "admin").status == 400


def test_schemas(cloud: TaskCloud) -> None:
    task = cloud.ask("GET", "/image/v2/schemas/task", "reader").json
    assert task["name"] == "task"
    assert task["properties"]["type"]["enum"] == ["import", "api_image_import", "location_import"]
    listed = cloud.ask("GET", "/image/v2/schemas/tasks", "reader").json
    items = listed["properties"]["tasks"]["items"]["properties"]
    assert set(task["properties"]) - set(items) == {"input", "result", "message"}
    shown = cloud.task(cloud.imported())
    assert set(shown) <= set(task["properties"])


# --- the old way to import --------------------------------------------------------------------------------------------------


def test_an_import_by_a_task(web: TaskCloud) -> None:
    reply = web.ask_task()
    assert reply.status == 201
    task = reply.json
    assert reply.headers["location"].endswith(f"/v2/tasks/{task['id']}")
    assert (task["type"], task["status"], task["input"]) == ("import", "pending", OLD["input"])
    assert (task["result"], task["message"], task["owner"]) == (None, "", "admin-project")
    image = web.show(task["image_id"], "admin")
    assert (image["status"], image["visibility"], image["name"]) == ("importing", "private", "imported")
    web.settle()
    task = web.task(task["id"])
    assert (task["status"], task["result"]) == ("success", {"image_id": image["id"]})
    image = web.show(image["id"], "admin")
    assert (image["status"], image["os_distro"], image["disk_format"]) == ("active", "debian", "raw")
    assert web.ask("GET", f"/image/v2/images/{image['id']}/file", "admin").body == b"fed bytes"


def test_an_import_by_a_task_that_fails_leaves_no_image(web: TaskCloud) -> None:
    plugins.feed.announced = {"size": 4}
    task = web.ask_task().json
    web.settle()
    found = web.task(task["id"])
    assert (found["status"], found["result"], "9 bytes" in found["message"]) == ("failure", None, True)
    with web.cloud.database.read() as session:
        assert session.scalars(select(ImageRow)).all() == []
    assert list(web.staging.keys()) == []


def _old(**more: Any) -> dict[str, Any]:
    return {**OLD, "input": {**OLD["input"], **more}}


@pytest.mark.parametrize(
    ("body", "status", "says"),
    [
        ({"type": "import"}, 400, "input"),
        ({"input": {}}, 400, "type"),
        ({"type": "export", "input": {}}, 400, "type"),
        ({"type": "import", "input": None}, 400, "input"),
        ({**OLD, "status": "success"}, 400, "status"),
        ({"type": "import", "input": {}}, 400, "import_from"),
        (_old(import_from="bad"), 400, "not where bytes are"),
        (_old(import_from_format="tar"), 400, "disk_format"),
        (_old(image_properties={"status": "active"}), 403, "read-only"),
        (_old(image_properties=[]), 400, "image_properties"),
        ({"type": "location_import", "input": {"image_id": 7}}, 400, "image_id"),
    ],
)
def test_tasks_that_cannot_be(web: TaskCloud, body: Any, status: int, says: str) -> None:
    reply = web.ask_task(body)
    assert (reply.status, says in reply.json["message"]) == (status, True), reply.body
    assert web.ids() == []
    assert web.listed(token="admin") == []


def test_without_the_web_there_is_no_import_by_a_task(cloud: TaskCloud) -> None:
    assert cloud.ask_task().json["message"] == "This cloud does not import from the web: the method web-download is not enabled."


@pytest.mark.parametrize("kind", ["api_image_import", "location_import"])
def test_tasks_that_other_requests_make(cloud: TaskCloud, kind: str) -> None:
    """They can be asked for, and fail, as they do upstream where nothing waits for them."""
    image = cloud.active(DATA)
    body = {"type": kind, "input": {"image_id": image["id"], "import_req": FEED, "backend": ["slow"]}}
    task = cloud.ask_task(body).json
    assert (task["type"], task["status"]) == (kind, "pending")
    cloud.settle()
    found = cloud.task(task["id"])
    assert (found["status"], "made by the image API alone" in found["message"]) == ("failure", True)
    assert cloud.show(image["id"]) == image
