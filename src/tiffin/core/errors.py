"""The faults a request can end in. A service's dialect turns each into that service's own error body."""

from __future__ import annotations

from typing import Any


class Fault(Exception):
    """What went wrong, for the person who sent the request: which value, and what to do about it."""

    status = 500
    title = "Internal Server Error"

    def __init__(self, message: str, *, code: str = "", headers: dict[str, str] | None = None, **details: Any) -> None:
        """`code` is the service's own error type where it has one (Neutron's `NetworkInUse`, Placement's
        `placement.concurrent_update`); `details` is what the dialect may show beside the message."""
        super().__init__(message)
        self.message = message
        self.code = code
        self.headers = headers or {}
        self.details = details


class BadRequest(Fault):
    status, title = 400, "Bad Request"


class Unauthorized(Fault):
    status, title = 401, "Unauthorized"


class Forbidden(Fault):
    status, title = 403, "Forbidden"


class OverQuota(Fault):
    """Upstream answers 403, 409 or 413 depending on the service: its dialect sets the status."""

    status, title = 403, "Forbidden"


class NotFound(Fault):
    status, title = 404, "Not Found"


class MethodNotAllowed(Fault):
    status, title = 405, "Method Not Allowed"


class NotAcceptable(Fault):
    status, title = 406, "Not Acceptable"


class Conflict(Fault):
    status, title = 409, "Conflict"


class Gone(Fault):
    status, title = 410, "Gone"


class PreconditionFailed(Fault):
    status, title = 412, "Precondition Failed"


class TooLarge(Fault):
    status, title = 413, "Request Entity Too Large"


class UnsupportedMediaType(Fault):
    status, title = 415, "Unsupported Media Type"


class RangeNotSatisfiable(Fault):
    status, title = 416, "Requested Range Not Satisfiable"


class NotImplementedHere(Fault):
    status, title = 501, "Not Implemented"


class Unavailable(Fault):
    status, title = 503, "Service Unavailable"
