"""Structured logs: an event name and fields, one JSON object a line; the request id is bound once and is everywhere."""

from __future__ import annotations

import os
import sys
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, TextIO, cast

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


class LogFile:
    """Appends a line by one call. Where there is no room, what happened matters and its line does not: it is left out, and how
    many were is told when there is room again."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._left_out = 0

    def write(self, line: str) -> None:
        told = f'\n{{"event":"log.left_out","lines":{self._left_out},"level":"warning"}}\n' if self._left_out else ""
        content = (told + line).encode()
        try:
            whole = os.write(self._file, content) == len(content)
        except OSError:
            whole = False
        self._left_out = 0 if whole else self._left_out + 1

    def flush(self) -> None:
        """Each line is with the kernel already."""


def configure(file: Path | None = None, *, debug: bool = False) -> None:
    """Send the logs to a file, or to standard error."""
    stream = cast(TextIO, LogFile(file)) if file else sys.stderr
    structlog.configure(
        processors=PROCESSORS,
        wrapper_class=structlog.make_filtering_bound_logger(10 if debug else 20),
        logger_factory=structlog.WriteLoggerFactory(stream),
        cache_logger_on_first_use=True,
    )
