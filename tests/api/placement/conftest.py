"""A cloud with placement alone, and short words for its conversations."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from support import TestCloud
from tiffin.core.cloud import ServiceRef
from tiffin.core.http.local import Reply

PLACEMENT = ServiceRef("placement", "/placement", "tiffin.services.placement.service")
PROJECT, USER = "p1", "u1"


def uid(word: str) -> str:
    """The same UUID for the same word."""
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, word))


class PlacementCloud(TestCloud):
    __test__ = False

    def say(self, method: str, url: str, json: Any = None, *, at: str = "1.39", token: str | None = "admin") -> Reply:
        return self.ask(method, "/placement" + url, token, json, OpenStack_API_Version=f"placement {at}")

    def fails(self, status: int, *asked: Any, code: str = "placement.undefined_code", **more: Any) -> str:
        """The request ends in this fault; gives its detail."""
        reply = self.say(*asked, **more)
        assert reply.status == status, (reply.status, reply.body)
        (error,) = reply.json["errors"]
        assert error["status"] == status
        assert error.get("code") == (code if "at" not in more or float(more["at"].split(".")[1]) >= 23 else None)
        return str(error["detail"])

    def provider(
        self,
        name: str,
        parent: str | None = None,
        *,
        traits: tuple[str, ...] = (),
        in_: tuple[str, ...] = (),
        **has: Any,
    ) -> str:
        """A provider with VCPU=4 or VCPU={"total": 4, ...}, traits and aggregates."""
        id = uid(name)
        body = {"name": name, "uuid": id, "parent_provider_uuid": uid(parent) if parent else None}
        assert self.say("POST", "/resource_providers", body).status == 200
        amounts = {c: n if isinstance(n, dict) else {"total": n} for c, n in has.items()}
        parts = {"inventories": amounts, "traits": list(traits), "aggregates": [uid(a) for a in in_]}
        for what, part in parts.items():
            if part:
                body = {what: part, "resource_provider_generation": self.generation(name)}
                reply = self.say("PUT", f"/resource_providers/{id}/{what}", body)
                assert reply.status == 200, reply.body
        return id

    def generation(self, name: str) -> int:
        return int(self.say("GET", f"/resource_providers/{uid(name)}").json["generation"])

    def allocate(self, consumer: str, places: dict[str, dict[str, int]], seen: int | None = None, **more: Any) -> Reply:
        """PUT the consumer's allocations at {provider name: {class: amount}}."""
        return self.say("PUT", f"/allocations/{uid(consumer)}", wanted(places, seen, **more))


def wanted(places: dict[str, dict[str, int]], seen: int | None = None, **more: Any) -> dict[str, Any]:
    return {
        "allocations": {uid(name): {"resources": resources} for name, resources in places.items()},
        "project_id": PROJECT,
        "user_id": USER,
        "consumer_generation": seen,
        "consumer_type": "INSTANCE",
        **more,
    }


@pytest.fixture
def cloud() -> Iterator[PlacementCloud]:
    made = PlacementCloud([PLACEMENT])
    yield made
    made.close()
