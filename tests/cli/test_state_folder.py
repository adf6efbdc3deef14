"""The state folder is closed to others, and its secrets are made once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import yaml

from tiffin.core.settings import Settings
from tiffin.core.state_folder import StateFolder


def test_nobody_else_may_look_inside(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.create()
    folder.create()
    folder.secrets()
    folder.write_clouds_yaml(Settings(home=folder.root))
    assert folder.root.stat().st_mode & 0o777 == 0o700
    for file in (folder.secrets_file, folder.clouds_yaml):
        assert file.stat().st_mode & 0o777 == 0o600


def test_secrets_are_made_once_even_by_many_at_once(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.create()
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: folder.secrets(), range(32)))
    assert len({(one.admin_password, one.demo_password, one.metadata_secret) for one in made}) == 1
    first = made[0]
    assert len({first.admin_password, first.demo_password, first.metadata_secret}) == 3
    assert sorted(path.name for path in folder.root.glob("secrets*")) == ["secrets.json"]


def test_secrets_do_not_show_in_logs(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.create()
    assert folder.secrets().admin_password not in f"{folder.secrets()!r} {folder.secrets()}"


def test_clouds_yaml_has_both_projects(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path / "home")
    folder.create()
    folder.write_clouds_yaml(Settings(home=folder.root, listen="127.0.0.1:81", region="two"))
    clouds = yaml.safe_load(folder.clouds_yaml.read_text())["clouds"]
    secrets = folder.secrets()
    assert clouds["tiffin"] == {
        "auth": {
            "auth_url": "http://127.0.0.1:81/identity/v3",
            "username": "admin",
            "password": secrets.admin_password,
            "project_name": "admin",
            "user_domain_id": "default",
            "project_domain_id": "default",
        },
        "region_name": "two",
        "identity_api_version": "3",
    }
    assert clouds["tiffin-demo"]["auth"]["project_name"] == "demo"
    assert clouds["tiffin-demo"]["auth"]["password"] == secrets.demo_password
