"""Agents: the chassis, as who runs the networks knows them."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from api.network.conftest import NetworkCloud
from tiffin.host.door import Keys
from tiffin.host.exports import networks_at
from tiffin.services.network.drivers.base import NetworkBackend


def test_each_chassis_is_an_agent(cloud: NetworkCloud) -> None:
    (agent,) = cloud.call("GET", "agents", "admin").json["agents"]
    assert (agent["host"], agent["alive"], agent["agent_type"]) == ("host1", True, "OVN Controller agent")
    assert cloud.call("GET", f"agents/{agent['id']}", "admin").json["agent"]["host"] == "host1"
    assert cloud.call("GET", "agents?host=host2", "admin").json["agents"] == []
    assert cloud.fault("GET", "agents/absent", "admin")[0] == 404


@pytest.mark.parametrize("token", ["member", "reader", "other"])
def test_users_see_none(cloud: NetworkCloud, token: str) -> None:
    (agent,) = cloud.call("GET", "agents", "admin").json["agents"]
    assert cloud.call("GET", "agents", token).json["agents"] == []
    assert cloud.fault("GET", f"agents/{agent['id']}", token)[0] in (403, 404)


def test_while_the_controller_is_away_that_runs_the_networks(cloud: NetworkCloud, tmp_path: Path) -> None:
    keys = Keys(tmp_path)
    keys.ensure(time.time())
    cloud.cloud.add(NetworkBackend, networks_at(keys, "127.0.0.1:1"))  # type: ignore[type-abstract]
    for path in ("agents", "agents/some"):
        reply = cloud.call("GET", path, "admin")
        assert reply.status == 503
        assert "controller does not answer" in str(reply.json)
