"""OAuth 1.0a, and the place where OAuth 2.0 will be."""

from __future__ import annotations

from api.identity.oauth_client import Consumer
from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

CONSUMERS = "/v3/OS-OAUTH1/consumers"
ACCESS = "/v3/users/{me}/OS-OAUTH1/access_tokens"
OF_NOBODY = {"refused": (405,)}
BY_SIGNATURE = f"{ANY} anonymous"


@thing("consumer")
def _consumer(scene: Scene) -> str:
    return Consumer(scene.cloud, scene.project).id


@thing("request_token")
def _request_token(scene: Scene) -> str:
    return Consumer(scene.cloud, scene.project).request_token()["oauth_token"]


@thing("access_token")
def _access_token(scene: Scene) -> str:
    """Of who asks, by the administrator's hand: only an administrator's own are there to be seen."""
    consumer = Consumer(scene.cloud, scene.project)
    return consumer.access_token(scene.tokens["admin"], "reader")["oauth_token"]


@thing("asks_request_token")
def _asks_request_token(scene: Scene) -> str:
    """The header of a signed request."""
    consumer = Consumer(scene.cloud, scene.project)
    return consumer.header("/OS-OAUTH1/request_token", callback_uri="oob")


@thing("asks_access_token")
def _asks_access_token(scene: Scene) -> str:
    consumer = Consumer(scene.cloud, scene.project)
    request = consumer.request_token()
    verifier = consumer.authorize(request, scene.tokens["admin"], "reader")
    return consumer.header("/OS-OAUTH1/access_token", verifier=verifier, **consumer.owner(request))


def _seen(path: str, method: str = "GET", may: str = "admin domain_admin system_admin") -> Row:
    """Of the access token of `admin`, who is a project's administrator."""
    return Row(method, f"/v3/users/{{lender}}/OS-OAUTH1/access_tokens{path}", may, route=f"{ACCESS}{path}")


@thing("lender")
def _lender(scene: Scene) -> str:
    return scene.user_ids["admin"]


@thing("reader")
def _reader(scene: Scene) -> str:
    return scene.cloud.role("reader")


ROWS = [
    Row("POST", CONSUMERS, ADMINS, {"consumer": {"description": "d"}}),
    Row("GET", CONSUMERS, READERS),
    Row("GET", f"{CONSUMERS}/{{consumer}}", READERS),
    Row("PATCH", f"{CONSUMERS}/{{consumer}}", ADMINS, {"consumer": {"description": "d"}}),
    Row("DELETE", f"{CONSUMERS}/{{consumer}}", ADMINS),
    Row("POST", "/v3/OS-OAUTH1/request_token", BY_SIGNATURE,
        headers={"Authorization": "{asks_request_token}", "Requested-Project-Id": "{P}"}),
    Row("POST", "/v3/OS-OAUTH1/access_token", BY_SIGNATURE, headers={"Authorization": "{asks_access_token}"}),
    Row("GET", "/v3/OS-OAUTH1/request_token", "", **OF_NOBODY),
    Row("GET", "/v3/OS-OAUTH1/access_token", "", **OF_NOBODY),
    # the rule lets every administrator through; but one grants what one has on that project
    Row("PUT", "/v3/OS-OAUTH1/authorize/{request_token}", "admin", {"roles": [{"name": "reader"}]}, refused=(403, 401)),
    _seen(""),
    _seen("/{access_token}"),
    _seen("/{access_token}", "DELETE"),
    _seen("/{access_token}/roles"),
    _seen("/{access_token}/roles/{reader}"),
    *(Row(method, "/v3/OS-OAUTH2/token", "", **OF_NOBODY) for method in ("GET", "PUT", "PATCH", "DELETE")),
    Row("POST", "/v3/OS-OAUTH2/token", "", refused=(400,)),
]  # fmt: skip
