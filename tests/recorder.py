"""Which calls of a service openstacksdk has, and which of them a test has made."""

from __future__ import annotations

import inspect
from typing import Any

from openstack.proxy import Proxy


def calls(service: type[Proxy]) -> set[str]:
    """The calls of a service's proxy, without those that every proxy has and those that only wait."""
    return {
        name
        for name, _ in inspect.getmembers(service, inspect.isfunction)
        if not name.startswith(("_", "wait_for")) and not hasattr(Proxy, name)
    }


class Recorder:
    """A service of the SDK; it remembers what has been called, and makes things with names of their own."""

    def __init__(self, proxy: Any) -> None:
        self.proxy, self.called = proxy, set[str]()

    def __getattr__(self, name: str) -> Any:
        self.called.add(name)
        return getattr(self.proxy, name)

    def name(self) -> str:
        return f"n{len(self.called)}"
