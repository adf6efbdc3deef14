"""Properties that only some may create, see, change or remove, by the operator's file in upstream's form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from databases import empty_url
from tiffin.core.settings import SettingsError, load, save
from tiffin.main import compose
from tiffin.services.image.protections import Protections
from tiffin.services.image.protections import load as load_protections
from tiffin.services.image.settings import PropertyProtection

from .conftest import ImageCloud

ROLES = """
[^x_billing_.*]
create = admin
read = Admin, manager
update = admin
delete = admin

[^x_owner_.*]
create = admin,member
read = @
update = admin
delete = !

[^x_hidden$]
create = admin, member
read = admin
update = admin
delete =

[^(?!x_).*]
create = @
read = @
update = @
delete = @
"""
RULES = """
[^x_billing_.*]
create = accountant
read = sees_bills
update = accountant
delete = no_such_rule

[.*]
create = @
read = @
update = @
delete = @
"""


class Protected(ImageCloud):
    def __init__(self, folder: Path, text: str, rule_format: str = "roles") -> None:
        (folder / "properties.conf").write_text(text)
        own = {"file": "properties.conf", "rule_format": rule_format}
        super().__init__(sections={"image": {"property_protection": own}}, policy_folder=folder)
        found = load_protections(folder, self.cloud.service("image").settings.property_protection)
        assert found is not None
        self.cloud.add(Protections, found)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Protected]:
    made = Protected(tmp_path, ROLES)
    yield made
    made.close()


@pytest.fixture
def ruled(tmp_path: Path) -> Iterator[Protected]:
    (tmp_path / "image.yaml").write_text('"accountant": "role:admin"\n"sees_bills": "role:admin or role:manager"\n')
    made = Protected(tmp_path, RULES, "policies")
    yield made
    made.close()


def edit(op: str, name: str, value: str = "new") -> list[dict[str, Any]]:
    return [{"op": op, "path": f"/{name}"} | ({} if op == "remove" else {"value": value})]


@pytest.mark.parametrize(
    ("token", "name", "status"),
    [
        ("admin", "x_billing_code", 201),
        ("member", "x_billing_code", 403),
        ("manager", "x_billing_code", 403),
        ("member", "x_owner_name", 201),
        ("member", "x_unmatched", 403),  # what fits no section
        ("admin", "x_unmatched", 403),
        ("member", "free", 201),
    ],
)
def test_create(cloud: Protected, token: str, name: str, status: int) -> None:
    reply = cloud.ask("POST", "/image/v2/images", token, {"name": "x", name: "1"})
    assert reply.status == status
    assert status == 201 or reply.json["message"] == f"Attribute '{name}' is reserved."
    assert len(cloud.listed("", token)) == (status == 201)


def test_only_some_see_it(cloud: Protected) -> None:
    id = cloud.make("admin", name="i", owner="p1", x_billing_code="7", x_owner_name="o", free="f")["id"]
    for token, seen in (("admin", True), ("manager", True), ("member", False), ("reader", False)):
        image = cloud.show(id, token)
        assert ("x_billing_code" in image, image["x_owner_name"], image["free"]) == (seen, "o", "f")
        listed = cloud.ask("GET", "/image/v2/images", token).json["images"]
        assert listed == [image]
        assert cloud.listed("?x_billing_code=7", token) == (["i"] if seen else [])


@pytest.mark.parametrize(
    ("token", "op", "name", "status"),
    [
        ("admin", "replace", "x_billing_code", 200),
        ("admin", "remove", "x_billing_code", 200),
        ("manager", "replace", "x_billing_code", 403),  # may see it
        ("manager", "remove", "x_billing_code", 403),
        ("member", "replace", "x_billing_code", 409),  # for them it is not there
        ("member", "remove", "x_billing_code", 409),
        ("member", "add", "x_billing_code", 403),
        ("member", "add", "x_owner_new", 200),
        ("member", "replace", "x_owner_name", 403),
        ("member", "add", "x_owner_name", 403),
        ("admin", "remove", "x_owner_name", 403),
        ("member", "add", "x_hidden", 403),  # it is there, and they may not change it
        ("admin", "add", "x_hidden", 200),
        ("admin", "remove", "x_hidden", 403),
        ("member", "remove", "free", 200),
    ],
)
def test_change(cloud: Protected, token: str, op: str, name: str, status: int) -> None:
    given = {"x_billing_code": "7", "x_owner_name": "o", "x_hidden": "h", "free": "f"}
    id = cloud.make("admin", owner="p1", **given)["id"]
    before = cloud.show(id, "admin")
    reply = cloud.patch(id, edit(op, name), token)
    assert reply.status == status
    after = cloud.show(id, "admin")
    if status != 200:
        assert after == before
    else:
        assert after.get(name) == (None if op == "remove" else "new")
    kept = set(given) - {name}
    assert {n: after[n] for n in kept} == {n: given[n] for n in kept}, "what they may not see stays as it is"


def test_by_rules_of_policy(ruled: Protected) -> None:
    assert ruled.ask("POST", "/image/v2/images", "member", {"x_billing_code": "1"}).status == 403
    id = ruled.make("admin", owner="p1", x_billing_code="1", free="f")["id"]
    assert "x_billing_code" in ruled.show(id, "manager")
    assert "x_billing_code" not in ruled.show(id, "member")
    assert ruled.patch(id, edit("replace", "x_billing_code"), "manager").status == 403
    assert ruled.patch(id, edit("replace", "x_billing_code"), "admin").status == 200
    assert ruled.patch(id, edit("remove", "x_billing_code"), "admin").status == 403  # a rule that nobody wrote
    assert ruled.patch(id, edit("remove", "free"), "member").status == 200
    assert ruled.cloud.part(Protections).rules() == {"accountant", "sees_bills", "no_such_rule"}


ONE = "create = admin\nread = admin\nupdate = admin\n"


@pytest.mark.parametrize(
    ("text", "rule_format", "why"),
    [
        ("no section", "roles", "section"),
        (f"[a]\n{ONE}", "roles", "delete"),
        (f"[a(]\n{ONE}delete = admin", "roles", "unterminated"),
        (f"[a]\n{ONE}delete = @, !", "roles", "exclude"),
        (f"[a]\n{ONE}delete = a, b", "policies", "one rule"),
        (f"[a]\n{ONE}delete = a\n[a]\n{ONE}delete = a", "roles", "already"),
        (None, "roles", "No such file"),
    ],
)
def test_a_file_with_a_mistake(tmp_path: Path, text: str | None, rule_format: Any, why: str) -> None:
    if text is not None:
        (tmp_path / "p.conf").write_text(text)
    with pytest.raises(SettingsError, match=why):
        load_protections(tmp_path, PropertyProtection("p.conf", rule_format))


def test_no_file_protects_nothing(tmp_path: Path) -> None:
    assert load_protections(tmp_path, PropertyProtection()) is None


def test_a_cloud_does_not_start_with_a_mistake(tmp_path: Path) -> None:
    settings = load(tmp_path)
    own = {"image": {"property_protection": {"file": "p.conf"}}}
    save(type(settings)(home=tmp_path, simulated=True, database=empty_url(), sections=own))
    with pytest.raises(SettingsError, match=r"p\.conf"):
        compose(load(tmp_path))
    (tmp_path / "policy").mkdir()
    (tmp_path / "policy" / "p.conf").write_text(f"[a]\n{ONE}delete = admin\n")
    composition = compose(load(tmp_path))
    assert composition.cloud.part(Protections).sections[0].allowed["delete"] == ("admin",)
    assert composition.cloud.part(Protections).rules() == frozenset()
    composition.cloud.database.close()
