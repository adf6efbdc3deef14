"""How a request signed by OAuth 1.0a is checked (RFC 5849). Timestamps are judged by the cloud's clock; nonces are not kept,
as upstream does not."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING

import msgspec

from tiffin.core.errors import BadRequest

if TYPE_CHECKING:
    import falcon

ALLOWED_SKEW = 600.0
"""Seconds that the clock of who signed may be off."""
METHODS = ("HMAC-SHA1", "HMAC-SHA256", "HMAC-SHA512")
HEX = frozenset("0123456789abcdef")
VERIFIER_CHARS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
VERIFIER_LENGTH = 8
LONGEST_HEADER = 8192


class Signed(msgspec.Struct):
    """A signed request. `params` are what the signature is over; the names of the others are those that oauthlib expects."""

    http_method: str
    uri: str
    params: list[tuple[str, str]]
    said: dict[str, str]  # those of `params` that are OAuth's, and the signature

    @property
    def signature(self) -> str:
        return self.said["oauth_signature"]

    @property
    def consumer_id(self) -> str:
        return self.said.get("oauth_consumer_key", "")

    @property
    def token_id(self) -> str:
        return self.said.get("oauth_token", "")

    @property
    def verifier(self) -> str:
        return self.said.get("oauth_verifier", "")

    def need(self, *names: str) -> None:
        """Raises `BadRequest` for the first name that was not said."""
        for name in names:
            if not self.said.get(name):
                raise BadRequest(f"Expecting to find {name} in request.")

    def check(self, now: float) -> None:
        """Raises `BadRequest` for what cannot be a signed request of this time."""
        self.need("oauth_signature", "oauth_consumer_key", "oauth_nonce", "oauth_timestamp", "oauth_signature_method")
        if self.said["oauth_signature_method"] not in METHODS:
            raise _invalid(f"the signature method must be one of {', '.join(METHODS)}")
        if self.said.get("oauth_version", "1.0") != "1.0":
            raise _invalid("oauth_version must be 1.0")
        stamp = self.said["oauth_timestamp"]
        if len(stamp) != 10 or not stamp.isascii() or not stamp.isdigit():
            raise _invalid("oauth_timestamp must have ten digits")
        if abs(now - int(stamp)) > ALLOWED_SKEW:
            raise _invalid(f"oauth_timestamp is more than {ALLOWED_SKEW:.0f} seconds off")
        for name in ("oauth_consumer_key", "oauth_token"):
            if name in self.said and not (len(self.said[name]) == 32 and HEX.issuperset(self.said[name])):
                raise _invalid(f"{name} must have 32 hexadecimal digits")
        if not HEX.issuperset(self.said["oauth_nonce"]):
            raise _invalid("oauth_nonce must have hexadecimal digits only")
        if self.verifier and not is_verifier(self.verifier):
            raise _invalid(f"oauth_verifier must have {VERIFIER_LENGTH} letters and digits")

    def is_signed_by(self, consumer_secret: str, token_secret: str = "") -> bool:
        """Whether the signature is that of who knows both secrets. To be asked after `check`."""
        from oauthlib.oauth1.rfc5849 import signature as s

        verify = dict(zip(METHODS, (s.verify_hmac_sha1, s.verify_hmac_sha256, s.verify_hmac_sha512), strict=True))
        try:
            return bool(verify[self.said["oauth_signature_method"]](self, consumer_secret, token_secret))
        except ValueError:  # a Host that is none
            return False


def is_verifier(text: str) -> bool:
    return len(text) == VERIFIER_LENGTH and all(char in VERIFIER_CHARS for char in text)


def _invalid(why: str) -> BadRequest:
    return BadRequest(f"Validation failed with errors: invalid_request, detail message is: {why}.")


def read(request: falcon.Request, url: str) -> Signed:
    """The signed request; `url` is what the client called. Raises `BadRequest` for one without a legible header."""
    from oauthlib.oauth1.rfc5849.signature import collect_parameters

    header = request.get_header("Authorization") or ""
    if not header.lower().startswith("oauth ") or len(header) > LONGEST_HEADER:
        raise BadRequest("No OAuth parameters found: they must be in the header Authorization, which begins with OAuth.")
    try:
        query = collect_parameters(url.partition("?")[2])
        spoken = collect_parameters(headers={"Authorization": header}, exclude_oauth_signature=False)
    except ValueError as wrong:
        raise _invalid(str(wrong)[:200]) from None
    if any(name.startswith("oauth_") for name, _ in query):
        raise _invalid("OAuth parameters must come from one place, the header")
    signed = [(name, value) for name, value in spoken if name != "oauth_signature"]
    return Signed(request.method, url, query + signed, dict(spoken))


def equal(one: str, other: str) -> bool:
    """In constant time."""
    return hmac.compare_digest(one.encode(), other.encode("utf-8", "replace"))
