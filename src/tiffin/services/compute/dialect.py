"""How compute speaks: microversions 2.1 to 2.104 in two headers, and errors under a key that names their kind."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tiffin.core.errors import BadRequest, Fault, NotAcceptable
from tiffin.core.http.dialect import Dialect
from tiffin.core.schema import ALWAYS, Version

if TYPE_CHECKING:
    import falcon

    from tiffin.core.call import Call

OLDEST: Version = (2, 1)
NEWEST: Version = (2, 104)

_KINDS = {
    400: "badRequest",
    403: "forbidden",
    404: "itemNotFound",
    405: "badMethod",
    409: "conflictingRequest",
    413: "overLimit",
    415: "badMediaType",
    429: "overLimit",
    501: "notImplemented",
    503: "serviceUnavailable",
}
_VERSION = re.compile(r"([1-9][0-9]{0,4})\.(0|[1-9][0-9]{0,4})\Z")


def text(version: Version) -> str:
    return f"{version[0]}.{version[1]}"


class ComputeDialect(Dialect):
    request_id_header = "x-compute-request-id"

    def negotiate(self, request: falcon.Request) -> Version:
        """The version of `OpenStack-API-Version: compute X.Y`, else of `X-OpenStack-Nova-API-Version: X.Y`, else 2.1."""
        wanted = _asked(request)
        if wanted is None:
            return OLDEST
        if wanted == "latest":
            return NEWEST
        found = _VERSION.match(wanted)
        if found is None:
            raise BadRequest(
                f"API Version String {wanted[:80]} is of invalid format. It must be of format MajorNum.MinorNum."
            )
        version = (int(found[1]), int(found[2]))
        if not OLDEST <= version <= NEWEST:
            raise NotAcceptable(
                f"Version {wanted} is not supported by the API. Minimum is {text(OLDEST)} and maximum is {text(NEWEST)}."
            )
        return version

    def version_headers(self, version: Version) -> dict[str, str]:
        vary = {"Vary": "OpenStack-API-Version, X-OpenStack-Nova-API-Version"}
        if version == ALWAYS:
            return vary
        return {
            "OpenStack-API-Version": f"compute {text(version)}",
            "X-OpenStack-Nova-API-Version": text(version),
            **vary,
        }

    def error(self, fault: Fault, call: Call | None) -> Any:
        status = self.status(fault)
        if status == 401:  # answered by the token check before compute, and in its words
            return {"error": {"code": 401, "title": fault.title, "message": fault.message}}
        return {_KINDS.get(status, "computeFault"): {"code": status, "message": fault.message}}


def _asked(request: falcon.Request) -> str | None:
    named = request.get_header("OpenStack-API-Version")
    for part in (named or "").split(","):
        service, _, version = part.strip().partition(" ")
        if service.lower() == "compute":
            return version.strip().lower()
    old = request.get_header("X-OpenStack-Nova-API-Version")
    return old.strip().lower() if old else None
