"""Extra DHCP options of a port."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from tiffin.core.schema import Schema

OneLine = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^\r\n]*$")]


class OptionIn(Schema, kw_only=True):
    opt_name: Annotated[str, Meta(min_length=1, max_length=64, pattern=r"^[^\r\n]*$")]
    opt_value: OneLine | None
    ip_version: Literal[4, 6, "4", "6"] = 4


def merge(old: Sequence[dict[str, Any]], said: Sequence[OptionIn]) -> list[dict[str, Any]]:
    """The options after an update: a value of null takes one away."""
    found = {(o["opt_name"], o["ip_version"]): o["opt_value"] for o in old}
    for option in said:
        key = (option.opt_name, int(option.ip_version))
        if option.opt_value is None:
            found.pop(key, None)
        else:
            found[key] = option.opt_value
    return [{"opt_name": name, "ip_version": v, "opt_value": value} for (name, v), value in sorted(found.items())]
