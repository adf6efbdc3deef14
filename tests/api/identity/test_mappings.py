"""Mappings: the rules are kept as they came, and whatever breaks them is named."""

from __future__ import annotations

from typing import Any

import pytest

from api.identity.conftest import URL, IdentityCloud

USER: dict[str, Any] = {"user": {"name": "{0}"}}
TYPE: dict[str, Any] = {"type": "UserName"}
PATH = "/OS-FEDERATION/mappings/m"


def rule(local: Any = (USER,), remote: Any = (TYPE,), **more: Any) -> dict[str, Any]:
    return {"local": list(local), "remote": list(remote), **more}


def project(**more: Any) -> dict[str, Any]:
    return {"projects": [{"name": "p", "roles": [{"name": "member"}], **more}]}


def test_a_mapping_lives_and_dies(cloud: IdentityCloud) -> None:
    rules = [rule()]
    made = cloud.do("PUT", PATH, {"mapping": {"rules": rules}})
    assert made.status == 201
    links = {"self": f"{URL}/identity/v3{PATH}"}
    assert made.json["mapping"] == {"id": "m", "rules": rules, "schema_version": "1.0", "links": links}
    assert cloud.do("GET", PATH).json == made.json
    assert cloud.do("HEAD", PATH).status == 200
    assert cloud.do("PUT", PATH, {"mapping": {"rules": rules}}).status == 409
    body = {"rules": [rule(local=[project(domain={"id": "d"})])], "schema_version": "2.0"}
    assert cloud.do("PATCH", PATH, {"mapping": body}).json["mapping"] == {**made.json["mapping"], **body}
    listed = cloud.do("GET", "/OS-FEDERATION/mappings").json
    assert listed["mappings"] == [cloud.do("GET", PATH).json["mapping"]]
    assert cloud.do("PATCH", PATH, {"mapping": body | {"schema_version": None}}).status == 400
    assert cloud.do("PATCH", PATH, {"mapping": {"rules": rules}}).json["mapping"]["schema_version"] == "1.0"
    assert cloud.do("DELETE", PATH).status == 204
    for method, json in (("GET", None), ("DELETE", None), ("PATCH", {"mapping": {"rules": rules}})):
        assert cloud.do(method, PATH, json).status == 404


GOOD = [
    (rule(), "1.0"),
    (rule(local=[]), "1.0"),
    (rule(local=[{}]), "1.0"),
    (
        rule(
            local=[
                {"user": {"id": "i", "name": "n", "email": "e", "type": "local", "domain": {"id": "d", "name": "n"}}}
            ]
        ),
        "1.0",
    ),
    (rule(local=[{"user": {"type": "ephemeral"}, "domain": {"name": "{1}"}}]), "1.0"),
    (rule(local=[USER, {"group": {"id": "0cd5e9"}}]), "1.0"),
    (rule(local=[{"group": {"name": "{1}", "domain": {"name": "D"}}}]), "1.0"),
    (rule(local=[{"groups": "{0}", "domain": {"id": "d"}}, {"group_ids": "{1}"}]), "1.0"),
    (rule(local=[project()]), "1.0"),
    (rule(local=[project(domain={"name": "{2}"})]), "2.0"),
    (rule(local=[project(domain={"name": "{2}"})]), "3.0"),
    (rule(local=[{"projects": "{3}"}]), "3.0"),
    (rule(remote=[{"type": "a", "any_one_of": ["x", "y"]}]), "1.0"),
    (rule(remote=[{"type": "a", "not_any_of": [".*@x"], "regex": True}]), "1.0"),
    (rule(remote=[{"type": "a", "whitelist": []}, {"type": "b", "blacklist": ["x"], "regex": False}]), "1.0"),
    (rule(remote=[{"type": "a", "any_one_of": [1, None, {"x": []}]}]), "1.0"),
]


@pytest.mark.parametrize(("good", "version"), GOOD)
def test_good_rules_are_kept_as_they_are(cloud: IdentityCloud, good: dict[str, Any], version: str) -> None:
    made = cloud.do("PUT", PATH, {"mapping": {"id": "ignored", "rules": [good], "schema_version": version}})
    assert made.status == 201, made.body
    assert cloud.do("GET", PATH).json["mapping"]["rules"] == [good]
    assert cloud.do("GET", PATH).json["mapping"]["schema_version"] == version


