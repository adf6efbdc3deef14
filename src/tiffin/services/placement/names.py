"""The names of traits and resource classes: those of the standard libraries, and the CUSTOM_ ones that somebody declared."""

from __future__ import annotations

import functools
from collections.abc import Collection
from typing import Annotated, Literal

from msgspec import Meta
from sqlalchemy import select
from sqlalchemy.orm import Session

from tiffin.core.errors import BadRequest
from tiffin.services.placement.tables import CustomName

Kind = Literal["trait", "resource_class"]

ClassName = Annotated[str, Meta(pattern=r"^[A-Z0-9_]+\Z", max_length=255)]
CustomClassName = Annotated[str, Meta(pattern=r"^CUSTOM_[A-Z0-9_]+\Z", max_length=255)]
TraitName = Annotated[str, Meta(min_length=1, max_length=255)]
CUSTOM = r"CUSTOM_[A-Z0-9_]{1,248}"

SHARES = "MISC_SHARES_VIA_AGGREGATE"
"""The trait of a provider whose inventory serves every tree that it has an aggregate in common with."""


@functools.cache
def standard(kind: Kind) -> tuple[str, ...]:
    """Upstream's own names, in upstream's order."""
    if kind == "trait":
        import os_traits

        return tuple(os_traits.get_traits())
    import os_resource_classes

    return tuple(os_resource_classes.STANDARDS)


@functools.cache
def _standard_set(kind: Kind) -> frozenset[str]:
    return frozenset(standard(kind))


def is_standard(kind: Kind, name: str) -> bool:
    return name in _standard_set(kind)


def custom(session: Session, kind: Kind) -> list[str]:
    """The declared names, in order."""
    return list(session.scalars(select(CustomName.name).where(CustomName.kind == kind).order_by(CustomName.name)))


def is_declared(session: Session, kind: Kind, name: str) -> bool:
    return session.get(CustomName, (kind, name)) is not None


def exists(session: Session, kind: Kind, name: str) -> bool:
    return is_standard(kind, name) or is_declared(session, kind, name)


def check(session: Session, kind: Kind, names: Collection[str]) -> None:
    """Raises `BadRequest` that names those which do not exist."""
    missing = set(names) - _standard_set(kind)
    if missing:
        missing -= set(
            session.scalars(select(CustomName.name).where(CustomName.kind == kind, CustomName.name.in_(missing)))
        )
    if missing:
        what = "No such trait(s)" if kind == "trait" else "No such resource class(es)"
        raise BadRequest(f"{what}: {', '.join(sorted(missing))}.")
