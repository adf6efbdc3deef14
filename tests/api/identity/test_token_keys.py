"""The keys of tokens: both kinds of tokens, rotation without a break, and what nobody can forge."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet

from api.identity.conftest import ADMIN_PASSWORD, IdentityCloud
from tiffin.services.identity.keys import InvalidToken, Keys, SigningKeys
from tiffin.services.identity.public import IdentitySettings

SCOPES: list[Any] = [None, "unscoped", {"project": {"name": "admin", "domain": {"id": "default"}}}, {"system": {"all": True}}]


@pytest.fixture(params=["fernet", "jws"])
def cloud(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[IdentityCloud]:
    made = IdentityCloud(tmp_path / "keys", IdentitySettings(signed_tokens=request.param == "jws"))
    yield made
    made.close()


@pytest.fixture
def signing(tmp_path: Path) -> Iterator[IdentityCloud]:
    made = IdentityCloud(tmp_path / "keys", IdentitySettings(signed_tokens=True))
    yield made
    made.close()


def repositories(cloud: IdentityCloud) -> list[Any]:
    found = [cloud.identity.keys.repository]
    return [*found, cloud.identity.signing.repository] if cloud.identity.settings.signed_tokens else found


def rotate(cloud: IdentityCloud, keep: int = 3) -> None:
    for repository in repositories(cloud):
        repository.rotate(keep)


def status(cloud: IdentityCloud, token: str) -> int:
    return cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token).status


# --- what a token says --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scope", SCOPES)
def test_validation_says_what_was_issued(cloud: IdentityCloud, scope: Any) -> None:
    cloud.clock.now += 0.123456
    issued = cloud.login("admin", ADMIN_PASSWORD, scope)
    assert issued.status == 201
    token = issued.headers["x-subject-token"]
    assert ("." in token) == cloud.identity.settings.signed_tokens
    assert cloud.do("GET", "/auth/tokens", X_Subject_Token=token).json == issued.json


def test_every_kind_of_token(cloud: IdentityCloud) -> None:
    ann, project, token = cloud.member("ann", "p")
    admin = cloud.do("GET", "/auth/tokens", X_Subject_Token=cloud.admin).json["token"]["user"]["id"]
    cloud.do("PUT", f"/domains/default/users/{ann}/roles/{cloud.role('reader')}")
    made = cloud.do("POST", f"/users/{ann}/application_credentials", {"application_credential": {"name": "x"}}, token=token)
    credential = made.json["application_credential"]
    body = {"trustor_user_id": ann, "trustee_user_id": admin, "project_id": project, "impersonation": True,
            "roles": [{"name": "reader"}]}  # fmt: skip
    trust = cloud.do("POST", "/OS-TRUST/trusts", {"trust": body}, token=token).json["trust"]["id"]
    secret = {"id": credential["id"], "secret": credential["secret"]}
    for reply in (
        cloud.login("ann", "pw", {"domain": {"id": "default"}}),
        cloud.login("admin", ADMIN_PASSWORD, {"OS-TRUST:trust": {"id": trust}}),
        cloud.auth({"methods": ["application_credential"], "application_credential": secret}),
        cloud.auth({"methods": ["token"], "token": {"id": token}}),
    ):
        assert reply.status == 201, reply.body
        shown = cloud.do("GET", "/auth/tokens", X_Subject_Token=reply.headers["x-subject-token"])
        assert shown.json == reply.json


def test_a_signed_token_can_be_read_by_anybody(signing: IdentityCloud) -> None:
    shown = signing.do("GET", "/auth/tokens", X_Subject_Token=signing.admin).json["token"]
    head, body, _ = (json.loads(base64.urlsafe_b64decode(part + "==")) for part in (*signing.admin.split(".")[:2], "e30"))
    assert {k: v for k, v in head.items() if k != "kid"} == {"alg": "ES256", "typ": "JWT"}
    assert {k: v for k, v in body.items() if k != "tiffin_generations"} == {
        "sub": shown["user"]["id"], "iat": 1_800_000_000.0, "exp": 1_800_003_600, "openstack_methods": ["password"],
        "openstack_audit_ids": shown["audit_ids"], "openstack_project_id": shown["project"]["id"],
    }  # fmt: skip


def test_tokens_of_before_a_switch_are_valid(tmp_path: Path) -> None:
    first = IdentityCloud(tmp_path / "keys")
    try:
        first.identity.settings = IdentitySettings(signed_tokens=True)
        first.identity.signing.repository.ensure()
        signed = first.token("admin", ADMIN_PASSWORD, project="admin")
        assert ("." in signed, status(first, signed), status(first, first.admin)) == (True, 200, 200)
        first.identity.settings = IdentitySettings()
        assert (status(first, signed), status(first, first.admin)) == (200, 200)
    finally:
        first.close()


# --- rotation -----------------------------------------------------------------------------------------------------------


def test_tokens_live_as_long_as_their_key(cloud: IdentityCloud) -> None:
    rotate(cloud)
    young = cloud.token("admin", ADMIN_PASSWORD, project="admin")
    assert (status(cloud, cloud.admin), status(cloud, young)) == (200, 200)
    rotate(cloud)
    assert (status(cloud, cloud.admin), status(cloud, young)) == (401, 200)
    cloud.admin = young
    rotate(cloud, keep=9)
    assert status(cloud, young) == 200


def test_a_staged_key_is_known_before_it_writes(cloud: IdentityCloud, tmp_path: Path) -> None:
    """Another machine, which gets the keys a rotation later, reads the tokens of this one."""
    other = tmp_path / "other"
    other.mkdir()
    for file in (tmp_path / "keys").iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
    rotate(cloud)
    token = cloud.token("admin", ADMIN_PASSWORD, project="admin")
    behind = IdentityCloud(other, cloud.identity.settings)
    try:
        assert behind.identity.read(token).methods == ("password",)
    finally:
        behind.close()


def test_roles_of_keys(cloud: IdentityCloud) -> None:
    def states(repository: Any) -> list[tuple[int, str]]:
        return [(s.number, s.role) for s in repository.states()]

    for repository in repositories(cloud):
        assert states(repository) == [(0, "staged"), (1, "primary")]
        staged = repository.read(0)
        repository.rotate(3)
        assert states(repository) == [(0, "staged"), (1, "secondary"), (2, "primary")]
        assert repository.read(2) == staged
        repository.rotate(3)
        assert states(repository) == [(0, "staged"), (2, "secondary"), (3, "primary")]
        repository.rotate(1)
        assert states(repository) == [(0, "staged"), (4, "primary")]


@pytest.mark.parametrize("lost", ["staged", "draft"])
def test_a_killed_rotation_is_completed(cloud: IdentityCloud, lost: str) -> None:
    for repository in repositories(cloud):
        if lost == "staged":  # killed after the staged key was promoted, before another was staged
            repository._file(0).rename(repository._file(2))
        else:  # killed while it wrote
            (repository.folder / f".{repository._prefix}0").write_bytes(b"half")
    token = cloud.token("admin", ADMIN_PASSWORD, project="admin")
    assert (status(cloud, cloud.admin), status(cloud, token)) == (200, 200)
    rotate(cloud)
    assert status(cloud, token) == 200
    for repository in repositories(cloud):
        assert [s.role for s in repository.states()][0::2] == ["staged", "primary"]


def test_rotations_while_others_read_and_write(tmp_path: Path) -> None:
    folder = tmp_path / "keys"
    Keys(folder)
    ended, wrong = threading.Event(), list[BaseException]()

    def use() -> None:
        keys, last = Keys(folder), list[bytes]()
        try:
            while not ended.is_set():
                last = [*last[-2:], keys.encrypt(b"x")]
                assert keys.decrypt(last[-1]) == b"x"
        except BaseException as error:
            wrong.append(error)

    threads = [threading.Thread(target=use) for _ in range(3)]
    for thread in threads:
        thread.start()
    repository = Keys(folder).repository
    for _ in range(25):
        repository.rotate(40)  # a thread that waits for long must still find the key that it wrote with
    ended.set()
    for thread in threads:
        thread.join()
    assert not wrong
    assert len(repository.states()) == 27


def test_keys_are_for_their_owner_only(cloud: IdentityCloud) -> None:
    for repository in repositories(cloud):
        repository.rotate(3)
        for number in repository.numbers():
            assert repository._file(number).stat().st_mode & 0o777 == 0o600


# --- what nobody can forge ----------------------------------------------------------------------------------------------


def test_purposes_are_apart(tmp_path: Path) -> None:
    keys = Keys(tmp_path / "keys")
    assert keys.decrypt(keys.encrypt(b"x", "receipt"), "receipt") == b"x"
    for written, read in (("", "receipt"), ("receipt", ""), ("receipt", "other")):
        with pytest.raises(InvalidToken):
            keys.decrypt(keys.encrypt(b"x", written), read)


def test_forged_tokens(signing: IdentityCloud, tmp_path: Path) -> None:
    head, body, signature = signing.admin.split(".")
    strangers = SigningKeys(tmp_path / "stranger")
    strangers.repository.ensure()

    def text(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")

    claims = json.loads(base64.urlsafe_b64decode(body + "=="))
    kid = json.loads(base64.urlsafe_b64decode(head + "=="))["kid"]
    foreign, sealed = strangers.sign(lambda kid: f"{head}.{body}".encode())
    forged = [
        f"{text({'alg': 'none', 'kid': kid})}.{body}.",
        f"{text({'alg': 'HS256', 'kid': kid})}.{body}.{signature}",
        f"{text({'alg': 'ES256', 'kid': kid[::-1]})}.{body}.{signature}",
        f"{text({'alg': 'ES256', 'kid': '../1'})}.{body}.{signature}",
        f"{text({'alg': 'ES256'})}.{body}.{signature}",
        f"{head}.{text({**claims, 'exp': 2_000_000_000})}.{signature}",
        f"{head}.{text([])}.{signature}",
        f"{foreign.decode()}.{base64.urlsafe_b64encode(sealed).decode()}",
        f"{head}.{body}.{signature[:-2]}",
        f"{head}.{body}.",
        f"{head}.{body}",
        f"{head}..{signature}",
        "..",
        "." * 5000,
        f"{head}.{body}.é",
        Fernet(Fernet.generate_key()).encrypt(b"x").decode(),
    ]
    for token in forged:
        assert signing.ask("GET", "/identity/v3/auth/tokens", token=token).status == 401
        assert signing.do("GET", "/auth/tokens", X_Subject_Token=token).status == 404
        assert signing.auth({"methods": ["token"], "token": {"id": token}}).status == 404
