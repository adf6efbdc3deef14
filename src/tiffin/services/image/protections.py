"""Property protections: who may create, read, update and delete which of an image's own properties.

The operator's file is upstream's: each section is a regular expression with the keys create, read, update and delete; the first
section that fits a property's name counts, and what fits none may not be touched. A key says roles, separated by commas, or
the name of one rule of the policy file, as `rule_format` says; `@` is everybody, `!` nobody.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import msgspec

from tiffin.core.call import Call
from tiffin.core.errors import Forbidden
from tiffin.core.settings import SettingsError
from tiffin.services.image.settings import PropertyProtection

if TYPE_CHECKING:
    import configparser

Action = Literal["create", "read", "update", "delete"]
ACTIONS: tuple[Action, ...] = ("create", "read", "update", "delete")


class Section(msgspec.Struct, frozen=True):
    """The properties whose names fit, and who may do what to them."""

    names: re.Pattern[str]
    allowed: Mapping[Action, tuple[str, ...]]  # action -> roles, or one rule


class Protections(msgspec.Struct, frozen=True):
    """All sections in the order of the file."""

    sections: tuple[Section, ...]
    rule_format: Literal["roles", "policies"]

    def rules(self) -> frozenset[str]:
        """The rules of policy that are asked for."""
        if self.rule_format == "roles":
            return frozenset()
        return frozenset(word for s in self.sections for words in s.allowed.values() for word in words) - {"@", "!"}

    def allow(self, call: Call, action: Action, name: str) -> bool:
        section = next((s for s in self.sections if s.names.search(name)), None)
        words = section.allowed[action] if section is not None else ()
        if "!" in words or not words:
            return False
        if "@" in words:
            return True
        if self.rule_format == "roles":
            return any(word.lower() in call.actor.roles for word in words)
        return call.cloud.policy(call.service.type).defines(words[0]) and call.allows(words[0], {})


def load(folder: Path, settings: PropertyProtection) -> Protections | None:
    """The protections that the operator chose, None for none. Raises `SettingsError` for a file that cannot be meant so."""
    if not settings.file:
        return None
    import configparser

    path = folder / settings.file
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(path.read_text())
        sections = tuple(_section(parser, name, settings.rule_format) for name in parser.sections())
    except (OSError, ValueError, re.error, configparser.Error) as wrong:
        raise SettingsError(f"[image.property_protection] file: {path}: {wrong}") from None
    return Protections(sections, settings.rule_format)


def _section(parser: configparser.RawConfigParser, name: str, rule_format: str) -> Section:
    allowed: dict[Action, tuple[str, ...]] = {}
    for action in ACTIONS:
        words = tuple(word.strip() for word in parser.get(name, action).split(",") if word.strip())
        if {"@", "!"} <= set(words):
            raise ValueError(f"[{name}] {action}: everybody (@) and nobody (!) exclude each other.")
        if rule_format == "policies" and len(words) > 1:
            raise ValueError(f"[{name}] {action}: name one rule; rules are combined in the policy file.")
        allowed[action] = words
    return Section(re.compile(name), allowed)


class Guard:
    """What the actor of one request may do to properties. Asks the protections once for each name."""

    def __init__(self, call: Call) -> None:
        chosen = bool(call.service.settings.property_protection.file)
        self._call, self._protections = call, call.part(Protections) if chosen else None
        self._known: dict[tuple[Action, str], bool] = {}

    @property
    def open(self) -> bool:
        """Whether nothing is protected."""
        return self._protections is None

    def may(self, action: Action, name: str) -> bool:
        if self._protections is None:
            return True
        if (action, name) not in self._known:
            self._known[action, name] = self._protections.allow(self._call, action, name)
        return self._known[action, name]

    def readable(self, properties: dict[str, str | None]) -> dict[str, str | None]:
        """Those that the actor may see."""
        if self.open:
            return properties
        return {name: value for name, value in properties.items() if self.may("read", name)}

    def check(self, action: Action, name: str) -> None:
        """Raises `Forbidden` for a property that the actor may not treat so."""
        if not self.may(action, name):
            raise Forbidden(f"Attribute '{name}' is reserved.")

    def check_set(self, name: str, properties: Mapping[str, str | None]) -> None:
        """The same for giving a property of an image a value. One that the actor may not see is new to them."""
        if name in properties:
            self.check("update", name)
        if name not in properties or not self.may("read", name):
            self.check("create", name)
