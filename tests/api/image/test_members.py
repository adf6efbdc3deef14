"""Sharing an image with another project."""

from __future__ import annotations

import pytest

from .conftest import ImageCloud


def members(id: str, member: str = "") -> str:
    return f"/image/v2/images/{id}/members" + (f"/{member}" if member else "")


@pytest.fixture
def shared(cloud: ImageCloud) -> str:
    """The id of an image that p1 shares with p2."""
    id: str = cloud.active(name="shared")["id"]
    reply = cloud.ask("POST", members(id), json={"member": "p2"})
    assert reply.status == 200
    assert reply.json == {
        "member_id": "p2",
        "image_id": id,
        "status": "pending",
        "created_at": "2027-01-15T08:00:00Z",
        "updated_at": "2027-01-15T08:00:00Z",
        "schema": "/v2/schemas/member",
    }
    return id


def test_a_share_is_seen_at_once_and_listed_when_accepted(cloud: ImageCloud, shared: str) -> None:
    assert cloud.show(shared, "other")["id"] == shared
    assert cloud.ask("GET", f"/image/v2/images/{shared}/file", "other").status == 200
    assert cloud.listed("", "other") == []
    assert cloud.listed("?visibility=shared&member_status=pending", "other") == ["shared"]
    assert cloud.listed("?member_status=all", "other") == ["shared"]
    assert cloud.ask("PUT", members(shared, "p2"), "other", {"status": "accepted"}).json["status"] == "accepted"
    assert cloud.listed("", "other") == ["shared"]
    assert cloud.ask("PUT", members(shared, "p2"), "other", {"status": "rejected"}).status == 200
    assert cloud.listed("", "other") == []
    assert cloud.listed("?member_status=rejected", "other") == ["shared"]
    assert cloud.ask("DELETE", members(shared, "p2")).status == 204
    assert cloud.ask("GET", f"/image/v2/images/{shared}", "other").status == 404


def test_who_sees_members(cloud: ImageCloud, shared: str) -> None:
    cloud.ask("POST", members(shared), json={"member": "p3"})
    for token, seen in (("member", ["p2", "p3"]), ("admin", ["p2", "p3"]), ("reader", ["p2", "p3"]), ("other", ["p2"])):
        reply = cloud.ask("GET", members(shared), token)
        assert [m["member_id"] for m in reply.json["members"]] == seen
        assert reply.json["schema"] == "/v2/schemas/members"
    assert cloud.ask("GET", members(shared, "p3")).status == 200
    assert cloud.ask("GET", members(shared, "p2"), "other").status == 200
    assert cloud.ask("GET", members(shared, "p3"), "other").status == 404
    assert cloud.ask("GET", members(shared, "p4")).status == 404
    assert cloud.ask("GET", members(shared), "nobody").status == 404


@pytest.mark.parametrize(
    ("token", "status"),
    [
        ("member2", 200),
        ("manager", 200),
        ("admin", 200),
        ("reader", 403),
        ("other", 403),
        ("nobody", 404),
        ("service", 404),
    ],
)
def test_who_may_share(cloud: ImageCloud, shared: str, token: str, status: int) -> None:
    assert cloud.ask("POST", members(shared), token, {"member": "p3"}).status == status
    assert cloud.ask("DELETE", members(shared, "p2"), token).status == {200: 204}.get(status, status)


@pytest.mark.parametrize(
    ("token", "status"),
    [("member", 403), ("reader", 403), ("other", 200), ("admin", 200), ("nobody", 404), ("service", 404)],
)
def test_only_the_member_accepts(cloud: ImageCloud, shared: str, token: str, status: int) -> None:
    assert cloud.ask("PUT", members(shared, "p2"), token, {"status": "accepted"}).status == status


def test_what_cannot_be_shared(cloud: ImageCloud, shared: str) -> None:
    assert cloud.ask("POST", members(shared), json={"member": "p2"}).status == 409
    assert cloud.ask("POST", members(shared), json={"member": ""}).status == 400
    assert cloud.ask("POST", members(shared), json={"member": 5}).status == 400
    assert cloud.ask("POST", members(shared), json={}).status == 400
    assert cloud.ask("PUT", members(shared, "p2"), "other", {"status": "maybe"}).status == 400
    assert cloud.ask("PUT", members(shared, "p9"), json={"status": "accepted"}).status == 404
    assert cloud.ask("DELETE", members(shared, "p9")).status == 404
    private = cloud.make(visibility="private")["id"]
    assert cloud.ask("POST", members(private), json={"member": "p2"}).status == 403
    assert cloud.ask("GET", members(private)).status == 403
    assert cloud.ask("GET", members(private), "other").status == 404


def test_an_image_that_is_private_again_is_not_shared(cloud: ImageCloud, shared: str) -> None:
    cloud.ask("PUT", members(shared, "p2"), "other", {"status": "accepted"})
    cloud.patch(shared, [{"op": "replace", "path": "/visibility", "value": "private"}])
    assert cloud.ask("GET", f"/image/v2/images/{shared}", "other").status == 404
    assert cloud.listed("", "other") == []


def test_only_so_many_members(cloud: ImageCloud, shared: str) -> None:
    for n in range(127):
        assert cloud.ask("POST", members(shared), json={"member": f"q{n}"}).status == 200
    assert cloud.ask("POST", members(shared), json={"member": "one more"}).status == 413


def test_members_go_with_their_image(cloud: ImageCloud, shared: str) -> None:
    assert cloud.ask("DELETE", f"/image/v2/images/{shared}").status == 204
    cloud.settle()
    cloud.make(id=shared)
    assert cloud.ask("GET", members(shared)).json["members"] == []


def test_images_that_are_not_shared_show_no_members(cloud: ImageCloud) -> None:
    for visibility in ("private", "public", "community"):
        id = cloud.make("admin", visibility=visibility, owner="p1")["id"]
        for method, path, status in (
            ("GET", members(id), 403),
            ("POST", members(id), 403),
            ("GET", members(id, "p2"), 404),
            ("PUT", members(id, "p2"), 403),
            ("DELETE", members(id, "p2"), 403),
        ):
            body = {"POST": {"member": "p2"}, "PUT": {"status": "accepted"}}.get(method)
            assert cloud.ask(method, path, json=body).status == status, (visibility, method, path)


def test_shares_come_back_with_the_visibility(cloud: ImageCloud, shared: str) -> None:
    cloud.ask("PUT", members(shared, "p2"), "other", {"status": "accepted"})
    for visibility in ("community", "shared"):
        assert cloud.patch(shared, [{"op": "replace", "path": "/visibility", "value": visibility}]).status == 200
    assert [m["status"] for m in cloud.ask("GET", members(shared)).json["members"]] == ["accepted"]


def test_errors_of_members_say_what_is_wrong(cloud: ImageCloud, shared: str) -> None:
    reply = cloud.ask("POST", members(shared), json={"member": "p2"})
    assert reply.json["message"] == f"Member p2 is duplicated for image {shared}"
    reply = cloud.ask("PUT", members(shared, "p2"), "other", {"status": "maybe"})
    assert reply.json["message"] == 'Incorrect request: Status must be "pending", "accepted" or "rejected".'
    assert cloud.ask("PUT", members(shared, "p2"), "member", {"status": "maybe"}).status == 403
    assert cloud.ask("PUT", members(shared, "p2"), "other", {}).status == 400
    assert cloud.ask("PUT", members(shared, "p2"), "other", {"status": "accepted", "member": "p2"}).status == 200
    assert cloud.ask("DELETE", members(shared, "p2"), "other").status == 403
