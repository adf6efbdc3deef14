"""Tokens, where they may be scoped to, and what was revoked."""

from __future__ import annotations

from api.identity.personas import ADMINS, ANY, READERS, Row, Scene, thing

IN_A_PROJECT = "admin manager member reader service other"
SUBJECT = {"X-Subject-Token": "{token_of_a_user}"}


@thing("token_of_a_user")
def _token(scene: Scene) -> str:
    """Of a new user, who has no role."""
    who = {"methods": ["password"], "password": {"user": {"id": scene.new("user"), "password": "pw"}}}
    return scene.cloud.auth(who).headers["x-subject-token"]


ROWS = [
    Row("GET", "/", f"{ANY} anonymous"),
    Row("GET", "/v3", f"{ANY} anonymous"),
    Row("POST", "/v3/auth/tokens", f"{ANY} anonymous",
        {"auth": {"identity": {"methods": ["password"], "password": {"user": {"id": "{user}", "password": "pw"}}}}}),
    Row("GET", "/v3/auth/tokens", f"{READERS} service", headers=SUBJECT),
    Row("HEAD", "/v3/auth/tokens", READERS, headers=SUBJECT),
    Row("DELETE", "/v3/auth/tokens", ADMINS, headers=SUBJECT),
    Row("DELETE", "/v3/users/{user}/tokens", ADMINS),
    Row("DELETE", "/v3/users/{me}/tokens", ANY),
    Row("GET", "/v3/auth/tokens/OS-PKI/revoked", ""),
    Row("GET", "/v3/OS-REVOKE/events", f"{ADMINS} service"),
    Row("GET", "/v3/auth/catalog", IN_A_PROJECT),
    Row("GET", "/v3/auth/projects", ANY),
    Row("GET", "/v3/auth/domains", ANY),
    Row("GET", "/v3/auth/system", ANY),
    Row("GET", "/v3/users/{user}/projects", f"{READERS} domain_manager domain_member domain_reader"),
    Row("GET", "/v3/users/{me}/projects", ANY),
]  # fmt: skip
