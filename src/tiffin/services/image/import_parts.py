"""What an import is put together from: *methods* that say where its bytes come from, and *plug-ins* that change them.

They are found by name in lazy tables, so that start-up imports none of them; an operator says in `[image.imports]` which are
enabled. `lifecycles/task.py` runs them: the method, then each plug-in that is wanted, then the bytes are placed in the stores.
"""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Protocol

import msgspec

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.services.image import import_names
from tiffin.services.image.inspection import Findings
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import ImageRow


class Facts(msgspec.Struct, frozen=True):
    """An image in the middle of its import."""

    image_id: str
    task_id: str
    owner: str | None  # the image's project
    disk_format: str
    container_format: str
    properties: Mapping[str, str | None]
    stores: tuple[str, ...]  # the stores that the bytes will go to
    user_id: str | None  # who asked for the import, and what they were then
    project_id: str | None
    roles: tuple[str, ...]
    found: Findings | None = None  # what inspection says of the bytes as they are now; None before they have come


class Given(msgspec.Struct, frozen=True):
    """What a method keeps of its request until its bytes are fetched."""

    input: dict[str, Any] = {}  # kept in the task's row in clear
    secret: str = ""  # kept encrypted, and forgotten when the task ends: a token


class Source(msgspec.Struct, frozen=True):
    """Bytes that have begun to come, and what their origin says of them."""

    chunks: Iterator[bytes]  # closed when it is let go early; raises `Refused` or `Impossible` when the origin breaks off
    size: int | None = None  # bytes that were announced; fewer or more fail the import
    disk_format: str = ""  # what the image is from here on, where the origin knows better
    container_format: str = ""
    properties: Mapping[str, str] = {}  # set on the image when the import succeeds, over those that are there


class Method(Protocol):
    """Where bytes come from."""

    @property
    def name(self) -> str:
        """As clients call it: web-download."""
        ...

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        """Whether this may be asked of the image; in the request's transaction, which no network may be waited for in.

        `method`: the object `method` of the body as it came, of which only `name` has been looked at (it is text, and this
        method's). Raises `BadRequest`, `Conflict`, `Forbidden`.
        """
        ...

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source | None:
        """Begin to read, outside of any transaction; None when the bytes are in a store of ours already.

        Raises `Refused` (it is tried again, a few times) or `Impossible` (the import fails, with these words for the user).
        """
        ...


class Changed(msgspec.Struct, frozen=True):
    """What bytes are after a plug-in has changed them."""

    disk_format: str
    container_format: str


class Transform(Protocol):
    """Makes one file of another, for example of another format. Files in, files out: no rows, no stores, no network."""

    @property
    def name(self) -> str:
        """Upstream's name of the plug-in: image_decompression."""
        ...

    def wanted(self, facts: Facts, settings: Settings) -> bool:
        """Whether there is something to do for this image; `facts.found` is there."""
        ...

    def run(self, source: Path, target: Path, facts: Facts, settings: Settings) -> Changed:
        """Write `target` (which is not there yet, in a private folder that is removed whatever happens) from `source` (which
        is on the same file system, and only read). Bounded in time, memory and the size of what it writes, which is inspected
        afterwards like any bytes.

        Raises `Impossible` with words for the user, or `Refused`.
        """
        ...


class Injection(Protocol):
    """Gives an imported image properties."""

    @property
    def name(self) -> str:
        """Upstream's name of the plug-in: inject_image_metadata."""
        ...

    def properties(self, facts: Facts, settings: Settings) -> dict[str, str]:
        """What to set, over what is there. Pure."""
        ...


def method(name: str) -> Method:
    """A method of `METHODS`. Raises `KeyError`."""
    found: Method = _load(import_names.METHODS[name])
    return found


def transforms(settings: Settings) -> list[Transform]:
    """The enabled plug-ins that change bytes, in the operator's order."""
    return [plugin for plugin in _plugins(settings) if hasattr(plugin, "run")]


def injections(settings: Settings) -> list[Injection]:
    """The enabled plug-ins that set properties, in the operator's order."""
    return [plugin for plugin in _plugins(settings) if hasattr(plugin, "properties")]


def _plugins(settings: Settings) -> list[Any]:
    return [_load(import_names.PLUGINS[name]) for name in settings.imports.image_import_plugins]


def _load(where: str) -> Any:
    module, _, attribute = where.partition(":")
    return getattr(importlib.import_module(module), attribute)
