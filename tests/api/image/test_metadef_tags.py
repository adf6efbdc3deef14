"""Tags of metadata definitions."""

from __future__ import annotations

from typing import Any

import pytest

from .conftest import ImageCloud
from .metadefs import WHEN, make, path, refused, say


@pytest.fixture(autouse=True)
def namespace(cloud: ImageCloud) -> None:
    make(cloud)


def names(cloud: ImageCloud, query: str = "?sort_key=name&sort_dir=asc") -> list[str]:
    return [t["name"] for t in say(cloud, "GET", path("tags") + query, 200, token="reader")["tags"]]


def put(cloud: ImageCloud, *tags: str, status: int = 201, append: str | None = None) -> Any:
    headers = {} if append is None else {"X_Openstack_Append": append}
    return say(cloud, "POST", path("tags"), status, {"tags": [{"name": tag} for tag in tags]}, **headers)


def test_its_life(cloud: ImageCloud) -> None:
    made = say(cloud, "POST", path("tags", "new"), 201)
    assert made == {"name": "new", **WHEN}
    assert say(cloud, "GET", path("tags", "new"), 200, token="other") == made
    cloud.clock.now += 60
    changed = say(cloud, "PUT", path("tags", "new"), 200, {"name": "old"})
    assert changed == {"name": "old", **WHEN, "updated_at": "2027-01-15T08:01:00Z"}
    refused(cloud, "GET", path("tags", "new"), 404)
    assert say(cloud, "PUT", path("tags", "old"), 200, {"name": "old"})["name"] == "old"
    say(cloud, "DELETE", path("tags", "old"), 204)
    assert names(cloud) == []


def test_many_take_the_place_of_all(cloud: ImageCloud) -> None:
    assert put(cloud, "a", "b") == {"tags": [{"name": "a"}, {"name": "b"}]}
    assert put(cloud, "b", "c", append="False") == {"tags": [{"name": "b"}, {"name": "c"}]}
    assert names(cloud) == ["b", "c"]
    assert put(cloud, "d", append="True") == {"tags": [{"name": "d"}]}
    assert names(cloud) == ["b", "c", "d"]
    assert "c" in put(cloud, "e", "c", status=409, append="true")["message"]
    assert names(cloud) == ["b", "c", "d"]
    put(cloud)
    assert names(cloud) == []


def test_a_body_has_each_once_and_a_header_is_clear(cloud: ImageCloud) -> None:
    put(cloud, "kept")
    assert "twin" in put(cloud, "twin", "twin", status=409)["message"]
    assert "perhaps" in put(cloud, "a", status=400, append="perhaps")["message"]
    assert names(cloud) == ["kept"]


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"tags": "a"},
        {"tags": ["a"]},
        {"tags": [{}]},
        {"tags": [{"name": ""}]},
        {"tags": [{"name": "a/b"}]},
        {"tags": [{"name": "t" * 81}]},
        {"tags": [{"name": "t", "color": "red"}]},
        {"tags": [], "color": "red"},
        {"tags": [{"name": f"t{n}"} for n in range(1001)]},
        [],
    ],
)
def test_what_are_no_tags(cloud: ImageCloud, body: Any) -> None:
    put(cloud, "kept")
    assert refused(cloud, "POST", path("tags"), 400, body)
    assert names(cloud) == ["kept"]


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": 5}, {"name": "t" * 81}, {"name": "t", "color": "red"}, "t"])
def test_what_is_no_tag(cloud: ImageCloud, body: Any) -> None:
    put(cloud, "kept")
    assert refused(cloud, "PUT", path("tags", "kept"), 400, body)


def test_a_name_in_the_path_obeys_alike(cloud: ImageCloud) -> None:
    assert refused(cloud, "POST", path("tags", "t" * 81), 400)
    say(cloud, "POST", path("tags", "t" * 80), 201)


@pytest.mark.parametrize("name", ["created_at", "updated_at"])
def test_what_only_the_service_says(cloud: ImageCloud, name: str) -> None:
    put(cloud, "kept")
    assert name in refused(cloud, "PUT", path("tags", "kept"), 403, {"name": "t", name: "x"})
    assert name in refused(cloud, "POST", path("tags"), 403, {"tags": [], name: "x"})


def test_names_are_there_once(cloud: ImageCloud) -> None:
    put(cloud, "a", "b")
    assert "a" in refused(cloud, "POST", path("tags", "a"), 409)
    assert "a" in refused(cloud, "PUT", path("tags", "b"), 409, {"name": "a"})


def test_what_is_not_there(cloud: ImageCloud) -> None:
    for method, body in (("GET", None), ("PUT", {"name": "t"}), ("DELETE", None)):
        assert "gone" in refused(cloud, method, path("tags", "gone"), 404, body)
    for method, url in (
        ("GET", path("tags", namespace="None")),
        ("POST", path("tags", "t", namespace="None")),
        ("DELETE", path("tags", namespace="None")),
    ):
        assert "None" in refused(cloud, method, url, 404)
    refused(cloud, "POST", path("tags", namespace="None"), 404, {"tags": []})


def test_a_list(cloud: ImageCloud) -> None:
    for name in "bac":
        say(cloud, "POST", path("tags", name), 201)
        cloud.clock.now += 1
    assert names(cloud, "") == ["c", "a", "b"]
    assert names(cloud, "?limit=2") == ["c", "a"]
    assert names(cloud, "?limit=2&marker=a") == ["b"]
    assert names(cloud, "?sort_key=name&sort_dir=desc") == ["c", "b", "a"]
    refused(cloud, "GET", path("tags") + "?marker=x", 404)
    for query in ("limit=x", "sort_key=id", "sort_dir=up"):
        refused(cloud, "GET", path("tags") + f"?{query}", 400)


def test_all_at_once(cloud: ImageCloud) -> None:
    make(cloud, "Ns::Two", tags=[{"name": "stays"}])
    put(cloud, "a", "b")
    say(cloud, "DELETE", path("tags"), 204)
    assert names(cloud) == []
    assert say(cloud, "GET", path("tags", "stays", namespace="Ns::Two"), 200)


def test_there_are_not_too_many(cloud: ImageCloud) -> None:
    put(cloud, *(f"t{n}" for n in range(1000)))
    assert "1000" in refused(cloud, "POST", path("tags", "more"), 413)
    assert "1000" in put(cloud, "more", status=413, append="True")["message"]
