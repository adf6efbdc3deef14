"""How one service speaks: version header, root keys, error body, links. Services derive from `Dialect` and say what differs."""

from __future__ import annotations

import urllib.parse
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from tiffin.core.errors import Fault, Forbidden
from tiffin.core.resource import Operation, Page
from tiffin.core.schema import ALWAYS, Version

if TYPE_CHECKING:
    import falcon

    from tiffin.core.call import Call


class Dialect:
    head_follows_get = False  # whether every GET also answers HEAD
    routes_are_public = False  # whether who has no token is told that there is nothing at a path
    request_id_header = "x-openstack-request-id"

    def negotiate(self, request: falcon.Request) -> Version:
        """The version that the client asks for. Raises `NotAcceptable` or `BadRequest`."""
        return ALWAYS

    def version_headers(self, version: Version) -> dict[str, str]:
        """What each answer says about its version."""
        return {}

    def status(self, fault: Fault) -> int:
        return fault.status

    def error(self, fault: Fault, call: Call | None) -> Any:
        """The body of an error: anything that encodes to JSON."""
        return {"error": {"code": self.status(fault), "title": fault.title, "message": fault.message}}

    def refusal(self, call: Call, rule: str, target: Mapping[str, Any], fault: Forbidden) -> Fault:
        """What somebody is told whom a rule refuses. A service may keep from them that the thing is there at all."""
        return fault

    def one(self, operation: Operation, view: Any) -> Any:
        root = operation.resource.name if operation.answer_root is None else operation.answer_root
        return {root: view} if root else view

    def many(self, call: Call, operation: Operation, views: list[Any], page: Page) -> Any:
        """The body of a list."""
        root = operation.answer_root or operation.resource.plural
        body: dict[str, Any] = {root: views, **page.extra}
        if page.more and page.links and page.rows:
            body[f"{root}_links"] = [{"rel": "next", "href": next_href(call, marker_of(page.rows[-1]))}]
        return body


def marker_of(row: Any) -> str:
    return str(row["id"] if isinstance(row, dict) else row.id)


def next_href(call: Call, marker: str) -> str:
    """The request's own address with another marker."""
    query = [(k, v) for k, values in call.query.items() if k != "marker" for v in values] + [("marker", marker)]
    return f"{call.cloud_url}{call.request.path}?{urllib.parse.urlencode(query)}"
