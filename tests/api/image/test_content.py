"""Equal bytes are kept once in a store."""

from __future__ import annotations

from api.image.conftest import ImageCloud


def files(cloud: ImageCloud) -> list[str]:
    return list(cloud.store.keys())


def test_equal_images_share_their_bytes(cloud: ImageCloud) -> None:
    one, two = cloud.active(b"same")["id"], cloud.active(b"same", token="other")["id"]
    assert len(files(cloud)) == 1
    other = cloud.active(b"different")["id"]
    assert len(files(cloud)) == 2
    for id, owner in ((one, "member"), (two, "other")):
        assert cloud.ask("GET", f"/image/v2/images/{id}/file", owner).body == b"same"
    assert cloud.ask("DELETE", f"/image/v2/images/{one}").status == 204
    cloud.settle()
    assert cloud.ask("GET", f"/image/v2/images/{two}/file", "other").body == b"same"
    assert cloud.ask("DELETE", f"/image/v2/images/{other}").status == 204
    assert cloud.ask("DELETE", f"/image/v2/images/{two}", "other").status == 204
    cloud.settle()
    assert files(cloud) == []


def test_an_image_that_came_second_may_go_first(cloud: ImageCloud) -> None:
    one, two = cloud.active(b"same")["id"], cloud.active(b"same")["id"]
    for id in (two, one):
        assert cloud.ask("GET", f"/image/v2/images/{id}/file").body == b"same"
        assert cloud.ask("DELETE", f"/image/v2/images/{id}").status == 204
        cloud.settle()
    assert files(cloud) == []
