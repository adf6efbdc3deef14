"""Requests about security groups that reach this service by compute's old API: the same operations under the same rules
as this service's own."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from tiffin.core.call import Call
from tiffin.core.resource import Operation, Resource
from tiffin.services.network import groups, work
from tiffin.services.network import tables as t
from tiffin.services.network.resources import security_group, security_group_rule
from tiffin.services.network.resources.security_group import GroupOut
from tiffin.services.network.resources.security_group_rule import RuleOut
from tiffin.services.network.standard import seen_rows


def _operation(resource: Resource, method: str, path: str = "") -> Operation:
    (found,) = [o for o in resource.operations if (o.method, o.path) == (method, resource.path + path)]
    return found


def _do(call: Call, operation: Operation, **arguments: Any) -> Any:
    """Do one operation of this service as part of another service's request."""
    inner = call.within("network")
    if operation.about is not None:
        inner.subject = operation.about(inner, **arguments)
    if operation.policy is not None:
        inner.enforce(operation.policy[0], inner.subject)
    return operation.do(inner, **arguments)


def security_groups(call: Call, project_id: str | None = None, ids: Collection[str] | None = None) -> list[GroupOut]:
    """The groups that the actor may know of, in the order of their names: all, those of a project, or those with these
    ids. The actor's default group comes to be, unless `ids` are asked for."""
    inner = call.within("network")
    if ids is None and call.actor.project_id:
        groups.default_group(work.of(inner), call.actor.project_id)
    query = seen_rows(security_group.KIND, inner).order_by(t.SecurityGroupRow.name, t.SecurityGroupRow.id)
    if project_id is not None:
        query = query.where(t.SecurityGroupRow.project_id == project_id)
    if ids is not None:
        query = query.where(t.SecurityGroupRow.id.in_(ids))
    return [security_group.out(row) for row in call.db.execute(query)]


def security_group_of(call: Call, id: str) -> GroupOut:
    """Raises `NotFound`."""
    return security_group.out(_do(call, _operation(security_group.resource, "GET", "/{id}"), id=id))


def create_security_group(call: Call, name: str, description: str) -> GroupOut:
    """Raises `OverQuota`, `Conflict` for the name of the default group."""
    operation = _operation(security_group.resource, "POST")
    assert operation.body is not None
    item = security_group.GroupIn(name=name, description=description)
    return security_group.out(_do(call, operation, body=operation.body(security_group=item)))


def update_security_group(call: Call, id: str, name: str, description: str) -> GroupOut:
    """Raises `NotFound`, `Conflict` for the default group."""
    body = security_group.GroupUpdate(name=name, description=description)
    return security_group.out(_do(call, _operation(security_group.resource, "PUT", "/{id}"), id=id, body=body))


def delete_security_group(call: Call, id: str) -> None:
    """Raises `NotFound`, `Conflict` for one in use and for the default group."""
    _do(call, _operation(security_group.resource, "DELETE", "/{id}"), id=id)


def create_security_group_rule(call: Call, **fields: Any) -> RuleOut:
    """`fields` are those of `RuleIn`. Raises `OverQuota`, `NotFound`, `BadRequest`, `Conflict` for a duplicate."""
    operation = _operation(security_group_rule.resource, "POST")
    assert operation.body is not None
    item = security_group_rule.RuleIn(**fields)
    body = operation.body(security_group_rule=item)
    return security_group_rule.out(_do(call, operation, body=body))


def delete_security_group_rule(call: Call, id: str) -> None:
    """Raises `NotFound`."""
    _do(call, _operation(security_group_rule.resource, "DELETE", "/{id}"), id=id)
