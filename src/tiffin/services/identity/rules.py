"""Pure rules of identity: no I/O."""

from __future__ import annotations

import datetime
import hashlib
import re
from collections.abc import Iterable, Mapping

from tiffin.core.errors import BadRequest
from tiffin.core.world import World, iso


def new_id(world: World) -> str:
    """An id as upstream's identity writes them: a UUID without dashes."""
    return world.new_id().replace("-", "")


def time(at: float | None) -> str | None:
    """2026-01-31T23:59:59.000000Z."""
    return iso(at, micro=True)


def parse_time(text: str, field: str) -> float:
    """Seconds since the epoch of an ISO 8601 time, UTC unless it says otherwise. Raises `BadRequest` naming the field."""
    try:
        when = datetime.datetime.fromisoformat(text.strip())
        at = (when if when.tzinfo else when.replace(tzinfo=datetime.UTC)).timestamp()
    except (ValueError, OverflowError):
        raise BadRequest(f"Invalid input for field/attribute {field}: expected an ISO 8601 time.") from None
    if not 0 <= at < 253_000_000_000:
        raise BadRequest(f"Invalid input for field/attribute {field}: out of range.")
    return at


def closure(roles: Iterable[str], implied: Mapping[str, Iterable[str]]) -> set[str]:
    """The roles and all that they imply, and what those imply."""
    found: set[str] = set()
    waiting = list(roles)
    while waiting:
        role = waiting.pop()
        if role not in found:
            found.add(role)
            waiting.extend(implied.get(role, ()))
    return found


def grant_id(actor: tuple[str, str], scope: tuple[str, str | None], role_id: str, inherited: bool) -> str:
    """The id of an assignment's row: the same grant has the same. `actor` is ("user"|"group", id)."""
    words = (*actor, scope[0], scope[1] or "", role_id, str(inherited))
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


_SUBSTITUTE = re.compile(r"[$%]\((\w+)\)s|%%")


def endpoint_url(url: str, facts: Mapping[str, str | None]) -> str | None:
    """The URL with `$(project_id)s` and its like filled in, and `%%` as `%`; None when the token has no such fact."""
    if not personal(url):
        return url
    missing = False

    def fill(match: re.Match[str]) -> str:
        nonlocal missing
        if match[1] is None:
            return "%"
        value = facts.get(match[1])
        missing = missing or value is None
        return value or ""

    filled = _SUBSTITUTE.sub(fill, url)
    return None if missing else filled


def personal(url: str) -> bool:
    """Whether the URL has to be filled in."""
    return "(" in url or "%" in url


SUBSTITUTES = ("project_id", "tenant_id", "user_id")


def bad_substitution(url: str) -> str | None:
    """The first `$(word)s` of an endpoint's URL that a catalogue could never fill in, or that is broken off; a `%` that
    should be `%%`, too."""
    rest = _SUBSTITUTE.sub(lambda match: "" if match[1] in (None, *SUBSTITUTES) else match[0], url)
    found = re.search(r"([$%]\(|%).*", rest)
    return found[0][:80] if found else None
