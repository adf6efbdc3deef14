"""What of the configuration may differ from domain to domain: its options, and those that a domain has set.

Nothing reads them yet but the API: identities from LDAP come with their driver, which asks `whole`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import structlog
from sqlalchemy import JSON, ForeignKey, LargeBinary, select
from sqlalchemy.orm import Mapped, Session, mapped_column

from tiffin.core.cloud import Secrets
from tiffin.core.tables import SECRET, Id, Table

log = structlog.get_logger("identity")

Config = dict[str, dict[str, Any]]
"""Group -> option -> value."""

DEFAULTS: Config = {
    "identity": {"driver": "sql", "list_limit": None},
    "ldap": {
        "url": "ldap://localhost", "user": None, "suffix": "cn=example,cn=com", "query_scope": "one", "page_size": 0,
        "alias_dereferencing": "default", "debug_level": None, "chase_referrals": None,
        "user_tree_dn": None, "user_filter": None, "user_objectclass": "inetOrgPerson", "user_id_attribute": "cn",
        "user_name_attribute": "sn", "user_mail_attribute": "mail", "user_description_attribute": "description",
        "user_pass_attribute": "userPassword", "user_enabled_attribute": "enabled", "user_enabled_invert": False,
        "user_enabled_mask": 0, "user_enabled_default": "True", "user_attribute_ignore": ["default_project_id"],
        "user_default_project_id_attribute": None, "user_enabled_emulation": False, "user_enabled_emulation_dn": None,
        "user_enabled_emulation_use_group_config": False, "user_additional_attribute_mapping": [],
        "group_tree_dn": None, "group_filter": None, "group_objectclass": "groupOfNames", "group_id_attribute": "cn",
        "group_name_attribute": "ou", "group_members_are_ids": False, "group_member_attribute": "member",
        "group_desc_attribute": "description", "group_attribute_ignore": [], "group_additional_attribute_mapping": [],
        "tls_cacertfile": None, "tls_cacertdir": None, "use_tls": False, "tls_req_cert": "demand",
        "use_pool": True, "pool_size": 10, "pool_retry_max": 3, "pool_retry_delay": 0.1, "pool_connection_timeout": -1,
        "pool_connection_lifetime": 600, "use_auth_pool": True, "auth_pool_size": 100,
        "auth_pool_connection_lifetime": 60,
    },
}  # fmt: skip
"""Every option that a domain may set and anybody may read who may read the configuration, with Keystone's default."""

HIDDEN = {"identity": frozenset[str](), "ldap": frozenset({"password"})}
"""Options that a domain may set and nobody may read."""


class DomainOption(Table):
    """An option that a domain has set. Of a hidden one the value is in `secret`, encrypted."""

    __tablename__ = "identity_domain_option"
    domain_id: Mapped[Id] = mapped_column(ForeignKey("identity_project.id", ondelete="CASCADE"), primary_key=True)
    group: Mapped[Id] = mapped_column(primary_key=True)
    option: Mapped[Id] = mapped_column(primary_key=True)
    value: Mapped[Any] = mapped_column(JSON)
    secret: Mapped[bytes | None] = mapped_column(LargeBinary, info=SECRET)


def rows(session: Session, domain_id: str) -> list[DomainOption]:
    """What a domain has set, in the order of the names."""
    mine = select(DomainOption).where(DomainOption.domain_id == domain_id)
    return list(session.scalars(mine.order_by(DomainOption.group, DomainOption.option)))


def visible(options: list[DomainOption]) -> Config:
    found: Config = {}
    for row in options:
        if row.secret is None:
            found.setdefault(row.group, {})[row.option] = row.value
    return found


def put(session: Session, secrets: Secrets, domain_id: str, config: Config) -> None:
    """Set the options of `config`; others stay as they are."""
    kept = {(row.group, row.option): row for row in rows(session, domain_id)}
    for group, options in config.items():
        for option, value in options.items():
            row = kept.get((group, option))
            if row is None:
                row = DomainOption(domain_id=domain_id, group=group, option=option)
                session.add(row)
            hide = option in HIDDEN[group]
            row.value = None if hide else value
            row.secret = secrets.encrypt(msgspec.json.encode(value)) if hide else None
    session.flush()
    whole(session, secrets, domain_id)  # warns of references that lead nowhere


def whole(session: Session, secrets: Secrets, domain_id: str) -> Config:
    """What a driver needs: hidden options too, and %(name)s in the values of others replaced by them.

    A value with a reference that leads nowhere, or that is none, stays as it is, and is warned of.
    """
    options = rows(session, domain_id)
    found = visible(options)
    hidden = {
        (row.group, row.option): msgspec.json.decode(secrets.decrypt(row.secret)) for row in options if row.secret
    }
    names = {option: str(value) for (_, option), value in hidden.items()}
    for group, values in found.items():
        for option, value in values.items():
            try:
                values[option] = substituted(value, names) if isinstance(value, str) else value
            except LookupError as wrong:
                log.warning("domain_config.reference", domain_id=domain_id, group=group, option=option, why=str(wrong))
    for (group, option), value in hidden.items():
        found.setdefault(group, {})[option] = value
    return found


_PERCENT = re.compile(r"%(?:(%)|\((\w+)\)s|)")


def substituted(value: str, names: Mapping[str, str]) -> str:
    """`value` with each %(name)s replaced, and %% for a percent sign. Raises `LookupError` for an unknown name, and for
    a percent sign that means nothing."""

    def fill(match: re.Match[str]) -> str:
        if match[1]:
            return "%"
        if match[2] is None:
            raise LookupError("a percent sign must be doubled, or begin a reference such as %(password)s")
        if match[2] not in names:
            raise LookupError(f"%({match[2]})s names no hidden option that the domain has set")
        return names[match[2]]

    return _PERCENT.sub(fill, value)