BAD: list[tuple[Any, str]] = [
    ({"local": [USER]}, "rules[0]"),
    ({"remote": [TYPE]}, "rules[0]"),
    (rule(more=1), "rules[0]"),
    (rule(remote=[]), "rules[0].remote"),
    (rule(remote=["x"]), "rules[0].remote[0]"),
    (rule(remote=[{}]), "rules[0].remote[0]"),
    (rule(remote=[{"type": 1}]), "rules[0].remote[0].type"),
    (rule(remote=[{"type": "a", "x": 1}]), "rules[0].remote[0]"),
    (rule(remote=[{"type": "a", "any_one_of": "x"}]), "rules[0].remote[0].any_one_of"),
    (rule(remote=[TYPE, {"type": "a", "whitelist": [], "blacklist": []}]), "rules[0].remote[1]"),
    (rule(remote=[{"type": "a", "any_one_of": [], "not_any_of": []}]), "rules[0].remote[0]"),
    (rule(remote=[{"type": "a", "regex": True}]), "rules[0].remote[0]"),
    (rule(remote=[{"type": "a", "any_one_of": [], "regex": "yes"}]), "rules[0].remote[0].regex"),
    (rule() | {"local": {}}, "rules[0].local"),
    (rule(local=[{"user": "x"}]), "rules[0].local[0].user"),
    (rule(local=[{"user": None}]), "rules[0].local[0].user"),
    (rule(local=[{"user": {"type": "other"}}]), "rules[0].local[0].user.type"),
    (rule(local=[{"user": {"x": "y"}}]), "rules[0].local[0].user"),
    (rule(local=[{"person": {}}]), "rules[0].local[0]"),
    (rule(local=[{"group": {}}]), "rules[0].local[0].group"),
    (rule(local=[USER, {"group": {"name": "g"}}]), "rules[0].local[1].group"),
    (rule(local=[{"group": {"id": "i", "name": "g", "domain": {"id": "d"}}}]), "rules[0].local[0].group"),
    (rule(local=[{"groups": ["x"]}]), "rules[0].local[0].groups"),
    (rule(local=[{"domain": {"id": 1}}]), "rules[0].local[0].domain.id"),
    (rule(local=[{"projects": [{"name": "p"}]}]), "rules[0].local[0].projects[0]"),
    (rule(local=[{"projects": [{"roles": []}]}]), "rules[0].local[0].projects[0]"),
    (rule(local=[{"projects": [{"name": "p", "roles": [{}]}]}]), "rules[0].local[0].projects[0].roles[0]"),
    (rule(local=[project(domain={"id": "d"})]), "rules[0].local[0].projects"),
    (rule(local=[{"projects": "{0}"}]), "rules[0].local[0].projects"),
]


@pytest.mark.parametrize(("bad", "named"), BAD)
def test_bad_rules_are_named(cloud: IdentityCloud, bad: dict[str, Any], named: str) -> None:
    reply = cloud.do("PUT", PATH, {"mapping": {"rules": [bad]}})
    assert (reply.status, named in reply.json["error"]["message"]) == (400, True), reply.body
    assert cloud.do("GET", PATH).status == 404


@pytest.mark.parametrize("body", [
    {}, {"rules": []}, {"rules": None}, {"rules": {}}, {"rules": [rule()], "schema_version": "4.0"},
    {"rules": [rule()], "schema_version": 1}, {"rules": [rule(local=[{"groups": "x" * 1000}] * 100)]},
    {"rules": [rule(local=[{"projects": "{0}"}])], "schema_version": "2.0"}])  # fmt: skip
def test_bad_mappings(cloud: IdentityCloud, body: dict[str, Any]) -> None:
    assert cloud.do("PUT", PATH, {"mapping": body}).status == 400
    assert cloud.do("PATCH", PATH, {"mapping": body}).status == 400
