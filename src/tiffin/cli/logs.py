"""Show what the cloud wrote to its log, in lines for people. The log itself, HOME/log/tiffin.log, is JSON lines."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from tiffin.cli.cloud import open_cloud
from tiffin.cli.errors import CliError

POLL = 0.2  # seconds between two looks at a followed log


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    parser.add_argument("--request", metavar="ID", help="only lines of this request (X-Openstack-Request-Id)")
    parser.add_argument("--json", action="store_true", help="the lines as they were written")


def run(options: argparse.Namespace) -> int:
    log = open_cloud(options.home).folder.log
    if not log.exists():
        raise CliError(f"there is no log yet at {log}; the cloud has not been started.")
    for line in _lines(log, options.follow):
        if options.request is None or belongs(line, options.request):
            print(line if options.json else render(line), flush=options.follow)
    return 0


def belongs(line: str, request: str) -> bool:
    """Whether a line was written for this request; its id with or without `req-`."""
    wanted = "req-" + request.removeprefix("req-")
    return wanted in line and wanted in (_event(line) or {}).values()


def render(line: str) -> str:
    """A JSON line as `time level event name=value ...`; any other line as it is."""
    event = _event(line)
    if event is None:
        return line
    at, level, name = (str(event.pop(key, "")) for key in ("timestamp", "level", "event"))
    fields = " ".join(f"{key}={value}" for key, value in event.items() if "\n" not in str(value))
    blocks = "".join(f"\n{value}" for value in event.values() if "\n" in str(value))
    return f"{at} {level:<7} {name} {fields}".strip() + blocks


def _event(line: str) -> dict[str, Any] | None:
    try:
        event = msgspec.json.decode(line)
    except (msgspec.DecodeError, UnicodeEncodeError):
        return None  # not ours: an interpreter's or a library's own words
    return event if isinstance(event, dict) else None


def _lines(log: Path, follow: bool) -> Iterator[str]:
    """The whole lines of the log; when following, also of the file that takes its place."""
    while True:
        with log.open(errors="replace") as file:
            rest = ""
            while True:
                line = rest + file.readline()
                if line.endswith("\n"):
                    rest = ""
                    yield line[:-1]
                    continue
                rest = line
                if not follow or _replaced(log, file.fileno()):
                    break
                time.sleep(POLL)
        if rest:
            yield rest
        if not follow:
            return


def _replaced(log: Path, descriptor: int) -> bool:
    import os

    try:
        return not os.path.samestat(log.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False  # between two files; look again
