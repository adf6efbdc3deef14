"""Users, their passwords, and groups."""

from __future__ import annotations

from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

OF_DOMAIN = f"{READERS} domain_manager domain_member domain_reader"
MANAGERS = f"{ADMINS} domain_manager"
CHANGE = {"user": {"original_password": "pw", "password": "another"}}


@thing("member_of")
def _member_of(scene: Scene) -> str:
    """A path: a user in a group, both new."""
    group, user = scene.new("group"), scene.new("user")
    assert scene.cloud.do("PUT", f"/groups/{group}/users/{user}").status == 204
    return f"{group}/users/{user}"


ROWS = [
    Row("POST", "/v3/users", MANAGERS, {"user": {"name": "{name}", "domain_id": "{D}"}}),
    Row("GET", "/v3/users", OF_DOMAIN),
    Row("GET", "/v3/users/{user}", OF_DOMAIN),
    Row("GET", "/v3/users/{me}", ANY, refused=()),
    Row("PATCH", "/v3/users/{user}", MANAGERS, {"user": {"email": "a@b.example"}}),
    Row("DELETE", "/v3/users/{user}", MANAGERS),
    Row("POST", "/v3/users/{user}/password", f"{ANY} anonymous", CHANGE),
    Row("GET", "/v3/users/{user}/groups", OF_DOMAIN, route="/v3/users/{user_id}/groups"),
    Row("GET", "/v3/users/{me}/groups", ANY, refused=(), route="/v3/users/{user_id}/groups"),
    Row("POST", "/v3/groups", MANAGERS, {"group": {"name": "{name}", "domain_id": "{D}"}}),
    Row("GET", "/v3/groups", OF_DOMAIN),
    Row("GET", "/v3/groups/{group}", OF_DOMAIN),
    Row("PATCH", "/v3/groups/{group}", MANAGERS, {"group": {"description": "x"}}),
    Row("DELETE", "/v3/groups/{group}", MANAGERS),
    Row("GET", "/v3/groups/{group}/users", OF_DOMAIN),
    Row("PUT", "/v3/groups/{group}/users/{user}", MANAGERS),
    Row("GET", "/v3/groups/{member_of}", OF_DOMAIN, route="/v3/groups/{id}/users/{user_id}"),
    Row("DELETE", "/v3/groups/{member_of}", MANAGERS, route="/v3/groups/{id}/users/{user_id}"),
]
