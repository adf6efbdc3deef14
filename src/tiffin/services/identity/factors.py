"""How many ways a user must prove who it is: the rules of its options, and receipts for what was proved so far."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from tiffin.core.errors import Unauthorized
from tiffin.services.identity import claims as c
from tiffin.services.identity.keys import InvalidToken, Keys
from tiffin.services.identity.rules import time
from tiffin.services.identity.tables import Project, User

HEADER = "Openstack-Auth-Receipt"
RECEIPT_SECONDS = 300
_PURPOSE = "receipt"


class NeedsMore(Unauthorized):
    """What was proved is right, and not enough. `methods` is what was proved."""

    def __init__(self, methods: tuple[str, ...]) -> None:
        super().__init__("Additional authentications steps required.")
        self.methods = methods


class Receipt(msgspec.Struct, array_like=True):
    user_id: str
    generation: int
    methods: int
    expires_at: int


_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Receipt).decode


def rules(options: dict[str, Any], enabled: Iterable[str]) -> list[set[str]]:
    """The user's rules as sets of methods. What is no rule is ignored; so is a method that is not enabled, lest nobody could
    log in who needs it."""
    found = options.get("multi_factor_auth_rules")
    lists = [r for r in found if isinstance(r, list) and r] if isinstance(found, list) else []
    return [set(r).intersection(enabled) for r in lists if all(isinstance(m, str) for m in r)]


def check(user: User, methods: tuple[str, ...], enabled: Iterable[str]) -> None:
    """Raises `NeedsMore` when the methods satisfy none of the user's rules, if it has any."""
    if user.options.get("multi_factor_auth_enabled", True) is False:
        return
    wanted = rules(user.options, enabled)
    if wanted and not any(rule.issubset(methods) for rule in wanted):
        raise NeedsMore(methods)


def write(keys: Keys, who: tuple[User, Project], methods: tuple[str, ...], now: float) -> str:
    """A receipt that what was proved until now need not be proved again for five minutes."""
    user, domain = who
    generation, end = user.generation + domain.generation, int(now) + RECEIPT_SECONDS
    receipt = Receipt(user.id, generation, c.pack_methods(methods), end)
    return keys.encrypt(_encode(receipt), _PURPOSE).rstrip(b"=").decode()


def read(keys: Keys, receipt: str, now: float) -> Receipt:
    """Raises `Unauthorized` for what is none of our receipts, or too old."""
    try:
        found = _decode(keys.decrypt(receipt.encode() + b"=" * (-len(receipt) % 4), _PURPOSE))
    except (InvalidToken, UnicodeEncodeError, msgspec.DecodeError):
        found = None
    if found is None or found.expires_at <= now:
        raise Unauthorized("Could not find auth receipt.")
    return found


def show(who: tuple[User, Project], methods: tuple[str, ...], enabled: Iterable[str], now: float) -> dict[str, Any]:
    """The body that comes with a receipt: also which rules this could become."""
    user, domain = who
    return {
        "receipt": {
            "methods": list(methods),
            "user": {"id": user.id, "name": user.name, "domain": {"id": domain.id, "name": domain.name}},
            "expires_at": time(int(now) + RECEIPT_SECONDS),
            "issued_at": time(now),
        },
        "required_auth_methods": [
            sorted(rule) for rule in rules(user.options, enabled) if rule.intersection(methods)
        ],
    }
