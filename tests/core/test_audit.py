"""The change log as audit events; and how much of it is kept."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import select

from support import TestCloud
from tiffin.core import audit, background, changes
from tiffin.core.audit import Event, Taxonomy
from tiffin.core.cloud import ServiceRef
from tiffin.core.tables import LOGIN, Change

WORDS = Taxonomy(
    "service/toys",
    {"toy": "data/toys/toy"},
    names={"box": "toy_box"},
    events={"toy.lend": Event("loan", "created", "data/toys/loan", lambda change: {"to": "x"}, always_cadf=True)},
)
VIA = {"address": "192.0.2.7", "agent": "curl/8", "user": "ann", "token": "T0ken", "request": "POST /toys", "domain_id": "d"}


def change(kind: str = "create", resource: str = "toy", **more: Any) -> Change:
    fields: dict[str, Any] = {"actor_id": "u1", "project_id": "p1", "before": None, "after": None, "via": VIA, **more}
    return Change(
        sequence=7, at=1_800_000_000.25, request_id="req-1", resource_type=f"toys.{resource}", resource_id="t1", kind=kind,
        **fields,
    )  # fmt: skip


def test_a_cadf_event() -> None:
    event = audit.cadf(change(), WORDS)
    assert event.pop("id") == audit.cadf(change(), WORDS)["id"] != audit.cadf(change(), WORDS)["observer"]["id"]
    assert event["observer"].pop("id")
    assert event == {
        "typeURI": "http://schemas.dmtf.org/cloud/audit/1.0/event",
        "eventType": "activity",
        "eventTime": "2027-01-15T08:00:00.250000+00:00",
        "action": "created.toy",
        "outcome": "success",
        "initiator": {
            "typeURI": "service/security/account/user", "id": "u1", "user_id": "u1", "username": "ann", "project_id": "p1",
            "domain_id": "d", "request_id": "req-1", "host": {"address": "192.0.2.7", "agent": "curl/8"},
            "credential": {"token": "T0ken"},
        },
        "target": {"typeURI": "data/toys/toy", "id": "t1"},
        "observer": {"typeURI": "service/toys"},
        "resource_info": "t1",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "resource", "action", "target", "outcome"),
    [
        ("update", "toy", "updated.toy", "data/toys/toy", "success"),
        ("delete", "box", "deleted.toy_box", "service/toys/box", "success"),
        ("paint.start", "toy", "paint.start.toy", "data/toys/toy", "pending"),
        ("error", "toy", "error.toy", "data/toys/toy", "failure"),
        ("lend", "toy", "created.loan", "data/toys/loan", "success"),
        ("lend", "box", "lend.toy_box", "service/toys/box", "success"),
    ],
)
def test_names(kind: str, resource: str, action: str, target: str, outcome: str) -> None:
    event = audit.cadf(change(kind, resource), WORDS)
    assert (event["action"], event["target"]["typeURI"], event["outcome"]) == (action, target, outcome)


def test_an_update_tells_which_fields() -> None:
    event = audit.cadf(change("update", before={"a": 1, "b": 2}, after={"a": 1, "b": 3}), WORDS)
    assert event["attachments"] == [{"typeURI": "mime:application/json", "name": "changed", "content": ["b"]}]


def test_what_the_cloud_does_by_itself() -> None:
    event = audit.cadf(change(actor_id=None, via=None), WORDS)
    assert event["initiator"]["typeURI"] == "service/toys"
    assert event["initiator"]["request_id"] == "req-1"


def test_notifications() -> None:
    basic = audit.notification(change(), WORDS, "basic", "host1")
    assert basic == {
        "event_type": "toys.toy.created",
        "message_id": audit.cadf(change(), WORDS)["id"],
        "payload": {"resource_info": "t1"},
        "priority": "INFO",
        "publisher_id": "toys.host1",
        "timestamp": "2027-01-15 08:00:00.250000",
    }
    full = audit.notification(change(), WORDS, "cadf", "host1")
    assert full == {**basic, "payload": audit.cadf(change(), WORDS)}
    loan = audit.notification(change("lend"), WORDS, "basic", "host1")
    assert loan["payload"]["action"] == "created.loan"
    assert loan["payload"]["to"] == "x"


# --- how much is kept -----------------------------------------------------------------------------------------------------


def kinds(cloud: TestCloud) -> list[tuple[str, float]]:
    with cloud.cloud.database.read() as session:
        return [(kind, at) for kind, at in session.execute(select(Change.kind, Change.at).order_by(Change.sequence))]


def log(cloud: TestCloud, kind: str, at: float, times: int = 1) -> None:
    with cloud.cloud.database.write() as session:
        for _ in range(times):
            changes.record(session, changes.Origin(at, "req-1", None, None), kind, ("identity.user", "u"))


def test_old_logins_go_and_all_else_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    cloud = TestCloud([ServiceRef("toys", "/toys", "core.toy")])
    now, day = cloud.clock(), 86_400.0
    cloud.cloud.login_seconds = 30 * day
    log(cloud, "create", now - 90 * day)
    log(cloud, LOGIN, now - 31 * day, 5)
    log(cloud, LOGIN, now - 29 * day)
    monkeypatch.setattr(changes, "_AT_A_TIME", 2)  # three transactions
    background.keep_house(cloud.cloud)
    assert kinds(cloud) == [("create", now - 90 * day), (LOGIN, now - 29 * day)]
    log(cloud, LOGIN, now - day)
    monkeypatch.setattr(changes, "MOST_LOGINS", 1)
    background.keep_house(cloud.cloud)
    assert kinds(cloud) == [("create", now - 90 * day), (LOGIN, now - day)]
    cloud.close()
