"""Trusts. One that is asked about is Ann's; she has lent her role to a user who asks nothing."""

from __future__ import annotations

from api.identity.personas import ADMINS, ANY, PERSONAS, READERS, Row, Scene, thing


@thing("trust")
def _trust(scene: Scene) -> str:
    cloud, ann, name = scene.cloud, scene.new("user"), scene.name()
    project = cloud.make("project", "/projects", name=name, domain_id=scene.domain)["id"]
    assert cloud.do("PUT", f"/projects/{project}/users/{ann}/roles/{cloud.role('reader')}").status == 204
    who = {"methods": ["password"], "password": {"user": {"id": ann, "password": "pw"}}}
    token = cloud.auth(who, {"project": {"id": project}}).headers["x-subject-token"]
    body = {"trustor_user_id": ann, "trustee_user_id": scene.new("user"), "project_id": project, "impersonation": False,
            "roles": [{"name": "reader"}]}  # fmt: skip
    reply = cloud.do("POST", "/OS-TRUST/trusts", {"trust": body}, token=token)
    assert reply.status == 201, reply.body
    return str(reply.json["trust"]["id"])


@thing("lent_role")
def _reader(scene: Scene) -> str:
    return scene.cloud.role("reader")


def _new(trustor: str) -> dict[str, object]:
    """A trust of nothing, which everybody can lend."""
    return {"trust": {"trustor_user_id": trustor, "trustee_user_id": "{user}", "impersonation": False}}


LISTERS = READERS.replace("domain_admin ", "")
OF_NO_DOMAIN = " ".join(name for name in PERSONAS if not name.startswith("domain_"))
"""What a query asks has rules of its own, which are for tokens of projects and of the system."""

ROWS = [
    Row("POST", "/v3/OS-TRUST/trusts", ANY, _new("{me}")),
    Row("POST", "/v3/OS-TRUST/trusts", "", _new("{user}")),
    Row("GET", "/v3/OS-TRUST/trusts", LISTERS),
    Row("GET", "/v3/OS-TRUST/trusts?trustor_user_id={me}", OF_NO_DOMAIN),
    Row("GET", "/v3/OS-TRUST/trusts?trustor_user_id={user}", LISTERS),
    Row("GET", "/v3/OS-TRUST/trusts?trustee_user_id={me}", OF_NO_DOMAIN),
    Row("GET", "/v3/OS-TRUST/trusts?trustee_user_id={user}", LISTERS),
    Row("GET", "/v3/OS-TRUST/trusts/{trust}", READERS),
    Row("GET", "/v3/OS-TRUST/trusts/{trust}/roles", READERS),
    Row("GET", "/v3/OS-TRUST/trusts/{trust}/roles/{lent_role}", READERS),
    Row("DELETE", "/v3/OS-TRUST/trusts/{trust}", ADMINS),
]
