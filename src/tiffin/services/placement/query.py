"""What placement's query strings say: resources, traits, aggregates. Pure functions; each raises `BadRequest`."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping

import msgspec

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest
from tiffin.core.schema import Version

BAD_VALUE = "placement.query.bad_value"
MISSING_VALUE = "placement.query.missing_value"
DUPLICATE_KEY = "placement.query.duplicate_key"

FORBIDDEN_TRAITS_SINCE: Version = (1, 22)
REPEATED_MEMBER_OF_SINCE: Version = (1, 24)
FORBIDDEN_AGGREGATES_SINCE: Version = (1, 32)
ANY_TRAITS_SINCE: Version = (1, 39)

UUID = r"[0-9a-fA-F]{8}(-?[0-9a-fA-F]{4}){3}-?[0-9a-fA-F]{12}"
_NAME = re.compile(r"[A-Z0-9_]{1,255}")
MAX_INT = 2**31 - 1


class Traits(msgspec.Struct, frozen=True):
    """Which traits are wanted: of each set in `required` at least one, of `forbidden` none."""

    required: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()

    @property
    def names(self) -> set[str]:
        return {*self.forbidden, *(name for one in self.required for name in one)}


class Aggregates(msgspec.Struct, frozen=True):
    """Membership that is wanted: of each set in `member_of` at least one, of `forbidden` none."""

    member_of: tuple[frozenset[str], ...] = ()
    forbidden: frozenset[str] = frozenset()


def bad(message: str) -> BadRequest:
    return BadRequest(f"Invalid query string parameters: {message}", code=BAD_VALUE)


def check_keys(call: Call, known: Mapping[str, Version], repeated: Mapping[str, Version] | None = None) -> None:
    """Refuse what this version has no parameter for, and what may not come twice."""
    for name, values in call.query.items():
        if name not in known or call.version < known[name]:
            raise bad(f"there is no parameter {name[:80]!r} at this version.")
        if len(values) > 1 and not (repeated and name in repeated and call.version >= repeated[name]):
            raise BadRequest(f"The query parameter {name!r} may be given once only.", code=DUPLICATE_KEY)


def uuid(name: str, value: str) -> str:
    if not re.fullmatch(UUID, value):
        raise bad(f"{name}: {value[:80]!r} is not a UUID.")
    return value


def resources(name: str, value: str) -> dict[str, int]:
    """`VCPU:2,MEMORY_MB:512`: class -> amount, each at least 1."""
    found: dict[str, int] = {}
    for part in value.split(","):
        resource_class, _, amount = part.partition(":")
        if not _NAME.fullmatch(resource_class) or not re.fullmatch(r"[0-9]{1,10}", amount):
            raise bad(f"{name}: {part[:80]!r} is not CLASS:AMOUNT.")
        if resource_class in found:
            raise bad(f"{name}: {resource_class} comes twice.")
        if not 1 <= int(amount) <= MAX_INT:
            raise bad(f"{name}: the amount of {resource_class} is a number from 1 to {MAX_INT}.")
        found[resource_class] = int(amount)
    return found


def traits(name: str, values: Collection[str], version: Version) -> Traits:
    """`A,!B`, and from 1.39 on also `in:A,B` (one of them) and the parameter repeated."""
    required: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for value in values:
        if value.startswith("in:") and version >= ANY_TRAITS_SINCE:
            required.append(frozenset(_words(name, value[3:])))
            continue
        for word in _words(name, value, prefix="!" if version >= FORBIDDEN_TRAITS_SINCE else ""):
            if word.startswith("!"):
                forbidden.add(word[1:])
            else:
                required.append(frozenset((word,)))
    clash = forbidden & {t for one in required if len(one) == 1 for t in one}
    if clash:
        raise bad(f"{name}: {', '.join(sorted(clash))} is both required and forbidden.")
    return Traits(tuple(required), frozenset(forbidden))


def _words(name: str, value: str, prefix: str = "") -> list[str]:
    words = value.split(",")
    for word in words:
        if not _NAME.fullmatch(word.removeprefix(prefix) if prefix else word):
            raise bad(f"{name}: {word[:80]!r} is not the name of a trait.")
    return words


def member_of(name: str, values: Collection[str], version: Version) -> Aggregates:
    """`UUID`, `in:UUID,UUID`, and from 1.32 on `!UUID` and `!in:UUID,UUID`."""
    wanted: list[frozenset[str]] = []
    forbidden: set[str] = set()
    for value in values:
        negative = value.startswith("!") and version >= FORBIDDEN_AGGREGATES_SINCE
        listed = value.removeprefix("!") if negative else value
        ids = listed[3:].split(",") if listed.startswith("in:") else [listed]
        aggregates = frozenset(uuid(name, id) for id in ids)
        if negative:
            forbidden |= aggregates
        else:
            wanted.append(aggregates)
    return Aggregates(tuple(wanted), frozenset(forbidden))
