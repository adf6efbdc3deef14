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


Template = list[str]
"""A URL in pieces: text, the name of what comes behind it ('%' for itself), text, and so on."""


def url_template(url: str) -> Template:
    """The pieces of an endpoint's URL, in which `$(project_id)s` and its like stand for facts, and `%%` for `%`."""
    return [piece or ("%" if n % 2 else "") for n, piece in enumerate(_SUBSTITUTE.split(url))]


def fill(template: Template, facts: Mapping[str, str | None]) -> str | None:
    """The URL; None when there is no such fact."""
    url = template[0]
    for name, text in zip(template[1::2], template[2::2], strict=True):
        value = "%" if name == "%" else facts.get(name)
        if value is None:
            return None
        url += value + text
    return url


SUBSTITUTES = ("project_id", "tenant_id", "user_id")


def bad_substitution(url: str) -> str | None:
    """The first `$(word)s` of an endpoint's URL that a catalogue could never fill in, or that is broken off; a `%` that
    should be `%%`, too."""
    rest = _SUBSTITUTE.sub(lambda match: "" if match[1] in (None, *SUBSTITUTES) else match[0], url)
    found = re.search(r"([$%]\(|%).*", rest)
    return found[0][:80] if found else None
