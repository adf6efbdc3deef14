"""The WSGI application: everything goes through the chain."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import falcon
import msgspec

from tiffin.core.cloud import Cloud
from tiffin.core.http import chain
from tiffin.core.http.exchange import Front
from tiffin.core.resource import Operation

Health = Callable[[bool], tuple[int, dict[str, Any]]]
"""Gives (status, body) of /healthz; the argument asks for details."""


def make(cloud: Cloud, health: Health, *, short_requests: int = 1) -> falcon.App[falcon.Request, falcon.Response]:
    """The application of one cloud."""
    front = Front(cloud, short_requests)
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    app.req_options.auto_parse_qs_csv = False
    app.resp_options.default_media_type = None  # type: ignore[assignment]  # nothing is of no type: clients would parse it

    def everything(req: falcon.Request, resp: falcon.Response, **kwargs: Any) -> None:
        chain.serve(front, req, resp)

    def healthz(req: falcon.Request, resp: falcon.Response, **kwargs: Any) -> None:
        status, body = health(req.query_string == "detail=1")
        resp.status, resp.data, resp.content_type = status, msgspec.json.encode(body), "application/json"

    def root(req: falcon.Request, resp: falcon.Response, **kwargs: Any) -> None:
        base = req.forwarded_prefix.rstrip("/")
        resp.data = msgspec.json.encode({"services": [{"type": r.type, "href": base + r.prefix} for r in cloud.refs]})
        resp.content_type = "application/json"

    app.add_sink(everything, "/")
    app.add_sink(healthz, r"/healthz$")
    app.add_sink(root, r"/$")
    return app


def describe(cloud: Cloud) -> Iterable[tuple[str, Operation]]:
    """Every operation with its path from the cloud's root; what tests and reference pages walk over."""
    for service in cloud.services():
        for operation in service.operations():
            yield service.prefix + operation.path, operation
