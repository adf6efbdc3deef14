"""An OAuth 1.0a client of the tests: it signs with the library that OpenStack's clients use, at the clock of the test."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs

from oauthlib import oauth1

from api.identity.conftest import URL, IdentityCloud
from tiffin.core.http.local import Reply

HERE = f"{URL}/identity/v3"


def header(cloud: IdentityCloud, path: str, key: str, secret: str, **more: Any) -> str:
    """The Authorization header of a signed POST. `more` is oauthlib's: resource_owner_key, verifier, ..."""
    at = more.pop("at", HERE)
    more.setdefault("timestamp", str(int(cloud.clock.now)))
    more.setdefault("nonce", "12345678901234567890")
    client = oauth1.Client(key, client_secret=secret, **more)
    return str(client.sign(at + path, http_method="POST")[1]["Authorization"])


def form(reply: Reply) -> dict[str, str]:
    assert reply.status == 201, reply.body
    assert reply.headers["content-type"] == "application/x-www-form-urlencoded"
    return {name: values[0] for name, values in parse_qs(reply.body.decode()).items()}


class Consumer:
    """A consumer, and the three steps to a token."""

    def __init__(self, cloud: IdentityCloud, project: str) -> None:
        self.cloud, self.project = cloud, project
        made = cloud.make("consumer", "/OS-OAUTH1/consumers", description="d")
        self.id, self.secret = made["id"], made["secret"]

    def header(self, path: str, **more: Any) -> str:
        return header(self.cloud, path, more.pop("key", self.id), more.pop("secret", self.secret), **more)

    @staticmethod
    def owner(token: dict[str, str]) -> dict[str, str]:
        """What oauthlib calls the parts of a request token or an access token."""
        return {"resource_owner_key": token["oauth_token"], "resource_owner_secret": token["oauth_token_secret"]}

    def post(self, path: str, json: Any = None, *, headers: dict[str, str] | None = None, **more: Any) -> Reply:
        given = {"Authorization": self.header(path, **more), **(headers or {})}
        return self.cloud.ask("POST", f"/identity/v3{path}", token=None, json=json, **given)

    def ask_request_token(self, project: str | None = None, **more: Any) -> Reply:
        headers = {"Requested-Project-Id": project or self.project}
        return self.post("/OS-OAUTH1/request_token", headers=headers, **{"callback_uri": "oob", **more})

    def request_token(self) -> dict[str, str]:
        return form(self.ask_request_token())

    def authorize(self, request: dict[str, str], token: str, *roles: str) -> str:
        body = {"roles": [{"name": role} for role in roles]}
        reply = self.cloud.do("PUT", f"/OS-OAUTH1/authorize/{request['oauth_token']}", body, token=token)
        assert reply.status == 200, reply.body
        return str(reply.json["token"]["oauth_verifier"])

    def ask_access_token(self, request: dict[str, str], verifier: str, **more: Any) -> Reply:
        return self.post("/OS-OAUTH1/access_token", **{**self.owner(request), "verifier": verifier, **more})

    def access_token(self, token: str, *roles: str) -> dict[str, str]:
        """What the bearer of `token` lends."""
        request = self.request_token()
        return form(self.ask_access_token(request, self.authorize(request, token, *roles)))

    def login(self, access: dict[str, str], scope: Any = None, **more: Any) -> Reply:
        body: dict[str, Any] = {"identity": {"methods": ["oauth1"], "oauth1": {}}}
        if scope is not None:
            body["scope"] = scope
        return self.post("/auth/tokens", {"auth": body}, **{**self.owner(access), **more})
