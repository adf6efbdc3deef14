"""Structured logs: an event name and fields, one JSON object a line; the request id is bound once and is everywhere."""

from __future__ import annotations

import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO

import msgspec
import structlog
from structlog.typing import Processor

_encoder = msgspec.json.Encoder(enc_hook=repr)


def _render(logger: Any, name: str, event: MutableMapping[str, Any]) -> str:
    return _encoder.encode(event).decode()


PROCESSORS: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,  # the traceback without local variables: secrets are among them
    _render,
]


def configure(file: Path | None = None, *, debug: bool = False) -> None:
    """Send the logs to a file, or to standard error."""
    stream: TextIO = file.open("a", buffering=1) if file else sys.stderr
    structlog.configure(
        processors=PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(10 if debug else 20),
        logger_factory=structlog.PrintLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
