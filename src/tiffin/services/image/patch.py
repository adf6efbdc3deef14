"""JSON patch as upstream understands it: a list of edits, each of one attribute of an image, in two notations."""

from __future__ import annotations

import re
from typing import Any

import msgspec

from tiffin.core.errors import BadRequest, Conflict, Forbidden
from tiffin.services.image.rules import KEPT, check_attributes, check_property, check_settable

PATCH_V21 = "application/openstack-images-v2.1-json-patch"  # {"op": "add", "path": "/a", "value": "x"}
PATCH_V20 = "application/openstack-images-v2.0-json-patch"  # {"add": "/a", "value": "x"}
OPERATIONS = ("add", "remove", "replace")
MAX_OPERATIONS = 1000


class Edit(msgspec.Struct, frozen=True):
    """One operation of a patch on one attribute."""

    op: str  # one of OPERATIONS
    name: str
    value: Any = None
    position: str = ""  # in `locations`: a number, or - for the end
    fresh: bool = False  # whether `add` is for what is not there yet, as in the first notation


def parse_patch(body: Any, media_type: str) -> list[Edit]:
    """The edits that a patch asks for, each possible by itself. Raises `BadRequest` or `Forbidden`."""
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    if len(body) > MAX_OPERATIONS:
        raise BadRequest(f"A patch may have at most {MAX_OPERATIONS} operations.")
    return [_edit(item, media_type) for item in body]


def _edit(item: Any, media_type: str) -> Edit:
    if not isinstance(item, dict):
        raise BadRequest("Operations must be JSON objects.")
    op, path = _second(item) if media_type == PATCH_V21 else _first(item)
    name, position = _target(op, path)
    if op != "remove" and "value" not in item:
        raise BadRequest(f'Operation "{op}" requires a member named "value".')
    edit = Edit(op, name, item.get("value") if op != "remove" else None, position, media_type == PATCH_V20)
    _check(edit)
    return edit


def _second(item: dict[str, Any]) -> tuple[str, Any]:
    op, available = item.get("op"), ", ".join(OPERATIONS)
    if op is None:
        raise BadRequest(f"Unable to find `op` in JSON Schema change. It must be one of the following: {available}.")
    if op not in OPERATIONS:
        raise BadRequest(f"Invalid operation: `{str(op)[:40]}`. It must be one of the following: {available}.")
    if "path" not in item:
        raise BadRequest("Unable to find 'path' in JSON Schema change")
    return op, item["path"]


def _first(item: dict[str, Any]) -> tuple[str, Any]:
    named = [op for op in OPERATIONS if op in item]
    if len(named) != 1:
        many = "only" if named else "exactly"
        raise BadRequest(f'Operation objects must contain {many} one member named "add", "remove", or "replace".')
    return named[0], item[named[0]]


def _target(op: str, path: Any) -> tuple[str, str]:
    """The attribute that a JSON pointer (RFC 6901) names, and the position in it: only `locations` has any."""
    parts = _pointer(path)
    deep = parts[0] == "locations" and op != "replace"
    if len(parts) != (2 if deep else 1) or not parts[0]:
        raise BadRequest(f"Invalid JSON pointer for this resource: '/{'/'.join(parts)[:80]}'")
    return parts[0], parts[1] if deep else ""


def _pointer(path: Any) -> list[str]:
    if not isinstance(path, str) or not path.startswith("/"):
        raise BadRequest(f'Pointer `{str(path)[:80]}` does not start with "/".')
    if re.search(r"/\s*/", path[1:]):
        raise BadRequest(f'Pointer `{path[:80]}` contains adjacent "/".')
    if len(path) > 1 and path.endswith("/"):
        raise BadRequest(f'Pointer `{path[:80]}` ends with "/".')
    if re.search(r"~(?![01])", path):
        raise BadRequest(f'Pointer `{path[:80]}` contains "~" not part of a recognized escape sequence.')
    return [part.replace("~1", "/").replace("~0", "~").strip() for part in path.lstrip("/").split("/")]


def _check(edit: Edit) -> None:
    """What can be said of an edit without looking at the image."""
    if edit.name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    if edit.name == "locations":
        return
    check_settable(edit.name)
    if edit.op == "remove":
        return
    if edit.name in KEPT:
        check_attributes({edit.name: edit.value})
    else:
        check_property(edit.name, edit.value)


def check_edit(edit: Edit, properties: dict[str, str | None], status: str) -> None:
    """Whether an edit may be done to an image with these (visible) properties. Raises `Forbidden` or `Conflict`."""
    there = edit.name in KEPT or edit.name in properties
    if edit.fresh and edit.op == "add" and there:
        raise Conflict(f"Property {edit.name} already present.")
    if edit.name in KEPT:
        if edit.op == "remove":
            raise Forbidden(f"Property {edit.name} may not be removed.")
        if edit.name in ("disk_format", "container_format") and status != "queued":
            raise Forbidden(f"Attribute {edit.name} can be only replaced for a queued image.")
    elif edit.op != "add" and not there:
        raise Conflict(f"Property {edit.name} does not exist.")
