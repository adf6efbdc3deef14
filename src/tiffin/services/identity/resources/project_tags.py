"""The tags of a project."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, NotFound
from tiffin.core.resource import Answer, Resource
from tiffin.core.schema import Schema
from tiffin.services.identity import targets
from tiffin.services.identity.resources.projects import READ, WRITE, about
from tiffin.services.identity.tables import Project, ProjectTag
from tiffin.services.identity.tags import Tags, set_tags, tags_of

MOST_TAGS = 80

project_tags = Resource("project_tag", "tags", "/v3/projects/{id}/tags")


class TagsIn(Schema, kw_only=True):
    tags: Tags


def _body(call: Call, id: str) -> dict[str, Any]:
    return {"tags": tags_of(call.db, id), "links": {"self": f"{call.base_url}/v3/projects/{id}/tags"}}


@project_tags.operation("GET", policy=("identity:list_project_tags", READ), about=about)
def index(call: Call, id: str) -> dict[str, Any]:
    targets.found(call, "project", Project, id)
    return _body(call, id)


@project_tags.operation(
    "PUT", policy=("identity:update_project_tags", WRITE), body=TagsIn, root="", about=about, event="update"
)
def replace(call: Call, id: str, body: TagsIn) -> dict[str, Any]:
    targets.refuse_immutable(targets.found(call, "project", Project, id), "project")
    set_tags(call.db, id, [tag.strip() for tag in body.tags])
    return _body(call, id)


@project_tags.operation("DELETE", policy=("identity:delete_project_tags", WRITE), about=about, event="update")
def clear(call: Call, id: str) -> None:
    targets.refuse_immutable(targets.found(call, "project", Project, id), "project")
    set_tags(call.db, id, [])


def _one(call: Call, id: str, tag: str) -> ProjectTag:
    targets.found(call, "project", Project, id)
    found = call.db.get(ProjectTag, (id, tag))
    if found is None:
        raise NotFound(f"Could not find project tag: {tag[:64]}.")
    return found


@project_tags.operation("GET", "/{tag}", policy=("identity:get_project_tag", READ), about=about, ok=204)
def check(call: Call, id: str, tag: str) -> None:
    _one(call, id, tag)


@project_tags.operation(
    "PUT", "/{tag}", policy=("identity:create_project_tag", WRITE), about=about, event="update", ok=201
)
def add(call: Call, id: str, tag: str) -> Answer:
    targets.refuse_immutable(targets.found(call, "project", Project, id), "project")
    if len(tag) > 255 or "," in tag or not tag.strip():
        raise BadRequest("Invalid input for field/attribute tag: 1 to 255 characters, and no comma.")
    where, tag = f"{call.base_url}/v3/projects/{id}/tags/{quote(tag)}", tag.strip()
    kept = tags_of(call.db, id)
    if tag in kept:
        raise BadRequest(f"The project has the tag {tag} already.")
    if len(kept) >= MOST_TAGS:
        raise BadRequest(f"A project has at most {MOST_TAGS} tags.")
    call.db.add(ProjectTag(project_id=id, name=tag))
    return Answer(None, headers={"Location": where})


@project_tags.operation("DELETE", "/{tag}", policy=("identity:delete_project_tag", WRITE), about=about, event="update")
def remove(call: Call, id: str, tag: str) -> None:
    found = _one(call, id, tag)
    targets.refuse_immutable(call.subject.row, "project")
    call.db.delete(found)
