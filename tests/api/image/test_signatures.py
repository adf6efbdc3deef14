"""Images that are said to be signed: nothing is taken that cannot be verified."""

from __future__ import annotations

import pytest

from tiffin.core.driver import Impossible
from tiffin.services.image.public import NewImage, begin_image, finish_image

from .conftest import ImageCloud

SIGNED = {
    "img_signature": "c2lnbmF0dXJl",
    "img_signature_hash_method": "SHA-256",
    "img_signature_key_type": "RSA-PSS",
    "img_signature_certificate_uuid": "0d6ae8e4-4d1c-4d6b-a0d4-7d2f5f1f8a3b",
}


def test_nothing_is_taken_that_cannot_be_verified(cloud: ImageCloud) -> None:
    """The certificate is in the key manager, which is not there; the image can be tried again."""
    id = cloud.make(**SIGNED)["id"]
    reply = cloud.put(id, b"some bytes")
    assert reply.status == 400
    assert f"Signature verification failed for image {id}" in reply.json["message"]
    assert f"Unable to retrieve certificate with ID: {SIGNED['img_signature_certificate_uuid']}" in reply.json["message"]
    assert cloud.show(id)["status"] == "queued"
    assert list(cloud.store.keys()) == []
    assert cloud.patch(id, [{"op": "remove", "path": "/img_signature"}]).status == 200
    assert cloud.put(id, b"some bytes").status == 204


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("img_signature", "not base64!", "not properly encoded using base64"),
        ("img_signature", "c2lnbmF0dXJ", "not properly encoded using base64"),
        ("img_signature", "sign\u00fc==", "not properly encoded using base64"),
        ("img_signature_hash_method", "MD5", "Invalid signature hash method: MD5"),
        ("img_signature_hash_method", "sha-256", "Invalid signature hash method: sha-256"),
        ("img_signature_key_type", "RSA", "Invalid signature key type: RSA"),
        ("img_signature_key_type", "x" * 5000, "Invalid signature key type: " + "x" * 80 + ";"),
    ],
)
def test_properties_that_say_nothing(cloud: ImageCloud, name: str, value: str, message: str) -> None:
    id = cloud.make(**{**SIGNED, name: value})["id"]
    reply = cloud.put(id, b"some bytes")
    assert (reply.status, cloud.show(id)["status"], list(cloud.store.keys())) == (400, "queued", [])
    assert message in reply.json["message"]


@pytest.mark.parametrize("absent", SIGNED)
def test_an_image_that_lacks_a_property_is_not_signed(cloud: ImageCloud, absent: str) -> None:
    id = cloud.make(**{name: value for name, value in SIGNED.items() if name != absent})["id"]
    assert cloud.put(id, b"some bytes").status == 204
    assert cloud.show(id)["status"] == "active"


def test_who_may_not_upload_learns_nothing_of_signatures(cloud: ImageCloud) -> None:
    id = cloud.make(visibility="private", **SIGNED)["id"]
    for token, status in (("reader", 403), ("other", 404), ("nobody", 404), ("service", 404), ("manager", 400), ("admin", 400)):
        assert cloud.put(id, b"some bytes", token).status == status, token


def test_a_snapshot_that_says_to_be_signed(cloud: ImageCloud) -> None:
    image = NewImage(
        image_id="11111111-1111-4111-8111-111111111111",
        name="s",
        owner="p1",
        disk_format="raw",
        container_format="bare",
        properties=SIGNED,
    )
    with cloud.cloud.database.write() as session:
        begin_image(session, cloud.cloud.world, **image)
    with pytest.raises(Impossible, match="Signature verification failed"):
        finish_image(cloud.cloud, image["image_id"], iter([b"some"]), disk_format="raw")
    assert cloud.show(image["image_id"])["status"] == "queued"
    assert list(cloud.store.keys()) == []
