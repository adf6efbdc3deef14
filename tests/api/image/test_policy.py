"""The rules of images are upstream's, by name, by default and by scope; operators change them by their file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tiffin.core.policy import Policy
from tiffin.services.image.service import service

from .conftest import ImageCloud

UPSTREAM: dict[str, dict[str, Any]] = json.loads(Path(__file__).with_name("policy_defaults.json").read_text())
"""Glance's rules: the default check string, the kinds of scope that a token must have, and the operations that ask."""


def test_rules_have_one_default_each() -> None:
    assert Policy("image", service.all_rules(), scopes=service.scopes).defaults


def test_defaults_are_upstreams() -> None:
    ours = dict(service.all_rules())
    assert set(ours) - set(UPSTREAM) == set(), "upstream has no such rules"
    different = {name: (check, UPSTREAM[name]["check"]) for name, check in ours.items() if check != UPSTREAM[name]["check"]}
    assert not different, "\n".join(f"{name}\n    {o}\n    {u}" for name, (o, u) in different.items())


def test_scopes_are_upstreams() -> None:
    assert service.scopes is not None
    for name in dict(service.all_rules()):
        scopes = UPSTREAM[name]["scopes"]
        assert service.scopes(name) == (tuple(scopes) if scopes else None), name


def test_each_operation_asks_upstreams_rule() -> None:
    for operation in service.operations():
        shape = f"{operation.method} {re.sub('{[^}]*}', '{}', operation.path)}"
        named = {name for name, facts in UPSTREAM.items() if shape in facts["operations"]} - ASKED_IN_PASSING
        if named:
            assert operation.policy is not None, shape
            assert operation.policy[0] in named, shape


ASKED_IN_PASSING = {"copy_image"}
"""By an operation that has another rule of its own."""


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[tuple[ImageCloud, Path]]:
    """A cloud, and the operator's policy file."""
    made = ImageCloud(policy_folder=tmp_path)
    yield made, tmp_path / "image.yaml"
    made.close()


def test_a_list_shows_what_get_image_allows(ruled: tuple[ImageCloud, Path]) -> None:
    cloud, file = ruled
    for visibility in ("private", "shared", "community"):
        cloud.make(name=visibility, visibility=visibility)
    assert len(cloud.listed()) == 3
    file.write_text("\"get_image\": \"role:admin or 'private':%(visibility)s\"\n")
    cloud.cloud.policy("image").look_again()
    assert cloud.listed() == ["private"]
    assert len(cloud.listed("?visibility=all", "admin")) == 3
    page = cloud.ask("GET", "/image/v2/images?limit=1&sort=name:asc").json
    assert (page["images"], "next" in page) == ([], False)
    file.write_text('"get_image": "project_id:%(member_id)s"\n')
    cloud.cloud.policy("image").look_again()
    assert cloud.listed("?visibility=all", "other") == ["community"]
    assert cloud.listed() == []


def test_what_may_not_be_looked_at_is_not_there(ruled: tuple[ImageCloud, Path]) -> None:
    cloud, file = ruled
    id = cloud.make()["id"]
    file.write_text('"get_image": "role:admin"\n"delete_image": "role:admin"\n')
    cloud.cloud.policy("image").look_again()
    for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/members"), ("GET", "/members/p2")):
        assert cloud.ask(method, f"/image/v2/images/{id}{path}").status == 404
    assert cloud.ask("PUT", f"/image/v2/images/{id}/tags/x").status == 204  # whose own rule allows it, may do it
    file.write_text('"delete_image": "role:admin"\n')
    cloud.cloud.policy("image").look_again()
    reply = cloud.ask("DELETE", f"/image/v2/images/{id}")
    assert (reply.status, reply.json["message"]) == (403, "You are not authorized to complete delete_image action.")
    assert cloud.ask("DELETE", f"/image/v2/images/{id}", "admin").status == 204


def test_a_change_of_what_a_rule_refers_to_counts(ruled: tuple[ImageCloud, Path]) -> None:
    cloud, file = ruled
    policy = cloud.cloud.policy("image")
    assert policy.stand("get_image", "get_images")
    file.write_text('"context_is_admin": "role:cloud_admin"\n')
    policy.look_again()
    assert not policy.stand("get_image")
    assert policy.stand("service_api")
