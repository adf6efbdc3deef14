"""Signatures of images: what their properties must be before bytes are taken that they vouch for.

An image that has all four properties is stored only when its bytes are what was signed. The certificate of who signed is in
the key manager, which this cloud does not have: nothing can be verified yet, and nothing is taken unverified.
"""

from __future__ import annotations

import binascii
from collections.abc import Mapping

from tiffin.core.errors import BadRequest

PROPERTIES = ("img_signature", "img_signature_hash_method", "img_signature_key_type", "img_signature_certificate_uuid")
HASH_METHODS = ("SHA-224", "SHA-256", "SHA-384", "SHA-512")
KEY_TYPES = (
    "RSA-PSS",
    "DSA",
    "ECC_SECT571K1",
    "ECC_SECT409K1",
    "ECC_SECT571R1",
    "ECC_SECT409R1",
    "ECC_SECP521R1",
    "ECC_SECP384R1",
)


def check(image_id: str, properties: Mapping[str, str | None]) -> None:
    """Whether bytes may become the image, as far as signatures go. Raises `BadRequest`, as upstream does when it cannot verify
    one; an image that lacks one of the properties is not signed."""
    signature, hash_method, key_type, certificate = (properties.get(name) for name in PROPERTIES)
    if signature is None or hash_method is None or key_type is None or certificate is None:
        return
    try:
        binascii.a2b_base64(signature.encode("ascii"), strict_mode=True)
    except ValueError:
        raise _failed(image_id, "The signature data was not properly encoded using base64") from None
    if hash_method not in HASH_METHODS:
        raise _failed(image_id, f"Invalid signature hash method: {hash_method[:80]}; known: {', '.join(HASH_METHODS)}")
    if key_type not in KEY_TYPES:
        raise _failed(image_id, f"Invalid signature key type: {key_type[:80]}; known: {', '.join(KEY_TYPES)}")
    why = f"Unable to retrieve certificate with ID: {certificate[:80]} (this cloud has no key manager)"
    raise _failed(image_id, why)


def _failed(image_id: str, why: str) -> BadRequest:
    return BadRequest(f"Signature verification failed for image {image_id}: {why}.")
