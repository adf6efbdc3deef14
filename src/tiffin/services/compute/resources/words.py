"""The types that request and response bodies of compute share."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import Meta

from tiffin.core.errors import BadRequest
from tiffin.core.schema import Schema

_PRINTABLE = r"^(?!\s)[^\x00-\x1f\x7f-\x9f]+(?<!\s)\Z"

Name = Annotated[str, Meta(min_length=1, max_length=255, pattern=_PRINTABLE)]
"""Printable, and without space at either end."""
Text255 = Annotated[str, Meta(max_length=255)]
Description = Annotated[str, Meta(max_length=255, pattern=r"^[^\x00-\x1f\x7f-\x9f]*\Z")]
Uuid = Annotated[str, Meta(max_length=36, pattern=r"^[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}\Z")]
Tag = Annotated[str, Meta(min_length=1, max_length=60, pattern=r"^[^,/]+\Z")]
Address = Annotated[str, Meta(min_length=2, max_length=64)]
HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-._]+\Z")]
Base64 = Annotated[str, Meta(max_length=65535)]
DiskConfig = Literal["AUTO", "MANUAL"]

MAX_INT = 2**31 - 1
Natural = Annotated[int, Meta(ge=0, le=MAX_INT)] | Annotated[str, Meta(max_length=10, pattern=r"^[0-9]{1,10}\Z")]
Positive = Annotated[int, Meta(ge=1, le=MAX_INT)] | Annotated[str, Meta(max_length=10, pattern=r"^[0-9]{1,10}\Z")]

TRUE_WORDS = ("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes")
FALSE_WORDS = ("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no")
Boolean = bool | Literal[
    "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
    "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no",
]  # fmt: skip

MetaKey = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9-_:. ]{1,255}\Z")]
Metadata = Annotated[dict[MetaKey, Text255], Meta(max_length=1024)]


class Link(Schema):
    rel: str
    href: str


def boolean(value: bool | str) -> bool:
    return value if isinstance(value, bool) else value in TRUE_WORDS


def whole(name: str, value: Any, *, least: int = 0, most: int = MAX_INT) -> int:
    """A number that may have come as a string. Raises `BadRequest` outside of its bounds."""
    number = int(value)
    if not least <= number <= most:
        raise BadRequest(f"Invalid input for field/attribute {name}: {number} is not within {least}..{most}.")
    return number


def links(base: str, kind: str, id: str) -> list[Link]:
    """The two links of a thing: with the API's version in it, and for good."""
    return [Link(rel="self", href=f"{base}/v2.1/{kind}/{id}"), Link(rel="bookmark", href=f"{base}/{kind}/{id}")]


def bookmark(base: str, kind: str, id: str) -> list[Link]:
    return [Link(rel="bookmark", href=f"{base}/{kind}/{id}")]
