"""The configuration of a domain: options of its own, instead of the cloud's."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from msgspec import Meta
from sqlalchemy import delete

from tiffin.core.call import Call
from tiffin.core.errors import BadRequest, Forbidden, NotFound
from tiffin.core.policy import Target
from tiffin.core.resource import Answer, Resource
from tiffin.services.identity import targets
from tiffin.services.identity.authentication import Identity
from tiffin.services.identity.bootstrap import DEFAULT_DOMAIN
from tiffin.services.identity.domain_options import DEFAULTS, HIDDEN, Config, DomainOption, put, rows, visible
from tiffin.services.identity.schemas import AnyText

ADMIN = "rule:admin_required"
SHOW = ("identity:get_domain_config", "rule:admin_required or (role:reader and system_scope:all)")
SHOW_DEFAULT = ("identity:get_domain_config_default", "rule:admin_required or (role:reader and system_scope:all)")
SHOW_COMPLIANCE = ("identity:get_security_compliance_domain_config", "")
CHANGE = ("identity:update_domain_config", ADMIN)
DELETE = ("identity:delete_domain_config", ADMIN)

COMPLIANCE = "security_compliance"
"""The group that everybody may read: what a password must be like."""
MOST = 65_535
"""Bytes of a configuration, encoded."""
Body = Annotated[dict[AnyText, Any], Meta(max_length=256)]

domain_config = Resource("config", "configs", "/v3/domains", rules=(SHOW, SHOW_COMPLIANCE))


# --- what may be ---------------------------------------------------------------------------------------------------------


def _refused(why: str) -> Forbidden:
    return Forbidden(f"Invalid domain specific configuration: {why}.")


def _check_names(group: str, option: str | None = None) -> None:
    """Raises `Forbidden` for what a domain cannot set."""
    if group not in DEFAULTS:
        raise _refused(f"there is no group {group[:64]} of options that a domain may set")
    if option is not None and option not in DEFAULTS[group] and option not in HIDDEN[group]:
        raise _refused(f"a domain may not set the option {option[:64]} of the group {group}")


def _checked(body: dict[str, Any]) -> Config:
    """The body as a configuration. Raises `Forbidden`."""
    if not body:
        raise _refused("no options were given")
    for group, options in body.items():
        if not isinstance(options, dict) or not options:
            raise _refused(f"the group {group[:64]} must be an object of options")
        for option in options:
            _check_names(group, option)
    if len(msgspec.json.encode(body)) > MOST:
        raise BadRequest(f"Invalid input for field/attribute config: it has more than {MOST} bytes.")
    return body


def _checked_part(body: dict[str, Any], group: str, option: str | None) -> Config:
    """The configuration of a body that speaks of one group or option. Raises `Forbidden`."""
    config = _checked(body if option is None else {group: body})
    _check_names(group, option)
    if set(config) != {group} or (option is not None and set(config[group]) != {option}):
        raise _refused(f"exactly {option or group} must be given, as the path says")
    return config


# --- what there is -------------------------------------------------------------------------------------------------------


def about(call: Call, id: str, **_: Any) -> Target:
    return Target(targets.find_domain(call.db, id))


def _existing(call: Call, id: str) -> list[DomainOption]:
    """What the domain has set. Raises `NotFound` when there is no such domain."""
    if call.subject.row is None:
        raise targets.missing("domain", id)
    return rows(call.db, id)


def _missing(id: str, group: str | None, option: str | None) -> NotFound:
    what = f"option {option} in group {group}" if option else f"group {group}" if group else "any options"
    return NotFound(f"Could not find {what} in the configuration of domain {id}.")


def _require(call: Call, id: str, group: str, option: str | None) -> None:
    """Raises `NotFound` unless the domain has set the option, or any of the group."""
    if not any(row.group == group and option in (None, row.option) for row in _existing(call, id)):
        raise _missing(id, group, option)


def _record(call: Call, kind: str, id: str, before: Config) -> Config:
    """Tell the change log; gives what can be seen now."""
    after = visible(rows(call.db, id))
    call.record(kind, ("identity.domain_config", id), before=before, after=after)
    return after


# --- the operations ------------------------------------------------------------------------------------------------------


@domain_config.operation("GET", "/config/default", policy=SHOW_DEFAULT)
def show_defaults(call: Call) -> dict[str, Any]:
    return {"config": DEFAULTS}


@domain_config.operation("GET", "/config/{group}/default", policy=SHOW_DEFAULT)
def show_default_group(call: Call, group: str) -> dict[str, Any]:
    _check_names(group)
    return {"config": {group: DEFAULTS[group]}}


@domain_config.operation("GET", "/config/{group}/{option}/default", policy=SHOW_DEFAULT)
def show_default_option(call: Call, group: str, option: str) -> dict[str, Any]:
    _check_names(group, option)
    if option in HIDDEN[group]:
        raise _refused(f"the default of the option {option} of the group {group} cannot be read")
    return {"config": {option: DEFAULTS[group][option]}}


@domain_config.operation("GET", "/{id}/config", policy=SHOW, about=about)
def show(call: Call, id: str) -> dict[str, Any]:
    found = visible(_existing(call, id))
    if not found:
        raise _missing(id, None, None)
    return {"config": found}


@domain_config.operation("GET", "/{id}/config/{group}", policy=None, about=about)
def show_group(call: Call, id: str, group: str) -> dict[str, Any]:
    if group == COMPLIANCE:
        return {"config": {COMPLIANCE: _compliance(call, id)}}
    call.enforce(SHOW[0])
    _check_names(group)
    found = visible(_existing(call, id))
    if group not in found:
        raise _missing(id, group, None)
    return {"config": {group: found[group]}}


@domain_config.operation("GET", "/{id}/config/{group}/{option}", policy=None, about=about)
def show_option(call: Call, id: str, group: str, option: str) -> dict[str, Any]:
    if group == COMPLIANCE:
        found = _compliance(call, id)
        if option not in found:
            raise _refused(f"the option {option[:64]} of the group {group} cannot be read")
        return {"config": {option: found[option]}}
    call.enforce(SHOW[0])
    _check_names(group, option)
    options = visible(_existing(call, id)).get(group, {})
    if option not in options:
        raise _missing(id, group, option)
    return {"config": {option: options[option]}}


def _compliance(call: Call, id: str) -> dict[str, Any]:
    """What passwords must be like; the same everywhere, and read of the default domain only, as upstream."""
    call.enforce(SHOW_COMPLIANCE[0])
    if id != DEFAULT_DOMAIN:
        raise _refused(f"the group {COMPLIANCE} can be read of the domain {DEFAULT_DOMAIN} only")
    rules = call.part(Identity).settings.passwords
    shown = {"password_regex": rules.password_regex, "password_regex_description": rules.password_regex_description}
    return {option: text or None for option, text in shown.items()}


@domain_config.operation("PUT", "/{id}/config", policy=("identity:create_domain_config", ADMIN), body=Body, about=about)
def replace(call: Call, id: str, body: dict[str, Any]) -> Answer:
    old = _existing(call, id)
    config = _checked(body)
    call.db.execute(delete(DomainOption).where(DomainOption.domain_id == id))
    put(call.db, call.cloud.secrets, id, config)
    after = _record(call, "update" if old else "create", id, visible(old))
    return Answer({"config": after}, 200 if old else 201)


@domain_config.operation("PATCH", "/{id}/config", policy=CHANGE, body=Body, about=about)
def update(call: Call, id: str, body: dict[str, Any]) -> dict[str, Any]:
    before = visible(_existing(call, id))
    put(call.db, call.cloud.secrets, id, _checked(body))
    return {"config": _record(call, "update", id, before)}


@domain_config.operation("PATCH", "/{id}/config/{group}", policy=CHANGE, body=Body, about=about)
def update_group(call: Call, id: str, group: str, body: dict[str, Any]) -> dict[str, Any]:
    return _update_part(call, id, group, None, body)


@domain_config.operation("PATCH", "/{id}/config/{group}/{option}", policy=CHANGE, body=Body, about=about)
def update_option(call: Call, id: str, group: str, option: str, body: dict[str, Any]) -> dict[str, Any]:
    return _update_part(call, id, group, option, body)


def _update_part(call: Call, id: str, group: str, option: str | None, body: dict[str, Any]) -> dict[str, Any]:
    before = visible(_existing(call, id))
    config = _checked_part(body, group, option)
    _require(call, id, group, option)
    put(call.db, call.cloud.secrets, id, config)
    return {"config": _record(call, "update", id, before)}


@domain_config.operation("DELETE", "/{id}/config", policy=DELETE, about=about)
def remove(call: Call, id: str) -> Answer:
    before = visible(_existing(call, id))
    call.db.execute(delete(DomainOption).where(DomainOption.domain_id == id))
    _record(call, "delete", id, before)
    return Answer(None, 204)


@domain_config.operation("DELETE", "/{id}/config/{group}", policy=DELETE, about=about)
def remove_group(call: Call, id: str, group: str) -> Answer:
    return _remove_part(call, id, group, None)


@domain_config.operation("DELETE", "/{id}/config/{group}/{option}", policy=DELETE, about=about)
def remove_option(call: Call, id: str, group: str, option: str) -> Answer:
    return _remove_part(call, id, group, option)


def _remove_part(call: Call, id: str, group: str, option: str | None) -> Answer:
    before = visible(_existing(call, id))
    _check_names(group, option)
    _require(call, id, group, option)
    gone = [row for row in rows(call.db, id) if row.group == group and option in (None, row.option)]
    for row in gone:
        call.db.delete(row)
    call.db.flush()
    _record(call, "update", id, before)
    return Answer(None, 204)
