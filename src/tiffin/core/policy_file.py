"""An operator's policy file: the sample that shows what can be said, and what is wrong with one that was written."""

from __future__ import annotations

import functools
import re
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tiffin.core.resource import Operation
    from tiffin.core.service import Service


class PolicyFileError(Exception):
    """A file that cannot be used at all. The message is one sentence for the operator."""


# --- the language -------------------------------------------------------------------------------------------------------


@functools.cache
def _field_check() -> Any:
    """The check `field:<collection>:<attribute>=<value>` that network's rules add to oslo.policy's language: an attribute of
    the target has this value, or fits this regular expression when it begins with `~`."""
    from oslo_policy import _checks

    class FieldCheck(_checks.Check):
        def __init__(self, kind: str, match: str) -> None:
            super().__init__(kind, match)
            _, _, field_value = match.partition(":")
            self.field, _, wanted = field_value.rpartition("=")
            self.pattern = re.compile(wanted[1:]) if wanted.startswith("~") else None
            self.wanted: Any = {"True": True, "False": False}.get(wanted, wanted)

        def __call__(self, target: Mapping[str, Any], creds: Any, enforcer: Any, current_rule: Any = None) -> bool:
            value = target.get(self.field)
            if value is None:
                return False
            return bool(self.pattern.match(str(value))) if self.pattern else bool(value == self.wanted)

    return FieldCheck


@functools.cache
def parse(check: str) -> Any:
    """An expression as oslo.policy's tree; of one with a mistake, the tree that allows nobody. Many rules say the same."""
    from oslo_policy import _parser, policy

    policy.register("field", _field_check())
    return _parser.parse_rule(check)


def _parse_any(check: str | list[Any]) -> Any:
    from oslo_policy import _parser

    return parse(check) if isinstance(check, str) else _parser.parse_rule(check)  # the language's old form: nested lists


def references(check: Any) -> Iterator[str]:
    """The names of the rules that a parsed expression refers to."""
    from oslo_policy import _checks

    match check:
        case _checks.RuleCheck(match=name):
            yield name
        case _checks.AndCheck() | _checks.OrCheck():
            for part in check.rules:
                yield from references(part)
        case _checks.NotCheck():
            yield from references(check.rule)


# --- what can be said ---------------------------------------------------------------------------------------------------


def documented(service: Service) -> list[Any]:
    """Every rule of a service with the operations that ask for it, as oslo.policy and its tools want them."""
    from oslo_policy import policy

    asked: dict[str, list[Operation]] = {}
    for operation in service.operations():
        if operation.policy is not None:
            asked.setdefault(operation.policy[0], []).append(operation)
    found: list[Any] = []
    for name, check in dict(service.all_rules()).items():
        own = service.scopes(name) if service.scopes else None
        scopes = list(own) if own else None
        if name in asked:
            purpose, calls = _purpose(asked[name]), _calls(service, asked[name])
            found.append(policy.DocumentedRuleDefault(name, check, purpose, calls, scope_types=scopes))
        else:
            purpose = "For other rules to refer to." if name in dict(service.rules) else "Asked in passing."
            found.append(policy.RuleDefault(name, check, purpose, scope_types=scopes))
    return found


def _purpose(operations: list[Operation]) -> str:
    known = {f"{o.resource.plural}: {o.do.__name__.strip('_').replace('_', ' ')}" for o in operations}
    return "; ".join(sorted(known)).capitalize() + "."


def _calls(service: Service, operations: list[Operation]) -> list[Any]:
    calls: list[Any] = []
    own = {(o.method, o.path) for o in service.operations()}
    for operation in operations:
        path = operation.path + (f" ({operation.action})" if operation.action else "")
        calls.append({"method": operation.method, "path": path})
        if operation.method == "GET" and service.dialect.head_follows_get and ("HEAD", operation.path) not in own:
            calls.append({"method": "HEAD", "path": path})
    return calls


def sample(service: Service) -> str:
    """A policy file in which every rule stands, commented out, with its default, as oslo.policy's own generator writes it."""
    from oslo_policy import generator

    title = (
        f"# The rules of {service.type} with their defaults. What is to be different goes, without its #, into\n"
        f"# HOME/policy/{service.type}.yaml.\n\n"
    )
    return title + "".join(generator._sort_and_format_by_section({service.type: documented(service)}))


# --- what is wrong ------------------------------------------------------------------------------------------------------


def read(text: str) -> dict[str, Any]:
    """The rules of a file: name -> expression. Raises `PolicyFileError`."""
    from oslo_policy import policy

    try:
        found = policy.parse_file_contents(text)
    except ValueError as error:
        raise PolicyFileError(f"It is not YAML: {error}") from None
    if not isinstance(found, dict):
        raise PolicyFileError('It must be lines of `"RULE": "EXPRESSION"`.')
    for name, check in found.items():
        # a bare `"name":` would allow everybody, by the rules of oslo.policy
        if not isinstance(name, str) or not isinstance(check, str | list):
            raise PolicyFileError(f'The rule {name!r} needs an expression in quotes; "!" is nobody, "@" everybody.')
    return found


def merge(defaults: Mapping[str, Any], overrides: Mapping[str, Any]) -> dict[str, Any]:
    """The rules that hold, parsed. Raises `PolicyFileError` for rules that need each other to be decided."""
    rules = {**defaults, **{name: _parse_any(check) for name, check in overrides.items()}}
    done: set[str] = set()
    for name in overrides:
        if circle := _circle(rules, name, (), done):
            raise PolicyFileError(f"These rules refer to each other in a circle: {' > '.join(circle)}.")
    return rules


def _circle(rules: Mapping[str, Any], name: str, way: tuple[str, ...], done: set[str]) -> tuple[str, ...]:
    if name in way:
        return (*way[way.index(name) :], name)
    if name not in rules or name in done:
        return ()
    for other in references(rules[name]):
        if circle := _circle(rules, other, (*way, name), done):
            return circle
    done.add(name)
    return ()


def problems(defaults: Mapping[str, str], text: str, asked: Collection[str] = ()) -> list[str]:
    """What an operator should know of a file, a sentence each; nothing when all of it does what it says. `asked`: rules of
    the operator's own that something asks for. Raises `PolicyFileError` for what would not be used at all."""
    from oslo_policy import _checks

    overrides = read(text)
    rules = merge({name: parse(check) for name, check in defaults.items()}, overrides)
    used = {other for name in overrides for other in references(rules[name])}
    found = []
    for name, check in overrides.items():
        if name not in defaults and name not in used and name not in asked:
            found.append(f"{name}: there is no such rule; nothing asks for it.")
        if isinstance(rules[name], _checks.FalseCheck) and str(check).strip() != "!":
            found.append(f"{name}: the expression {check!r} has a mistake; it allows nobody.")
        found += [f"{name}: it refers to a rule {other} that does not exist." for other in references(rules[name])
                  if other not in rules]  # fmt: skip
        if defaults.get(name) == check:
            found.append(f"{name}: this is the default; the line may go.")
    return found
