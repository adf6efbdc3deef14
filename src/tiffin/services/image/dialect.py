"""How Glance speaks: no root key around one thing, 413 for what is over quota, and its form of an error."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import falcon

from tiffin.core.call import Call
from tiffin.core.errors import Fault, Forbidden, NotFound, OverQuota
from tiffin.core.http.dialect import Dialect
from tiffin.core.policy import Target
from tiffin.core.schema import ALWAYS, Version
from tiffin.services.image import search

LOOKS = ("get_image", "get_member")
"""The rules of showing one thing."""


class ImageDialect(Dialect):
    def negotiate(self, request: falcon.Request) -> Version:
        """There are no versions to choose from. Upstream takes a path that ends in a slash for an empty image id."""
        if request.path.endswith("/images/"):
            raise NotFound("The resource could not be found.")
        return ALWAYS

    def status(self, fault: Fault) -> int:
        return 413 if isinstance(fault, OverQuota) else fault.status

    def error(self, fault: Fault, call: Call | None) -> Any:
        """The JSON form that upstream gives to who accepts JSON; its HTML form is for nobody."""
        status = self.status(fault)
        title = "Request Entity Too Large" if status == 413 else fault.title
        return {"message": fault.message, "code": f"{status} {title}", "title": title}

    def refusal(self, call: Call, rule: str, target: Mapping[str, Any], fault: Forbidden) -> Fault:
        """What somebody may not even look at is not there for them."""
        row: Any = target.row if isinstance(target, Target) else None
        if search.is_image(row) and (rule in LOOKS or not call.allows("get_image", search.target(row, call.actor))):
            return NotFound(f"No image found with ID {row.id}")
        return Forbidden(f"You are not authorized to complete {rule} action.", rule=rule)
