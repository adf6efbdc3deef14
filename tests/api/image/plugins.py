"""A method and plug-ins of an operator's own, as tests need them: they give bytes, turn them round and name them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from tiffin.core.call import Call
from tiffin.core.cloud import Cloud
from tiffin.core.driver import Impossible
from tiffin.core.errors import BadRequest
from tiffin.services.image import import_names
from tiffin.services.image.import_parts import Changed, Facts, Given, Source
from tiffin.services.image.settings import Settings
from tiffin.services.image.tables import ImageRow


class Feed:
    """A method whose bytes are given by the test. `fate` is called before it opens."""

    name = "feed"

    def __init__(self) -> None:
        self.chunks: Callable[[], Iterator[bytes]] = lambda: iter([b"fed ", b"bytes"])
        self.announced: dict[str, Any] = {}  # further fields of `Source`
        self.fate: Callable[[str], None] = lambda point: None
        self.opened: list[Given] = []

    def check(self, call: Call, image: ImageRow, method: Mapping[str, Any]) -> Given:
        if method.get("uri") == "bad":
            raise BadRequest("That is not where bytes are.")
        return Given({"uri": method.get("uri", "feed:")}, secret="the token")

    def open(self, cloud: Cloud, facts: Facts, given: Given) -> Source | None:
        self.fate("open?")
        self.opened.append(given)
        return Source(self.chunks(), **self.announced)


class Turn:
    """A transform: the bytes in reverse order."""

    name = "turn"

    def __init__(self) -> None:
        self.fate: Callable[[str], None] = lambda point: None
        self.fails = ""

    def wanted(self, facts: Facts, settings: Settings) -> bool:
        return facts.found is not None and facts.found.size > 0

    def run(self, source: Path, target: Path, facts: Facts, settings: Settings) -> Changed:
        self.fate("turn?")
        if self.fails:
            raise Impossible(self.fails)
        target.write_bytes(source.read_bytes()[::-1])
        self.fate("turn!")
        return Changed("raw", "bare")


class Sign:
    """An injection."""

    name = "sign"

    def properties(self, facts: Facts, settings: Settings) -> dict[str, str]:
        return {"signed": f"for {facts.owner} in {','.join(facts.roles)}"}


feed, turn, sign = Feed(), Turn(), Sign()
import_names.METHODS["feed"] = "api.image.plugins:feed"  # for good: an operator still has to enable it
import_names.PLUGINS |= {"turn": "api.image.plugins:turn", "sign": "api.image.plugins:sign"}


def reset() -> None:
    """As they are before a test has told them anything."""
    feed.__init__()  # type: ignore[misc]
    turn.__init__()  # type: ignore[misc]
