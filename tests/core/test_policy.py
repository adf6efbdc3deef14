"""Rules are evaluated as oslo.policy would."""

from __future__ import annotations

import itertools
import os
from pathlib import Path

import msgspec
import pytest
from oslo_config.cfg import ConfigOpts
from oslo_policy.policy import Enforcer, Rules

from support import PERSONAS
from tiffin.core.policy import Policy, Target

RULES = {
    "yes": "@",
    "no": "!",
    "admin": "role:admin",
    "own": "project_id:%(project_id)s",
    "either": "rule:admin or (role:member and rule:own)",
    "neither": "not rule:either",
    "unknown": "rule:missing or role:reader",
    "shared": "field:networks:shared=True",
    "outside": "field:networks:router:external=True",
    "device": "field:port:device_owner=~^network:",
    "nested": "not (rule:shared and rule:own) and (rule:either or rule:device)",
}
TARGETS = [
    Target(None, project_id="p1", shared=True, device_owner="network:dhcp"),
    Target(None, project_id="p2", shared=False, device_owner="compute:nova", **{"router:external": True}),
    Target(None),
]


@pytest.mark.parametrize(("rule", "persona"), list(itertools.product(RULES, ("admin", "member", "reader", "nobody"))))
def test_the_same_answers(rule: str, persona: str) -> None:
    ours, actor = Policy("test", RULES.items()), PERSONAS[persona]
    assert ours.allows("yes", actor, TARGETS[0])  # from here on oslo.policy knows `field:`, too
    theirs = Enforcer(ConfigOpts(), use_conf=False)
    theirs.set_rules(Rules.from_dict(RULES), use_conf=False)
    for target in TARGETS:
        expected = bool(theirs.rules[rule](target, actor.credentials(), theirs))
        assert ours.allows(rule, actor, target) == expected


def test_fields_of_the_target() -> None:
    policy, actor = Policy("test", RULES.items()), PERSONAS["member"]
    found = [[policy.allows(rule, actor, t) for rule in ("shared", "outside", "device")] for t in TARGETS]
    assert found == [[True, False, True], [False, True, False], [False, False, False]]


def test_an_operators_file(tmp_path: Path) -> None:
    file, actor, at = tmp_path / "test.yaml", PERSONAS["member"], itertools.count(1)
    policy = Policy("test", RULES.items(), file)

    def allows(text: str | None, rule: str, policy: Policy = policy) -> bool:
        if text is None:
            file.unlink()
        else:
            file.write_text(text)
            os.utime(file, (0, next(at)))
        policy.look_again()
        return policy.allows(rule, actor, TARGETS[0])

    assert allows("'no': '@'", "no")
    assert not allows("'no': 'role:admin'", "no")
    assert not allows("own: '!'\nmisspelt: '@'", "either")  # other rules that refer to it follow
    assert not allows("own: 'role:('", "own")  # a mistake allows nobody
    for unreadable in ("'no': [", "just text", "- a\n- b", "\x00"):
        assert allows("'no': '@'", "no")
        assert allows(unreadable, "no"), unreadable  # as before
    assert not allows("'no': [", "yes", Policy("test", RULES.items(), file))  # nothing was before: all is refused
    assert not allows(None, "no")
    assert allows("'yes': '@'", "yes")


def test_a_rule_may_be_for_some_scopes_only(tmp_path: Path) -> None:
    scopes: dict[str, tuple[str, ...]] = {"yes": ("system", "project"), "admin": ("project",)}
    file = tmp_path / "test.yaml"
    file.write_text("'yes': 'role:admin'")
    policy = Policy("test", {**RULES, "other": "rule:yes"}.items(), file, scopes.get)
    project = PERSONAS["admin"]
    domain, system = (
        msgspec.structs.replace(project, project_id=None, **{key: value})
        for key, value in (("domain_id", "d"), ("system_scope", "all"))
    )
    found = [[policy.allows(rule, actor, {}) for rule in ("yes", "admin", "other")] for actor in (project, system, domain)]
    assert found == [[True, True, True], [True, False, True], [False, False, True]]
