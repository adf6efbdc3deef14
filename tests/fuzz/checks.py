"""What every answer must keep to, whatever was asked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from tiffin.core.http.local import Reply

Shape = Callable[[Any, int], bool]


def check(service: str, method: str, reply: Reply) -> None:
    """Raise AssertionError when the answer is a server's fault, shows its inside, or is no proper error of the service
    (of none: of the whole cloud)."""
    assert reply.status < 500 or reply.status == 501, brief(reply)
    assert b"Traceback" not in reply.body, brief(reply)
    assert b'.py", line' not in reply.body, brief(reply)
    assert "x-openstack-request-id" in reply.headers, brief(reply)
    if method == "HEAD" or reply.status in (204, 304):
        assert reply.body == b"", brief(reply)
        return
    assert reply.status != 405 or reply.headers["allow"], brief(reply)
    if reply.status >= 400:
        if service == "image" and reply.headers["content-type"] == "text/html; charset=UTF-8":
            assert re.fullmatch(rb"<html>.*<h1>\d+ [^<>]+</h1>\n<p>[^<>]+</p></body>\n</html>\n", reply.body, re.S), brief(reply)
            return
        assert reply.headers["content-type"].startswith("application/json"), brief(reply)
        body = json.loads(reply.body)
        assert SHAPES.get(service, _enveloped)(body, reply.status), (reply.status, body)


def brief(thing: object) -> str:
    """For a person: what is long is cut."""
    return re.sub(r"(.)\1{30,}", r"\1...", repr(thing))[:1500]


def _enveloped(body: Any, status: int) -> bool:
    """Identity's: {"error": {"code", "message", "title"}}; at OS-OAUTH2 that of RFC 6749."""
    if isinstance(body.get("error"), str):
        return set(body) == {"error", "error_description"}
    return set(body) == {"error"} and body["error"]["code"] == status and bool(body["error"]["message"])


def _compute(body: Any, status: int) -> bool:
    """{"itemNotFound": {"code", "message"}}."""
    ((_, inner),) = body.items()
    return inner["code"] == status and bool(inner["message"])


def _network(body: Any, status: int) -> bool:
    """Neutron's, or keystone's where the token is the trouble."""
    return set(body) == {"error"} or {"type", "message", "detail"} <= set(body.get("NeutronError", ()))


def _image(body: Any, status: int) -> bool:
    return bool(body.get("message") or body.get("error"))


def _placement(body: Any, status: int) -> bool:
    errors = body.get("errors", ())
    return bool(errors) and all(e["status"] == status and {"title", "detail"} <= set(e) for e in errors)


SHAPES: dict[str, Shape] = {
    "identity": _enveloped,
    "compute": _compute,
    "network": _network,
    "image": _image,
    "placement": _placement,
}
