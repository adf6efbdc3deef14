"""From faults and answers to what goes over the wire."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import falcon
import msgspec
import structlog
from sqlalchemy.exc import DataError, IntegrityError, OperationalError, StatementError
from sqlalchemy.exc import TimeoutError as PoolTimeout

from tiffin.core.database import is_away
from tiffin.core.errors import BadRequest, Conflict, Fault, Unavailable
from tiffin.core.http.exchange import Exchange
from tiffin.core.resource import Answer

log = structlog.get_logger("http")
NO_DATABASE = (
    "The cloud's database does not answer. Try again; send an Idempotency-Key with what must not be done twice, since the "
    "answer may be all that was lost."
)
_json = msgspec.json.Encoder()


@contextlib.contextmanager
def known_faults() -> Iterator[None]:
    """What the database refuses is the client's fault where the client chose the value."""
    try:
        yield
    except IntegrityError as race:
        log.info("request.conflict", why=str(race.orig))
        raise Conflict("It conflicts with something that was just made or changed. Look and try again.") from race
    except (OperationalError, PoolTimeout) as away:
        if isinstance(away, OperationalError) and not is_away(away):
            raise
        log.warning("request.no_database", why=str(getattr(away, "orig", away)))
        raise Unavailable(NO_DATABASE, headers={"Retry-After": "1"}) from away
    except (OverflowError, DataError) as bad:
        log.info("request.out_of_range", why=str(getattr(bad, "orig", bad)))
        raise BadRequest("A number in the request is out of range, or a text is too long.") from bad
    except StatementError as bad:
        if isinstance(bad.orig, (OverflowError, UnicodeEncodeError)):
            raise BadRequest("A value in the request is out of range.") from bad
        raise


def refuse(x: Exchange, fault: Fault) -> None:
    """Answer with a fault, in the words of the service."""
    if hasattr(x, "service"):
        dialect = x.service.dialect
        status = dialect.status(fault)
        body, kind = dialect.written(dialect.error(fault, getattr(x, "call", None)), x.request)
    else:
        error = {"error": {"code": fault.status, "title": fault.title, "message": fault.message}}
        body, kind, status = _json.encode(error), "application/json", fault.status
    headers = dict(fault.headers)
    if status == 401:
        headers["WWW-Authenticate"] = f'Keystone uri="{x.request.forwarded_prefix.rstrip("/")}/identity"'
    x.answer = Answer(body, status, headers, kind)
    if hasattr(x, "call"):
        x.call.response_headers = {}


def send(x: Exchange, response: falcon.Response) -> None:
    """Write the answer, with the headers that every answer of the service has."""
    answer, status = x.answer, x.answer.status or 200
    response.status = status
    response.set_header("x-openstack-request-id", x.request_id)
    if hasattr(x, "service"):
        dialect = x.service.dialect
        response.set_header(dialect.request_id_header, x.request_id)
        for name, value in dialect.version_headers(x.call.version if hasattr(x, "call") else (0, 0)).items():
            response.set_header(name, value)
        for name, value in {**answer.headers, **x.call.response_headers}.items():
            response.set_header(name, value)
    if isinstance(answer.body, Iterator):
        response.content_type = answer.content_type
        if answer.length is not None:
            response.set_header("Content-Length", str(answer.length))
        response.stream = answer.body
    elif answer.body is not None:
        response.content_type = answer.content_type
        response.data = answer.body
