"""How Neutron speaks: its error body, and lists with links in both directions."""

from __future__ import annotations

import re
import urllib.parse
from typing import Any

from tiffin.core.call import Call
from tiffin.core.errors import Fault, OverQuota
from tiffin.core.http.dialect import Dialect, marker_of
from tiffin.core.resource import Operation, Page

_TYPES = {
    400: "HTTPBadRequest",
    403: "PolicyNotAuthorized",
    404: "HTTPNotFound",
    409: "HTTPConflict",
    412: "RevisionNumberConstraintFailed",
}


class NetworkDialect(Dialect):
    def status(self, fault: Fault) -> int:
        return 409 if isinstance(fault, OverQuota) else fault.status

    def error(self, fault: Fault, call: Call | None) -> Any:
        kind, message = fault.code, fault.message
        if isinstance(fault, OverQuota):
            kind, message = "OverQuota", f"Quota exceeded for resources: ['{fault.details.get('quota')}']."
        elif fault.status == 403 and "rule" in fault.details:
            message = f"(rule:{fault.details['rule']}) is disallowed by policy"
        kind = kind or _TYPES.get(self.status(fault)) or re.sub(r"\W", "", fault.title)
        return {"NeutronError": {"type": kind, "message": message, "detail": ""}}

    def many(self, call: Call, operation: Operation, views: list[Any], page: Page) -> Any:
        root = operation.answer_root or operation.resource.plural
        body: dict[str, Any] = {root: views, **page.extra}
        if not page.links or not page.rows or call.param("limit") is None:
            return body
        reverse = (call.param("page_reverse") or "").lower() in ("true", "1")
        came_from = call.param("marker") is not None
        links = []
        if page.more if not reverse else came_from:
            links.append({"rel": "next", "href": _href(call, marker_of(page.rows[-1]), reverse=False)})
        if page.more if reverse else came_from:
            links.append({"rel": "previous", "href": _href(call, marker_of(page.rows[0]), reverse=True)})
        return {**body, f"{root}_links": links} if links else body


def _href(call: Call, marker: str, *, reverse: bool) -> str:
    query = [(k, v) for k, values in call.query.items() if k not in ("marker", "page_reverse") for v in values]
    query += [("marker", marker)] + ([("page_reverse", "True")] if reverse else [])
    return f"{call.cloud_url}{call.request.path}?{urllib.parse.urlencode(query)}"
