"""What every service, resource and lifecycle owes the house."""

from __future__ import annotations

import contextlib
import re
import typing as t
from pathlib import Path
from types import CodeType, ModuleType

import msgspec
import pytest

from support import TestCloud
from tiffin.core.errors import BadRequest
from tiffin.core.lifecycle import steps
from tiffin.core.resource import Operation
from tiffin.core.schema import Schema, decode, epochs, json_schema
from tiffin.core.tables import Table
from tiffin.main import SERVICES

GOLDEN = Path(__file__).with_name("steps.golden")
SECRET_WORDS = ("password", "secret", "private_key", "blob", "admin_pass", "user_data")


@pytest.fixture(scope="module")
def cloud() -> t.Iterator[TestCloud]:
    made = TestCloud(SERVICES)
    yield made
    made.close()


def operations(cloud: TestCloud) -> list[Operation]:
    return [o for s in cloud.cloud.services() for o in s.operations()]


def test_steps_are_data_that_outlives_a_release(cloud: TestCloud) -> None:
    now = {f"{k.kind} {name}" for s in cloud.cloud.services() for k in s.lifecycles for name in steps(k)}
    known = set(GOLDEN.read_text().split("\n")) - {""}
    assert known <= now, f"steps that rows may still name are gone: {sorted(known - now)}; keep an alias"
    assert now <= known, f"add to {GOLDEN.name}: {sorted(now - known)}"


def test_lifecycles_have_their_three_ways(cloud: TestCloud) -> None:
    for service in cloud.cloud.services():
        for kind in service.lifecycles:
            own = steps(kind)
            assert own.get("start")
            assert own.get("failed") == "inside", kind.kind
            assert own.get("teardown") == "outside", kind.kind
            assert set(kind.requests.values()) <= set(own), kind.kind


def test_mutations_are_guarded(cloud: TestCloud) -> None:
    for operation in operations(cloud):
        if operation.auth and operation.method not in ("GET", "HEAD"):
            assert operation.policy or operation.transaction == "none", f"{operation.name} has no policy"


READ_BY_POST = (
    "POST /v2.1/servers/{id}/action os-getConsoleOutput",
    *("POST /v3/ec2tokens", "POST /v3/s3tokens"),  # they check a signature
    *(f"{method} /v3/OS-OAUTH2/token" for method in ("POST", "PUT", "PATCH", "DELETE")),  # nothing is enabled there
)
DONE_BY_NETWORK = "/v2.1/os-security-group"  # by the network service's own operations, which record it


def test_mutations_are_recorded(cloud: TestCloud) -> None:
    """`TestCloud.ask` checks the same of every request that a test sends; here no operation is forgotten."""
    for operation in operations(cloud):
        if operation.method in ("GET", "HEAD") or operation.name in READ_BY_POST:
            continue
        if operation.path.startswith(DONE_BY_NETWORK) or operation.do.__annotations__.get("return") == "NoReturn":
            continue  # what always refuses changes nothing
        assert operation.event or _records(operation.do, set()), f"{operation.name} writes no change"


def _records(function: t.Any, seen: set[t.Any]) -> bool:
    """Whether a function of ours, or one that it names, appends to the change log."""
    code, scope = getattr(function, "__code__", None), getattr(function, "__globals__", {})
    if code is None or function in seen or not function.__module__.startswith("tiffin."):
        return False
    seen.add(function)
    names = _names(code)
    if "record" in names:
        return True
    named = [scope[name] for name in names if name in scope]
    named += [getattr(m, n) for m in named if isinstance(m, ModuleType) for n in names if hasattr(m, n)]
    named += [cell.cell_contents for cell in function.__closure__ or ()]
    return any(_records(one, seen) for one in named)


def _names(code: CodeType) -> set[str]:
    """What a function names, its comprehensions and inner functions too."""
    inner = [_names(one) for one in code.co_consts if isinstance(one, CodeType)]
    return set(code.co_names).union(*inner)


def test_no_body_is_read_within_a_transaction(cloud: TestCloud) -> None:
    """A client may send its body slowly; and an Idempotency-Key must know the body of what it repeats."""
    for operation in operations(cloud):
        assert not operation.raw or operation.session == "none", operation.name


def test_every_body_can_be_read_at_every_version(cloud: TestCloud) -> None:
    for operation in operations(cloud):
        for version in epochs(operation.body) if operation.body is not None else ():
            assert json_schema(operation.body, version), operation.name
            with contextlib.suppress(BadRequest):
                decode(operation.body, "", b"{}", version)


def test_every_policy_loads(cloud: TestCloud) -> None:
    from support import PERSONAS

    for service in cloud.cloud.services():
        policy = cloud.cloud.policy(service.type)
        for rule in policy.defaults:
            policy.allows(rule, PERSONAS["nobody"], {"project_id": "x", "user_id": "x", "tenant_id": "x"})


def unbounded(schema: type[Schema], seen: set[type]) -> t.Iterator[str]:
    """The fields of a request through which a client could send a number or a text without end."""
    if schema in seen:
        return
    seen.add(schema)
    hints = t.get_type_hints(schema, include_extras=True)
    for field in msgspec.structs.fields(schema):
        for problem in _loose(hints[field.name], seen):
            yield f"{schema.__name__}.{field.name}: {problem}"


def _loose(hint: t.Any, seen: set[type], metas: tuple[t.Any, ...] = ()) -> t.Iterator[str]:
    if hint is int or hint is float:
        if not any(isinstance(m, msgspec.Meta) and _bounded(m) for m in metas):
            yield "a number without ge and le"
    elif hint is str:
        if not any(isinstance(m, msgspec.Meta) and _ends(m) for m in metas):
            yield "a text without max_length"
    elif isinstance(hint, type) and not t.get_args(hint) and issubclass(hint, Schema):
        yield from unbounded(hint, seen)
    elif t.get_origin(hint) is t.Annotated:
        inner, *more = t.get_args(hint)
        yield from _loose(inner, seen, (*metas, *more))
    elif t.get_origin(hint) is not t.Literal:
        scalars = t.get_origin(hint) not in (list, dict, tuple, set)
        for arg in t.get_args(hint):
            yield from _loose(arg, seen, metas if scalars else ())


def _ends(meta: msgspec.Meta) -> bool:
    """Whether a text has a longest: said so, or by a pattern in which nothing repeats without end."""
    if meta.max_length is not None:
        return True
    endless = re.compile(r"(?<!\\)[*+]|\{\d+,\}")
    return meta.pattern is not None and meta.pattern.endswith(r"\Z") and not endless.search(meta.pattern)


def _bounded(meta: msgspec.Meta) -> bool:
    return (meta.ge is not None or meta.gt is not None) and (meta.le is not None or meta.lt is not None)


def test_requests_are_bounded(cloud: TestCloud) -> None:
    seen: set[type] = set()
    problems = [p for o in operations(cloud) if o.body for p in _loose(o.body, seen)]
    assert not problems, "\n".join(problems)


def test_secrets_stay_out_of_the_change_log(cloud: TestCloud) -> None:
    for mapper in Table.registry.mappers:
        for attribute in mapper.column_attrs:
            column = attribute.columns[0]
            if any(word in column.name for word in SECRET_WORDS) and not column.name.endswith(
                ("_at", "_expires", "_id")
            ):
                assert "secret" in column.info, (
                    f"{mapper.class_.__name__}.{column.name}: info=SECRET, or {{'secret': False}}"
                )
