"""The keys of stored secrets: rotated, with every row, while the cloud works."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from sqlalchemy import select, update

from api.identity.conftest import IdentityCloud
from api.identity.oauth_client import Consumer
from tiffin.core import reencrypt
from tiffin.services.identity.keys import InvalidToken, Keys
from tiffin.services.identity.tables import Credential


def fill(cloud: IdentityCloud, seeds: int) -> tuple[str, list[str]]:
    """(user id, the ids of its credentials)"""
    user = cloud.make("user", "/users", name="ann")["id"]
    fields = {"type": "totp", "user_id": user}
    return user, [cloud.make("credential", "/credentials", blob=f"seed {n}", **fields)["id"] for n in range(seeds)]


def opens(cloud: IdentityCloud, keys: Keys) -> int:
    """How many rows these keys open by themselves."""
    with cloud.cloud.database.read() as session:
        kept = session.scalars(select(Credential.blob)).all()
    return sum(1 for blob in kept if _opens(keys, blob))


def _opens(keys: Keys, blob: bytes) -> bool:
    try:
        return bool(keys.decrypt(blob))
    except InvalidToken:
        return False


def newest(cloud: IdentityCloud, folder: Path) -> Keys:
    """A repository that has the newest key only."""
    source = cloud.identity.secrets.folder
    number = max(int(file.name) for file in source.iterdir() if file.name.isdecimal())
    folder.mkdir()
    (folder / "1").write_bytes((source / str(number)).read_bytes())
    return Keys(folder)


def test_every_secret_gets_the_new_key(cloud: IdentityCloud, tmp_path: Path) -> None:
    user, ids = fill(cloud, 2 * reencrypt.BATCH + 3)
    consumer = Consumer(cloud, cloud.make("project", "/projects", name="p")["id"])
    request = consumer.request_token()
    again = {"Idempotency_Key": "once"}
    body = {"credential": {"type": "cert", "user_id": user, "blob": "once"}}
    first = cloud.do("POST", "/credentials", body, **again)
    secrets = cloud.identity.secrets
    secrets.repository.promote()
    assert opens(cloud, newest(cloud, tmp_path / "before")) == 0
    assert cloud.do("GET", f"/credentials/{ids[0]}").json["credential"]["blob"] == "seed 0"  # on the way
    done = reencrypt.renew_all(cloud.cloud.database, secrets)
    assert (done.renewed, done.unreadable) == (len(ids) + 4, 0)  # and a consumer, a request token, a cert, an answer
    assert opens(cloud, newest(cloud, tmp_path / "after")) == len(ids) + 1
    assert reencrypt.renew_all(cloud.cloud.database, secrets).renewed == 0
    secrets.repository.drop(2)
    shown = cloud.do("GET", f"/credentials?user_id={user}&type=totp").json["credentials"]
    assert sorted(c["blob"] for c in shown) == sorted(f"seed {n}" for n in range(len(ids)))
    assert cloud.do("POST", "/credentials", body, **again).body == first.body
    assert consumer.ask_access_token(request, "AAAAAAAA").status == 401  # its secret is known; nobody has granted it
    assert consumer.ask_request_token().status == 201


def test_no_column_is_forgotten() -> None:
    known = {f"{column.table.name}.{column.name}" for column in reencrypt.columns()}
    oauth = {"identity_consumer.secret", "identity_request_token.secret", "identity_request_token.verifier"}
    assert oauth | {"identity_access_token.secret", "identity_credential.blob", "idempotent_answer.answer"} <= known


def test_what_changes_meanwhile_stays(cloud: IdentityCloud, monkeypatch: pytest.MonkeyPatch) -> None:
    """A row that is written between being read and being written again keeps what was written."""
    _, ids = fill(cloud, 3)
    secrets = cloud.identity.secrets
    secrets.repository.promote()
    renew = secrets.renew

    def slow(kept: bytes) -> bytes:
        if secrets.decrypt(kept) == b"seed 1":
            with cloud.cloud.database.write() as session:
                session.execute(update(Credential).where(Credential.id == ids[1]).values(blob=secrets.encrypt(b"new")))
        return renew(kept)

    monkeypatch.setattr(secrets, "renew", slow)
    reencrypt.renew_all(cloud.cloud.database, secrets)
    blobs = [cloud.do("GET", f"/credentials/{id}").json["credential"]["blob"] for id in ids]
    assert blobs == ["seed 0", "new", "seed 2"]


def test_nothing_breaks_while_keys_rotate(cloud: IdentityCloud) -> None:
    """As a process that serves does while another rotates: rows are read and written all the time."""
    _, ids = fill(cloud, 20)
    other = Keys(cloud.identity.secrets.folder)
    wrong: list[int] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            for n, id in enumerate(ids):
                if other.decrypt(other.encrypt(b"x")) != b"x":
                    wrong.append(n)
                found = cloud.client.request("GET", f"/identity/v3/credentials/{id}", headers={"X-Auth-Token": cloud.admin})
                if found.status != 200 or found.json["credential"]["blob"] != f"seed {n}":
                    wrong.append(n)

    worker = threading.Thread(target=work)
    worker.start()
    for _ in range(5):
        cloud.identity.secrets.repository.promote()
        reencrypt.renew_all(cloud.cloud.database, cloud.identity.secrets)
        cloud.identity.secrets.repository.drop(3)
    stop.set()
    worker.join()
    assert not wrong
    assert len(cloud.identity.secrets.repository.numbers()) == 3


def test_what_no_key_opens_is_told(cloud: IdentityCloud) -> None:
    _, ids = fill(cloud, 2)
    with cloud.cloud.database.write() as session:
        session.execute(update(Credential).where(Credential.id == ids[0]).values(blob=b"nonsense"))
    cloud.identity.secrets.repository.promote()
    done = reencrypt.renew_all(cloud.cloud.database, cloud.identity.secrets)
    assert (done.seen, done.renewed, done.unreadable) == (2, 1, 1)


def test_secrets_of_the_first_release_move(cloud: IdentityCloud) -> None:
    """It kept them by the keys of the tokens."""
    _, ids = fill(cloud, 1)
    with cloud.cloud.database.write() as session:
        session.execute(update(Credential).values(blob=cloud.identity.keys.encrypt(b"old")))
    assert cloud.do("GET", f"/credentials/{ids[0]}").json["credential"]["blob"] == "old"
    assert reencrypt.renew_all(cloud.cloud.database, cloud.identity.secrets).renewed == 1
    for _ in range(4):
        cloud.identity.keys.rotate(2)
    cloud.admin = cloud.token("admin", "a long secret", project="admin")
    assert cloud.do("GET", f"/credentials/{ids[0]}").json["credential"]["blob"] == "old"
