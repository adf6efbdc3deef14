"""`tiffin policy`, and oslo.policy's own tools on our rules."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import sysconfig
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from api.identity.conftest import IdentityCloud
from running_cloud import REPOSITORY
from tiffin.cli.main import main
from tiffin.cli.policy import service
from tiffin.cli.status import SERVICES
from tiffin.core.policy import Policy, Target

OVERRIDES = """
"identity:list_regions": "role:auditor"
"identity:get_region": "rule:identity:list_regions"
"identity:create_region": "!"
"""
Tool = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[IdentityCloud]:
    made = IdentityCloud(tmp_path / "keys")
    yield made
    made.close()


@pytest.fixture
def tool(tmp_path: Path) -> Tool:
    """One of oslo.policy's commands, with the entry points that this package has once it is installed."""
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    known = tmp_path / "installed" / "tiffin-0.dist-info"
    known.mkdir(parents=True)
    (known / "METADATA").write_text("Metadata-Version: 2.1\nName: tiffin\nVersion: 0\n")
    groups = project["entry-points"].items()
    text = "".join(f"[{group}]\n" + "".join(f"{k} = {v}\n" for k, v in points.items()) for group, points in groups)
    (known / "entry_points.txt").write_text(text)
    path = os.pathsep.join((str(REPOSITORY / "src"), str(known.parent)))
    environment = os.environ | {"PYTHONPATH": path, "TIFFIN_HOME": str(tmp_path)}

    def run(name: str, *words: str) -> subprocess.CompletedProcess[str]:
        script = Path(sysconfig.get_path("scripts")) / f"oslopolicy-{name}"
        command = [sys.executable, str(script), *words]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)

    return run


def write(home: Path, text: str) -> Path:
    file = home / "policy" / "identity.yaml"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    return file


def sample(type: str, capsys: pytest.CaptureFixture[str]) -> str:
    assert main(["policy", "sample", type]) == 0
    return capsys.readouterr().out


def test_oslos_generator_writes_the_same_sample(tool: Tool, capsys: pytest.CaptureFixture[str]) -> None:
    done = tool("sample-generator", "--namespace", "tiffin-identity")
    assert done.returncode == 0, done.stderr
    ours = sample("identity", capsys)
    assert ours.partition("\n\n")[2] == done.stdout
    assert "# HEAD  /v3/users/{id}\n" in ours


@pytest.mark.parametrize("type", SERVICES)
def test_a_sample_holds_every_rule_and_changes_nothing(type: str, capsys: pytest.CaptureFixture[str]) -> None:
    text = sample(type, capsys)
    assert yaml.safe_load(text) is None
    uncommented = "\n".join(line[1:] for line in text.splitlines() if line.startswith('#"'))
    assert yaml.safe_load(uncommented) == dict(service(type).all_rules())


def test_a_good_file(tool: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, OVERRIDES)
    assert main(["policy", "check", "--home", str(tmp_path)]) == 0
    assert "works as it says" in capsys.readouterr().out
    done = tool("validator", "--namespace", "tiffin-identity")
    assert done.returncode == 0, done.stdout + done.stderr
    assert tool("list-redundant", "--namespace", "tiffin-identity").stdout == ""
    effective = yaml.safe_load(tool("policy-generator", "--namespace", "tiffin-identity").stdout)
    assert effective == {**dict(service("identity").all_rules()), **yaml.safe_load(OVERRIDES)}


def test_a_file_with_mistakes(tool: Tool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    same = '"identity:create_region": "rule:admin_required"'
    write(tmp_path, f'"identity:get_regoin": "@"\n"identity:list_regions": "role:a or"\n{same}\n')
    assert main(["policy", "check", "identity", "--home", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "identity:get_regoin: there is no such rule" in out
    assert "identity:list_regions: the expression 'role:a or' has a mistake" in out
    assert "identity:create_region: this is the default" in out
    done = tool("validator", "--namespace", "tiffin-identity")
    assert done.returncode == 1
    assert "Unknown rule found in policy file: identity:get_regoin" in done.stdout
    assert "Failed to parse rule: role:a or" in done.stdout
    assert "identity:create_region" in tool("list-redundant", "--namespace", "tiffin-identity").stdout


def test_a_file_that_is_not_used(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path, '"identity:list_regions": [')
    (tmp_path / "policy" / "keystone.yaml").write_text("")
    assert main(["policy", "check", "--home", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "identity.yaml: it is not used at all. It is not YAML" in out
    assert "keystone.yaml: no service reads it" in out


def test_without_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["policy", "check", "--home", str(tmp_path)]) == 0
    assert "the defaults hold" in capsys.readouterr().out
    assert main(["policy", "sample"]) == 1
    assert "say of which service" in capsys.readouterr().err


def test_the_check_knows_the_file_of_properties(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "policy").mkdir()
    file = tmp_path / "policy" / "properties.conf"
    file.write_text("[.*]\ncreate = @\nread = @\nupdate = @\n")
    assert main(["policy", "check", "--home", str(tmp_path)]) == 1
    assert "no service reads it" in capsys.readouterr().out
    (tmp_path / "tiffin.toml").write_text('[image.property_protection]\nfile = "properties.conf"\n')
    assert main(["policy", "check", "--home", str(tmp_path)]) == 1
    assert "'delete'" in capsys.readouterr().out
    file.write_text(f"{file.read_text()}delete = admin\n")
    assert main(["policy", "check", "--home", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{file}: works as it says.\n"
    file.write_text("[.*]\ncreate = @\nread = @\nupdate = accountant\ndelete = !\n")
    (tmp_path / "policy" / "image.yaml").write_text('"accountant": "role:accountant"\n"clerk": "role:clerk"\n')
    assert main(["policy", "check", "image", "--home", str(tmp_path)]) == 1
    assert "accountant: there is no such rule" in capsys.readouterr().out
    with (tmp_path / "tiffin.toml").open("a") as settings:
        settings.write('rule_format = "policies"\n')
    assert main(["policy", "check", "image", "--home", str(tmp_path)]) == 1
    told = capsys.readouterr().out
    assert ("accountant: " in told, "clerk: there is no such rule" in told) == (False, True)


@pytest.mark.parametrize("role", ["member", "reader", "admin"])
def test_oslos_checker_judges_as_we_do(cloud: IdentityCloud, tool: Tool, tmp_path: Path, role: str) -> None:
    """On a token as this cloud shows it, and on a file that overrides some rules."""
    user_id, project_id, token = cloud.member(f"{role}-user", "p", role)
    shown = cloud.do("GET", "/auth/tokens", token=token, X_Subject_Token=token).json
    access = tmp_path / "access.json"
    access.write_text(json.dumps(shown))
    rules = {**dict(service("identity").all_rules()), **yaml.safe_load(OVERRIDES)}
    file = write(tmp_path, json.dumps(rules))
    done = tool("checker", "--policy", str(file), "--access", str(access))
    assert done.returncode == 0, done.stderr
    theirs = {line.removeprefix("passed: ") for line in done.stdout.splitlines() if line.startswith("passed")}
    policy = Policy("identity", service("identity").all_rules(), file)
    with cloud.cloud.database.read() as session:
        actor = cloud.identity.authenticate(session, token)
    target: Any = Target(None, user_id=user_id, project_id=project_id)
    assert theirs == {name for name in rules if ":" in name and policy.allows(name, actor, target)}
    assert ("identity:list_services" in theirs) == (role == "admin")
