"""How placement speaks: microversions 1.0 to 1.39, a list of errors with codes, links without a host, fresh answers."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, TypeVar

from tiffin.core.errors import BadRequest, Fault, NotAcceptable
from tiffin.core.http.dialect import Dialect
from tiffin.core.schema import Version

if TYPE_CHECKING:
    import falcon

    from tiffin.core.call import Call

T = TypeVar("T")

OLDEST: Version = (1, 0)
NEWEST: Version = (1, 39)
HEADER = "OpenStack-API-Version"
ERROR_CODES_SINCE: Version = (1, 23)
FRESHNESS_SINCE: Version = (1, 15)

Downgrade = tuple[Version, Callable[[Any], None]]
"""A version, and what turns a view into what clients below it saw. Newest first in a list."""


_RANGE: dict[str, Any] = {
    "min_version": ".".join(map(str, OLDEST)),
    "max_version": ".".join(map(str, NEWEST)),
}


class PlacementDialect(Dialect):
    def negotiate(self, request: falcon.Request) -> Version:
        wanted = _asked(request.get_header(HEADER) or "")
        if wanted is None:
            return OLDEST
        if wanted == "latest":
            return NEWEST
        if not re.fullmatch(r"[0-9]{1,4}\.[0-9]{1,4}", wanted):
            raise BadRequest(f"Invalid microversion {wanted[:40]!r}: it is a text such as 1.39, or latest.")
        major, _, minor = wanted.partition(".")
        version = int(major), int(minor)
        if not OLDEST <= version <= NEWEST:
            raise NotAcceptable(f"Unacceptable version header: {wanted}", **_RANGE)
        return version

    def version_headers(self, version: Version) -> dict[str, str]:
        major, minor = max(version, OLDEST)
        return {HEADER: f"placement {major}.{minor}", "Vary": HEADER}

    def error(self, fault: Fault, call: Call | None) -> Any:
        body = {"status": self.status(fault), "title": fault.title, "detail": fault.message}
        if call is not None:
            body["request_id"] = call.request_id
            if call.version >= ERROR_CODES_SINCE:
                body["code"] = fault.code or "placement.undefined_code"
        if isinstance(fault, NotAcceptable):
            body |= fault.details
        return {"errors": [body]}

    def one(self, operation: Any, view: Any) -> Any:
        return view


def _asked(header: str) -> str | None:
    """The version for placement in a header that may name several services; the last one counts."""
    found = None
    for part in header.split(","):
        service, _, version = part.strip().partition(" ")
        if service.lower() == "placement":
            found = version.strip()
    return found


def fresh(call: Call, at: float | None = None) -> None:
    """Say when what is answered was last changed (`at`, seconds; default: now) and that it must not be kept."""
    if call.version >= FRESHNESS_SINCE:
        when = email.utils.formatdate(call.now if at is None else at, usegmt=True)
        call.response_headers |= {"Last-Modified": when, "Cache-Control": "no-cache"}


def located(call: Call, path: str) -> None:
    """Say where the thing is that was just made."""
    call.response_headers["Location"] = call.base_url + path


def downgraded(view: T, version: Version, steps: Iterable[Downgrade]) -> T:
    """The view as `version` knew it, where marks on fields cannot say it."""
    for below, change in steps:
        if version < below:
            change(view)
    return view
