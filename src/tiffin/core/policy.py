"""Who may do what: upstream's rule names and defaults, evaluated by oslo.policy, overridable by an operator's policy.yaml."""

from __future__ import annotations

import functools
import re
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from tiffin.core.actor import Actor
from tiffin.core.errors import Forbidden

log = structlog.get_logger("policy")

Rule = tuple[str, str]
"""A rule's name and its default check string."""
Holds = Callable[[Mapping[str, Any], dict[str, Any]], bool]
"""Whether a check holds for a target and an actor's credentials."""


class Target(dict[str, Any]):
    """Whose thing a request is about: the attributes of a row, under the names that rules use."""

    rule: str | None = None
    """What is asked instead of the operation's own rule, where upstream has another rule for some things."""

    def __init__(self, row: Any = None, **more: Any) -> None:
        super().__init__(more)
        self.row = row

    def __missing__(self, name: str) -> Any:
        wanted = "project_id" if name in ("tenant_id", "tenant") else name
        try:
            value = getattr(self.row, wanted)
        except AttributeError:
            raise KeyError(name) from None
        return value

    def __contains__(self, name: object) -> bool:
        try:
            self[str(name)]
        except KeyError:
            return False
        return True

    def get(self, name: str, default: Any = None) -> Any:
        try:
            return self[name]
        except KeyError:
            return default


def _field_check() -> Any:
    """The check `field:<collection>:<attribute>=<value>` of oslo.policy's language: an attribute of the target has this
    value, or fits this regular expression when it begins with `~`."""
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


def _nobody(target: Mapping[str, Any], creds: dict[str, Any]) -> bool:
    return False


@functools.cache
def _parsed(check: str) -> Any:
    """A default check string as oslo.policy's tree. Many rules say the same."""
    from oslo_policy import policy

    return policy.RuleDefault("default", check).check


def _functions(enforcer: Any) -> dict[str, Holds]:
    """The enforcer's rules as plain functions. oslo.policy parses them, and its leaves judge; but its own walk over `and`,
    `or` and `rule:` inspects the signature of each check at each call, which costs more than all checks together."""
    from oslo_policy import _checks

    rules: dict[str, Holds] = {}

    def function(check: Any) -> Holds:
        match check:
            case _checks.AndCheck():
                every = [function(part) for part in check.rules]
                return lambda target, creds: all(part(target, creds) for part in every)
            case _checks.OrCheck():
                some = [function(part) for part in check.rules]
                return lambda target, creds: any(part(target, creds) for part in some)
            case _checks.NotCheck():
                inner = function(check.rule)
                return lambda target, creds: not inner(target, creds)
            case _checks.RuleCheck(match=name):
                return lambda target, creds: name in rules and rules[name](target, creds)
        return lambda target, creds: bool(check(target, creds, enforcer))

    rules.update((name, function(check)) for name, check in enforcer.rules.items())
    return rules


class Policy:
    """The rules of one service. oslo.policy is imported when the first rule is asked for."""

    def __init__(self, service: str, rules: Iterable[Rule], file: Path | None = None) -> None:
        self.service, self.file = service, file
        self.defaults: dict[str, str] = {}
        for name, check in rules:
            known = self.defaults.setdefault(name, check)
            if known != check:
                raise ValueError(f"{service}: rule {name} has two defaults: {known!r} and {check!r}")
        self._rules: dict[str, Holds] | None = None
        self._stamp: float | None = None
        self._looked = 0.0
        self._lock = threading.Lock()

    def _load(self) -> dict[str, Holds]:
        from oslo_config import cfg
        from oslo_policy import policy

        policy.register("field", _field_check())
        conf = cfg.ConfigOpts()
        conf([], project="tiffin", default_config_files=[], default_config_dirs=[])
        enforcer = policy.Enforcer(conf, policy_file=str(self.file) if self.file else None, use_conf=False)
        overrides = dict(policy.Rules.load(self.file.read_text())) if self.file and self._stamp is not None else {}
        for name in sorted(overrides.keys() - self.defaults.keys()):
            log.warning("policy.unknown_rule", service=self.service, rule=name)
        rules = {name: _parsed(check) for name, check in self.defaults.items()}
        enforcer.set_rules(policy.Rules({**rules, **overrides}), overwrite=True, use_conf=False)
        return _functions(enforcer)

    def look_again(self) -> None:
        """Have the next question look whether the file has changed, without waiting for a second to pass."""
        self._looked = -1.0

    def _reload(self) -> dict[str, Holds]:
        """The rules anew. A file that cannot be read changes nothing: the last good rules hold. Where there are none yet,
        all is refused: the defaults may allow what the operator meant to forbid."""
        try:
            return self._load()
        except Exception as wrong:  # whatever YAML, oslo.policy and the disk may say of an operator's file
            log.error("policy.unreadable", service=self.service, file=str(self.file), why=str(wrong))
            return self._rules or dict.fromkeys(self.defaults, _nobody)

    def _current(self) -> dict[str, Holds]:
        now = time.monotonic()
        if self._rules is not None and now - self._looked < 1.0:
            return self._rules
        with self._lock:
            stamp = self.file.stat().st_mtime if self.file and self.file.exists() else None
            if self._rules is None or stamp != self._stamp:
                self._stamp = stamp
                self._rules = self._reload()
            self._looked = now
            return self._rules

    def allows(self, name: str, actor: Actor, target: Mapping[str, Any]) -> bool:
        """Whether the rule holds for this actor and target. An unknown rule is a defect of ours and raises KeyError."""
        return self._current()[name](target, actor.credentials())

    def enforce(self, name: str, actor: Actor, target: Mapping[str, Any]) -> None:
        """Raises `Forbidden` that names the rule."""
        if not self.allows(name, actor, target):
            raise Forbidden(f"Policy doesn't allow {name} to be performed.", rule=name)
