"""Who may do what: upstream's rule names and defaults, evaluated by oslo.policy, overridable by an operator's policy.yaml."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import structlog

from tiffin.core import policy_file
from tiffin.core.actor import Actor
from tiffin.core.errors import Forbidden
from tiffin.core.policy_file import parse

log = structlog.get_logger("policy")

Rule = tuple[str, str]
"""A rule's name and its default check string."""
Scopes = Callable[[str], tuple[str, ...] | None]
"""Which kinds of scope a rule is for, by its name; None: any."""
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


def _nobody(target: Mapping[str, Any], creds: dict[str, Any]) -> bool:
    return False


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

    def __init__(
        self, service: str, rules: Iterable[Rule], file: Path | None = None, scopes: Scopes | None = None
    ) -> None:
        self.service, self.file = service, file
        self.asked: frozenset[str] = frozenset()
        """Rules of the operator's own that something asks for."""
        self.defaults: dict[str, str] = {}
        for name, check in rules:
            known = self.defaults.setdefault(name, check)
            if known != check:
                raise ValueError(f"{service}: rule {name} has two defaults: {known!r} and {check!r}")
        self._scopes = {name: scopes(name) for name in self.defaults} if scopes else {}
        self._rules: dict[str, Holds] | None = None
        self._others: frozenset[str] = frozenset()  # the rules that are not as they came
        self._stamp: float | None = None
        self._looked = 0.0
        self._lock = threading.Lock()

    def _load(self) -> dict[str, Holds]:
        from oslo_config import cfg
        from oslo_policy import policy

        conf = cfg.ConfigOpts()
        conf([], project="tiffin", default_config_files=[], default_config_dirs=[])
        enforcer = policy.Enforcer(conf, policy_file=str(self.file) if self.file else None, use_conf=False)
        rules = {name: parse(check) for name, check in self.defaults.items()}
        others: dict[str, Any] = {}
        if self.file and self._stamp is not None:
            text = self.file.read_text()
            others = policy_file.read(text)
            rules = policy_file.merge(rules, others)
            for problem in policy_file.problems(self.defaults, text, self.asked):
                log.warning("policy.problem", service=self.service, file=str(self.file), what=problem)
        enforcer.set_rules(policy.Rules(rules), overwrite=True, use_conf=False)
        found = _functions(enforcer)
        self._others = frozenset(others)
        return found

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

    def defines(self, name: str) -> bool:
        """Whether there is such a rule, of ours or in the operator's file."""
        return name in self._current()

    def stand(self, *names: str) -> bool:
        """Whether an operator's file leaves these rules alone, and those that they refer to."""
        self._current()
        return not any(self._differs(name) for name in names)

    def _differs(self, name: str) -> bool:
        if name in self._others:
            return True
        return bool(self._others) and any(self._differs(n) for n in policy_file.references(parse(self.defaults[name])))

    def allows(self, name: str, actor: Actor, target: Mapping[str, Any]) -> bool:
        """Whether the rule holds for this actor and target. An unknown rule is a defect of ours and raises KeyError.
        A rule that is not for tokens of this scope holds for none of them, whatever an operator's file says of it."""
        scopes = self._scopes.get(name)
        if scopes is not None and actor.scope not in scopes:
            return False
        return self._current()[name](target, actor.credentials())

    def enforce(self, name: str, actor: Actor, target: Mapping[str, Any]) -> None:
        """Raises `Forbidden` that names the rule."""
        if not self.allows(name, actor, target):
            raise Forbidden(f"Policy doesn't allow {name} to be performed.", rule=name)
