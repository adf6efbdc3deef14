"""Where oslo.policy's own tools find our rules: the entry points `tiffin-SERVICE` of this package, once it is installed.

    oslopolicy-sample-generator --namespace tiffin-identity
    TIFFIN_HOME=... oslopolicy-validator --namespace tiffin-identity
"""

from __future__ import annotations

import functools
from types import SimpleNamespace
from typing import Any

from tiffin.cli.cloud import home_of
from tiffin.cli.policy import service as named
from tiffin.cli.status import SERVICES
from tiffin.core import policy_file


def _rules(service: str) -> list[Any]:
    return policy_file.documented(named(service))


def _enforcer(service: str) -> Any:
    """With the file in the state folder that TIFFIN_HOME names, unless oslo's own configuration names another."""
    from oslo_config import cfg
    from oslo_policy import opts, policy

    opts.set_defaults(cfg.CONF, policy_file=str(home_of(None) / "policy" / f"{service}.yaml"))
    enforcer = policy.Enforcer(cfg.CONF)
    enforcer.register_defaults(_rules(service))
    return enforcer


rules = SimpleNamespace(**{service: functools.partial(_rules, service) for service in SERVICES})
enforcers = SimpleNamespace(**{service: functools.partial(_enforcer, service) for service in SERVICES})
