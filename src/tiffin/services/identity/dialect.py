"""How identity speaks: every GET answers HEAD, lists carry three links, errors stand under `error`."""

from __future__ import annotations

from typing import Any

from tiffin.core.call import Call
from tiffin.core.http.dialect import Dialect, marker_of, next_href
from tiffin.core.resource import Operation, Page
from tiffin.core.schema import Version


class IdentityDialect(Dialect):
    head_follows_get = True
    routes_are_public = True

    def version_headers(self, version: Version) -> dict[str, str]:
        return {"Vary": "X-Auth-Token"}

    def many(self, call: Call, operation: Operation, views: list[Any], page: Page) -> Any:
        root = operation.answer_root or operation.resource.plural
        query = f"?{call.request.query_string}" if call.request.query_string else ""
        links = {
            "self": f"{call.cloud_url}{call.request.path}{query}",
            "previous": None,
            "next": next_href(call, marker_of(page.rows[-1])) if page.more and page.rows else None,
        }
        return {root: views, "links": links, **page.extra}
