"""The change log as audit events, in the form of DMTF's CADF (DSP0262), and the notifications in which OpenStack's services
send them. All of it is pure: a change in, words out."""

from __future__ import annotations

import dataclasses
import datetime
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Literal, Protocol

from tiffin.core.tables import LOGIN

EVENT = "http://schemas.dmtf.org/cloud/audit/1.0/event"
USER = "service/security/account/user"
SELF = "tiffin"
"""Who acts where the cloud acts by itself."""
UNKNOWN = "unknown"
PAST = {"create": "created", "update": "updated", "delete": "deleted"}
"""How OpenStack's services call these kinds of a change in their events; others keep their word."""

Format = Literal["basic", "cadf"]


@dataclasses.dataclass(frozen=True)
class Event:
    """What OpenStack calls a kind of change, where that is not `<resource>.<created|updated|deleted>`."""

    resource: str  # "": the operation stands alone, as in identity.authenticate
    operation: str
    target: str  # its typeURI
    tell: Callable[[Changed], dict[str, Any]] | None = None  # what the event says besides
    always_cadf: bool = False  # sent as CADF in whatever format the others are


@dataclasses.dataclass(frozen=True)
class Taxonomy:
    """What a service and its resources are called in audit events. What is not named here stands under the observer."""

    observer: str  # service/security
    targets: Mapping[str, str] = dataclasses.field(default_factory=dict)  # resource -> typeURI
    names: Mapping[str, str] = dataclasses.field(default_factory=dict)  # resource -> its name in events, where not ours
    events: Mapping[str, Event] = dataclasses.field(default_factory=dict)  # "<resource>.<kind>" -> what is special about it


class Changed(Protocol):
    """A row of the change log."""

    @property
    def sequence(self) -> int: ...
    @property
    def at(self) -> float: ...
    @property
    def request_id(self) -> str: ...
    @property
    def actor_id(self) -> str | None: ...
    @property
    def project_id(self) -> str | None: ...
    @property
    def resource_type(self) -> str: ...
    @property
    def resource_id(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def before(self) -> dict[str, Any] | None: ...
    @property
    def after(self) -> dict[str, Any] | None: ...
    @property
    def via(self) -> dict[str, Any] | None: ...


def service_of(change: Changed) -> str:
    """The type of the service whose change it is."""
    return change.resource_type.partition(".")[0]


def event_of(change: Changed, words: Taxonomy) -> Event:
    """What is done to what, in OpenStack's words."""
    resource = change.resource_type.partition(".")[2]
    special = words.events.get(f"{resource}.{change.kind}")
    if special is not None:
        return special
    target = words.targets.get(resource, f"{words.observer}/{resource}")
    return Event(words.names.get(resource, resource), PAST.get(change.kind, change.kind), target)


def outcome(change: Changed) -> str:
    """success, failure, or pending for what has only begun."""
    if change.kind == LOGIN:
        return str((change.after or {}).get("outcome", UNKNOWN))
    if change.kind.endswith(".start"):
        return "pending"
    return "failure" if change.kind == "error" else "success"


def differences(change: Changed) -> list[str]:
    """The names of the fields that an update has changed. A secret's name is not among them."""
    before, after = change.before or {}, change.after or {}
    return sorted(name for name in before.keys() & after.keys() if before[name] != after[name])


def _id(name: str) -> str:
    """A UUID that is always the same for the same name."""
    return str(uuid.uuid5(uuid.NAMESPACE_OID, name))


def cadf(change: Changed, words: Taxonomy) -> dict[str, Any]:
    """The change as a CADF event. The same change has the same id, so that a receiver who gets it twice can tell."""
    event = event_of(change, words)
    body: dict[str, Any] = {
        "typeURI": EVENT,
        "id": _id(f"{change.request_id}/{change.sequence}"),
        "eventType": "activity",
        "eventTime": _time(change.at).isoformat(timespec="microseconds"),
        "action": f"{event.operation}.{event.resource}".rstrip("."),
        "outcome": outcome(change),
        "initiator": _initiator(change, words),
        "target": {"typeURI": event.target, "id": change.resource_id or UNKNOWN},
        "observer": {"typeURI": words.observer, "id": _id(service_of(change))},
    }
    if not event.always_cadf:
        body["resource_info"] = change.resource_id
    body |= event.tell(change) if event.tell else {}
    if changed := differences(change):
        body["attachments"] = [{"typeURI": "mime:application/json", "name": "changed", "content": changed}]
    return body


def _initiator(change: Changed, words: Taxonomy) -> dict[str, Any]:
    via = change.via
    if via is None:
        return {"typeURI": words.observer, "id": change.actor_id or _id(SELF), "request_id": change.request_id}
    who = (change.resource_id if change.kind == LOGIN else change.actor_id) or UNKNOWN
    known = {
        "user_id": change.actor_id,
        "username": via.get("user"),
        "project_id": change.project_id,
        "domain_id": via.get("domain_id"),
        "request_id": change.request_id,
    }
    body: dict[str, Any] = {"typeURI": USER, "id": who, "host": _some(via, "address", "agent")}
    body |= {name: value for name, value in known.items() if value is not None}
    if "token" in via:
        body["credential"] = _some(via, "token", *(name for name in via if name.endswith("_id") and name != "domain_id"))
    return body


def _some(facts: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: facts[name] for name in names if name in facts}


def _time(at: float) -> datetime.datetime:
    return datetime.datetime.fromtimestamp(at, datetime.UTC)


def notification(change: Changed, words: Taxonomy, form: Format, host: str) -> Any:
    """The message that OpenStack's services send of such a change, in the format `basic` or `cadf`."""
    event, told = event_of(change, words), cadf(change, words)
    service = service_of(change)
    payload = told if form == "cadf" or event.always_cadf else _basic(change, event)
    return {
        "event_type": ".".join(word for word in (service, event.resource, event.operation) if word),
        "message_id": told["id"],
        "payload": payload,
        "priority": "INFO",
        "publisher_id": f"{service}.{host}",
        "timestamp": _time(change.at).isoformat(sep=" ", timespec="microseconds")[:26],
    }


def _basic(change: Changed, event: Event) -> dict[str, Any]:
    return {"resource_info": change.resource_id, **(event.tell(change) if event.tell else {})}
