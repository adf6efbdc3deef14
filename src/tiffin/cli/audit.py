"""Show who logged in and who changed what, from the change log: lines for people, or CADF events (DMTF DSP0262) as JSON
lines for programs. Works whether the cloud runs or not."""

from __future__ import annotations

import argparse
import datetime
import importlib
import re
import socket
import time
from collections.abc import Iterator
from functools import cache
from typing import Any

import msgspec
from sqlalchemy import ColumnElement, and_, or_, select

from tiffin.cli.cloud import Cloud, open_cloud
from tiffin.cli.errors import CliError
from tiffin.core import audit
from tiffin.core.database import Database
from tiffin.core.migrate import current, newest
from tiffin.core.tables import LOGIN, Change
from tiffin.core.world import iso

POLL = 0.3  # seconds between two looks at a followed log
BATCH = 500
UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--since", metavar="WHEN", help="an ISO 8601 time (UTC), or how long ago: 30m, 12h, 7d")
    parser.add_argument("--user", metavar="USER", help="what this user (name or id) did, and what was done to its account")
    parser.add_argument("-f", "--follow", action="store_true", help="go on with what comes")
    form = parser.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="CADF events, one a line")
    form.add_argument(
        "--notifications", choices=("basic", "cadf"), help="as OpenStack's services send them, in this format, one a line"
    )


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    wanted = conditions(options.since, options.user, time.time())
    for change in read(_database(cloud), wanted, options.follow):
        print(_shown(change, options), flush=options.follow)
    return 0


def _shown(change: Change, options: argparse.Namespace) -> str:
    words = _words(audit.service_of(change))
    if options.notifications:
        told = audit.notification(change, words, options.notifications, socket.gethostname())
        return msgspec.json.encode(told).decode()
    return msgspec.json.encode(audit.cadf(change, words)).decode() if options.json else line(change, words)


@cache
def _words(service: str) -> audit.Taxonomy:
    found: audit.Taxonomy = importlib.import_module(f"tiffin.services.{service}.service").service.taxonomy()
    return found


def _database(cloud: Cloud) -> Database:
    settings = cloud.settings
    database = Database(settings.database or f"sqlite:///{cloud.folder.database}", durable=not settings.simulated)
    if current(database) != newest():
        raise CliError("this version has not served the cloud yet: `./tiffin up` brings its database up to date.")
    return database


def conditions(since: str | None, user: str | None, now: float) -> list[ColumnElement[bool]]:
    """What the changes must fulfil. Raises `CliError` for a time that is none."""
    wanted: list[ColumnElement[bool]] = []
    if since is not None:
        wanted.append(Change.at >= moment(since, now))
    if user is not None:
        names = [picture["name"].as_string() == user for picture in (Change.before, Change.after)]
        account = and_(Change.resource_type == "identity.user", or_(Change.resource_id == user, *names))
        wanted.append(or_(Change.actor_id == user, Change.via["user"].as_string() == user, account))
    return wanted


def moment(text: str, now: float) -> float:
    """Seconds since the epoch of a time, or of so long before `now`."""
    if ago := re.fullmatch(r"([0-9]{1,9})([smhd])", text):
        return now - int(ago[1]) * UNITS[ago[2]]
    try:
        when = datetime.datetime.fromisoformat(text)
        return (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise CliError(f"--since {text} is no time; write 2026-01-31T23:59, 2026-01-31, 30m, 12h or 7d.") from None


def read(database: Database, wanted: list[ColumnElement[bool]], follow: bool) -> Iterator[Change]:
    """The changes in the order of the log. A batch is a transaction of its own, so that no reader holds up the log."""
    last = 0
    while True:
        statement = select(Change).where(Change.sequence > last, *wanted).order_by(Change.sequence).limit(BATCH)
        with database.read() as session:
            found = session.scalars(statement).all()
        yield from found
        if found:
            last = found[-1].sequence
        elif not follow:
            return
        else:
            time.sleep(POLL)


def line(change: Change, words: audit.Taxonomy) -> str:
    """One change for people: when, who, from where, what."""
    via = change.via or {}
    who = via.get("user") or change.actor_id or ("unknown" if via else audit.SELF)
    outcome = audit.outcome(change)
    ended = "" if outcome == "success" else f": {outcome}"
    reason = (change.after or {}).get("reason") if outcome == "failure" else None
    parts = (
        iso(change.at), f"{who:<16}", f"{via.get('address', '-'):<15}", _what(change, words) + ended,
        f"({reason})" if reason else "", _lent(via),
    )  # fmt: skip
    return "".join(c if c.isprintable() else "?" for c in "  ".join(part for part in parts if part))


def _what(change: Change, words: audit.Taxonomy) -> str:
    after = change.after or {}
    if change.kind == LOGIN:
        return f"login by {'+'.join(after.get('methods', ())) or 'unknown means'}"
    event = audit.event_of(change, words)
    name = after.get("name") or (change.before or {}).get("name")
    fields = audit.differences(change)
    told = event.tell(change) if event.tell else {}
    facts = [f"{key}={value}" for key, value in told.items() if not isinstance(value, dict)]
    which = f"{change.resource_id} {name!r}" if isinstance(name, str) else change.resource_id
    return " ".join((event.operation, event.resource, which, ", ".join(fields or facts))).strip()


def _lent(via: dict[str, Any]) -> str:
    """By what the token was lent, so that an impersonation is seen at once."""
    return " ".join(f"{name}={via[name]}" for name in via if name.endswith("_id") and name != "domain_id")
