"""What lies where in a cloud's state folder, and the secrets that are made once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import msgspec

from tiffin.core.settings import Settings


class Secrets(msgspec.Struct, frozen=True):
    """Made once, at random, and kept in HOME/secrets.json (0600)."""

    admin_password: str
    demo_password: str
    metadata_secret: str

    def __repr__(self) -> str:
        return "Secrets(...)"  # so that no log and no traceback shows them


class StateFolder(msgspec.Struct, frozen=True):
    """The paths of one cloud. Nothing is made by naming it; `create` makes the folders."""

    root: Path

    @property
    def settings_file(self) -> Path:
        return self.root / "tiffin.toml"

    @property
    def secrets_file(self) -> Path:
        return self.root / "secrets.json"

    @property
    def clouds_yaml(self) -> Path:
        return self.root / "clouds.yaml"

    @property
    def database(self) -> Path:
        return self.root / "tiffin.db"

    @property
    def keys(self) -> Path:
        return self.root / "keys"

    @property
    def run(self) -> Path:
        return self.root / "run"

    @property
    def server_pid(self) -> Path:
        return self.run / "server.pid"

    @property
    def agent_file(self) -> Path:
        """What a host knows of the cloud that it has joined."""
        return self.root / "agent.json"

    @property
    def agent_pid(self) -> Path:
        return self.run / "agent.pid"

    @property
    def log(self) -> Path:
        return self.root / "log" / "tiffin.log"

    @property
    def images(self) -> Path:
        """The bytes of the image service's images."""
        return self.root / "images"

    @property
    def image_sources(self) -> Path:
        """Guest images that were built on this machine, for the first start to register."""
        return self.root / "images-src"

    @property
    def cache(self) -> Path:
        """What can be fetched again: Debian packages for guest images."""
        return self.root / "cache"

    @property
    def host(self) -> Path:
        """The hypervisor host's own state: guests, cached images."""
        return self.root / "host"

    @property
    def ovn(self) -> Path:
        return self.root / "ovn"

    @property
    def folders(self) -> tuple[Path, ...]:
        """Those that every cloud has."""
        return (self.keys, self.run, self.log.parent, self.images, self.image_sources, self.host)

    def create(self) -> None:
        """Make the folders, closed to other users. May be repeated."""
        self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.root.chmod(0o700)
        for folder in self.folders:
            folder.mkdir(mode=0o700, exist_ok=True)

    def secrets(self) -> Secrets:
        """The secrets, made at the first call. Two first calls at once end with the same ones."""
        if not self.secrets_file.exists():
            from secrets import token_hex

            made = Secrets(*(token_hex(16) for _ in Secrets.__struct_fields__))
            new = self.secrets_file.with_name(f"secrets.json.{token_hex(8)}")
            _write_private(new, msgspec.json.format(msgspec.json.encode(made)))
            try:
                os.link(new, self.secrets_file)  # fails where another was faster, unlike a rename
            except FileExistsError:
                pass  # the other's secrets hold
            finally:
                new.unlink()
        return msgspec.json.decode(self.secrets_file.read_bytes(), type=Secrets)

    def write_clouds_yaml(self, settings: Settings) -> None:
        """Have clouds.yaml with `tiffin` (admin) and `tiffin-demo` (demo), for every OpenStack client."""
        entries = {
            entry: {
                "auth": {name.removeprefix("OS_").lower(): value for name, value in variables.items()},
                "region_name": settings.region,
                "identity_api_version": "3",
            }
            for entry, project in (("tiffin", "admin"), ("tiffin-demo", "demo"))
            if (variables := auth_variables(settings, self.secrets(), project))
        }
        # Every JSON document is a YAML document, so that no YAML library is needed to write one.
        text = msgspec.json.format(msgspec.json.encode({"clouds": entries}))
        new = self.clouds_yaml.with_name(f"clouds.yaml.{os.getpid()}")
        _write_private(new, text + b"\n")
        new.replace(self.clouds_yaml)


def auth_variables(settings: Settings, secrets: Secrets, project: str) -> Mapping[str, str]:
    """The `OS_...` variables (keystoneauth's names) with which `admin` or `demo` logs in. KeyError for any other."""
    passwords = {"admin": secrets.admin_password, "demo": secrets.demo_password}
    return {
        "OS_AUTH_URL": f"{settings.url}/identity/v3",
        "OS_USERNAME": project,
        "OS_PASSWORD": passwords[project],
        "OS_PROJECT_NAME": project,
        "OS_USER_DOMAIN_ID": "default",
        "OS_PROJECT_DOMAIN_ID": "default",
    }


def _write_private(path: Path, content: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with open(descriptor, "wb") as file:
        file.write(content)
