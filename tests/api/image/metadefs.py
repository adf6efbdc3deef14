"""What tests of metadata definitions share."""

from __future__ import annotations

from typing import Any

from .conftest import ImageCloud

NAMESPACES = "/image/v2/metadefs/namespaces"
WHEN = {"created_at": "2027-01-15T08:00:00Z", "updated_at": "2027-01-15T08:00:00Z"}
SIZE = {"title": "Size", "type": "integer", "minimum": 1, "maximum": 9, "default": 3}
COLOR = {"title": "Colour", "type": "string", "description": "Of the case.", "enum": ["red", "blue"], "operators": ["<in>"]}


def path(*segments: str, namespace: str = "Ns::One") -> str:
    return "/".join((NAMESPACES, namespace, *segments))


def make(cloud: ImageCloud, namespace: str = "Ns::One", token: str = "admin", **body: Any) -> dict[str, Any]:
    """A namespace; public and the administrator's unless `body` says otherwise."""
    reply = cloud.ask("POST", NAMESPACES, token, {"namespace": namespace, "visibility": "public", **body})
    assert reply.status == 201, reply.body
    found: dict[str, Any] = reply.json
    return found


def say(cloud: ImageCloud, method: str, url: str, status: int, json: Any = None, token: str = "admin", **headers: str) -> Any:
    """Ask as an administrator and expect this status; gives the answer's JSON."""
    reply = cloud.ask(method, url, token, json, **headers)
    assert reply.status == status, (reply.status, reply.body)
    return reply.json if reply.body else None


def refused(cloud: ImageCloud, method: str, url: str, status: int, json: Any = None, token: str = "admin") -> str:
    """Expect a refusal that changes nothing; gives its words."""
    before = cloud._rows_changed()
    message: str = say(cloud, method, url, status, json, token)["message"]
    assert cloud._rows_changed() == before, f"{method} {url} was refused, and rows changed"
    return message
