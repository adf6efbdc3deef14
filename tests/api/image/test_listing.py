"""Lists of images: who sees what, filters, order, pages."""

from __future__ import annotations

import pytest

from .conftest import ImageCloud


@pytest.fixture
def shelf(cloud: ImageCloud) -> ImageCloud:
    """Images of two projects, one second apart."""
    for token, image in (
        ("member", {"name": "private", "visibility": "private", "tags": ["a", "b"], "color": "red"}),
        ("member", {"name": "shared", "tags": ["a"], "disk_format": "qcow2", "color": "blue"}),
        ("member", {"name": "community", "visibility": "community", "protected": True}),
        ("admin", {"name": "public", "visibility": "public", "owner": "p1", "min_ram": 64}),
        ("member", {"name": "hidden", "os_hidden": True}),
        ("other", {"name": "theirs", "visibility": "private"}),
    ):
        cloud.clock.now += 1
        cloud.make(token, **image)
    return cloud


@pytest.mark.parametrize(
    ("token", "query", "names"),
    [
        ("member", "", ["public", "community", "shared", "private"]),
        ("reader", "", ["public", "community", "shared", "private"]),
        ("other", "", ["theirs", "public"]),
        ("admin", "", ["theirs", "public", "shared", "private"]),
        ("other", "?visibility=community", ["community"]),
        ("other", "?visibility=all", ["theirs", "public", "community"]),
        ("other", "?visibility=private", ["theirs"]),
        ("other", "?visibility=shared", []),
        ("member", "?visibility=public", ["public"]),
        ("member", "?os_hidden=true", ["hidden"]),
        ("member", "?protected=true", ["community"]),
        ("member", "?name=private", ["private"]),
        ("member", "?name=in:private,shared", ["shared", "private"]),
        ("member", '?name=in:"private",nothing', ["private"]),
        ("member", "?disk_format=qcow2", ["shared"]),
        ("member", "?disk_format=in:qcow2,iso", ["shared"]),
        ("member", "?container_format=ovf", []),
        ("member", "?tag=a", ["shared", "private"]),
        ("member", "?tag=a&tag=b", ["private"]),
        ("member", "?color=red", ["private"]),
        ("member", "?color=re", []),
        ("member", "?no.such%22prop=x", []),
        ("member", "?status=queued&min_ram=64", ["public"]),
        ("other", "?owner=p1", ["public"]),
        ("member", "?created_at=gt:2027-01-15T08:00:02Z", ["public", "community"]),
        ("member", "?created_at=lte:2027-01-15T08:00:02Z", ["shared", "private"]),
        ("member", "?updated_at=2027-01-15T08:00:01", ["private"]),
        ("member", "?created_at=neq:2027-01-15T08:00:01Z&limit=1", ["public"]),
        ("member", "?id=in:a,b", []),
        ("member", "?sort=name:asc", ["community", "private", "public", "shared"]),
        ("member", "?sort_key=name&sort_dir=desc", ["shared", "public", "private", "community"]),
        (
            "member",
            "?sort_key=disk_format&sort_key=name&sort_dir=desc&sort_dir=asc",
            ["community", "private", "public", "shared"],
        ),
        ("member", "?limit=2", ["public", "community"]),
        ("member", "?limit=0", []),
    ],
)
def test_who_sees_what(shelf: ImageCloud, token: str, query: str, names: list[str]) -> None:
    assert shelf.listed(query, token) == names


def test_sorting_by_several_keys(shelf: ImageCloud) -> None:
    assert shelf.listed("?sort=disk_format:asc,name:desc") == ["shared", "public", "private", "community"]
    assert shelf.listed("?sort=disk_format:desc,name:asc") == ["community", "private", "public", "shared"]


def test_sizes(cloud: ImageCloud) -> None:
    for size in (10, 20, 30):
        cloud.active(bytes(size), name=f"{size}")
    assert cloud.listed("?size_min=20&sort=size:asc") == ["20", "30"]
    assert cloud.listed("?size_max=20&sort=size:desc") == ["20", "10"]
    assert cloud.listed("?size=20") == ["20"]


@pytest.mark.parametrize(
    "query",
    [
        "visibility=x",
        "member_status=x",
        "protected=x",
        "os_hidden=x",
        "size_min=1.5",
        "size_min=x",
        "created_at=yesterday",
        "created_at=gt:x",
        "sort=bad",
        "sort=name:up",
        "sort=name&sort_key=name",
        "sort_key=owner",
        "sort_dir=up",
        "sort_key=name&sort_dir=asc&sort_dir=asc",
        "limit=x",
        "limit=-1",
        "marker=none",
        'name=in:"x',
        "size=99999999999999999999",
    ],
)
def test_queries_that_mean_nothing(shelf: ImageCloud, query: str) -> None:
    assert shelf.ask("GET", f"/image/v2/images?{query}").status == 400


def test_pages(shelf: ImageCloud) -> None:
    first = shelf.ask("GET", "/image/v2/images?limit=3&sort=name:asc").json
    assert [i["name"] for i in first["images"]] == ["community", "private", "public"]
    assert first["first"] == "/v2/images?limit=3&sort=name%3Aasc"
    assert first["schema"] == "/v2/schemas/images"
    rest = shelf.ask("GET", "/image" + first["next"]).json
    assert [i["name"] for i in rest["images"]] == ["shared"]
    assert "next" not in rest
    assert shelf.ask("GET", "/image/v2/images").json["first"] == "/v2/images"


def test_no_more_than_25_unless_asked(cloud: ImageCloud) -> None:
    for n in range(27):
        cloud.make(name=f"{n}")
    assert len(cloud.listed()) == 25
    assert len(cloud.listed("?limit=100")) == 27


def test_who_may_list(shelf: ImageCloud) -> None:
    assert shelf.ask("GET", "/image/v2/images", "nobody").status == 403
    assert shelf.ask("GET", "/image/v2/images", None).status == 401
