"""OAuth 2.0's token endpoint, as it answers where no way of authenticating clients is enabled."""

from __future__ import annotations

from urllib.parse import parse_qs

from tiffin.core.call import Call
from tiffin.core.resource import Answer, Resource

MOST = 64 << 10
"""Bytes of a form; a certificate would be in a header."""

oauth2 = Resource("oauth2_token", "oauth2_tokens", "/v3/OS-OAUTH2/token")


def _refusal(call: Call, status: int, error: str, why: str) -> Answer:
    """The error body that RFC 6749 describes in section 5.2."""
    headers = {401: {"WWW-Authenticate": f'Keystone uri="{call.base_url}"'}, 405: {"Allow": "POST"}}
    return Answer({"error": error, "error_description": why}, status, headers.get(status, {}))


def _form(call: Call) -> dict[str, list[str]]:
    request = call.request
    if "x-www-form-urlencoded" not in (request.content_type or "").lower():
        return {}
    raw = request.bounded_stream.read(MOST)
    try:
        return parse_qs(raw.decode(), max_num_fields=100)
    except ValueError:  # not UTF-8, or too many fields
        return {}


@oauth2.operation("POST", policy=None, auth=False, raw=True, transaction="none")
def issue(call: Call) -> Answer:
    grant = _form(call).get("grant_type")
    if grant is None:
        return _refusal(call, 400, "invalid_request", "The parameter grant_type is required.")
    if grant[0] != "client_credentials":
        why = f"The parameter grant_type {grant[0][:80]} is not supported."
        return _refusal(call, 400, "unsupported_grant_type", why)
    return _refusal(call, 401, "invalid_client", "Client authentication failed.")


@oauth2.operation("GET", policy=None, auth=False)
@oauth2.operation("PUT", policy=None, auth=False, raw=True, transaction="none")
@oauth2.operation("PATCH", policy=None, auth=False, raw=True, transaction="none")
@oauth2.operation("DELETE", policy=None, auth=False, raw=True, transaction="none")
def refuse(call: Call) -> Answer:
    return _refusal(call, 405, "other_error", "The method is not allowed for the requested URL.")
