"""The settings of one cloud: who sets each and why. They live in HOME/tiffin.toml.

A table such as `[image]` there belongs to the service of that type, which says in its `settings.py` what it may hold.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, TypeVar

import msgspec
from msgspec import Meta

T = TypeVar("T")


class SettingsError(Exception):
    """A setting that cannot be meant so. The message is one sentence for the person who wrote it."""


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about a cloud that a person may decide. The descriptions are the comments of tiffin.toml."""

    home: Annotated[
        Path,
        Meta(description="The folder with all state of this cloud. Set by --home; not stored: the folder may move."),
    ]
    listen: Annotated[
        str,
        Meta(
            description="HOST:PORT where the APIs answer. Set by `up --listen`: another port for a second cloud on "
            "the machine, another address to let other machines in (there is no TLS: put a proxy before it)."
        ),
    ] = "127.0.0.1:8000"
    simulated: Annotated[
        bool,
        Meta(
            description="Hypervisors and networks in memory instead of QEMU and OVN. Set by the first `up "
            "--simulated`, by people who test against the APIs; it cannot change later."
        ),
    ] = False
    hosts: Annotated[
        int,
        Meta(
            ge=1,
            le=10_000,
            description="How many simulated hosts there are. Set by `up --hosts`, by people who test scheduling.",
        ),
    ] = 1
    hosts_listen: Annotated[
        str | None,
        Meta(
            description="HOST:PORT where machines that run guests for this cloud are answered, by TLS with certificates "
            "of their own. Set by operators with more than one box, to an address that only those can reach."
        ),
    ] = None
    underlay: Annotated[
        str | None,
        Meta(
            description="INTERFACE=ADDRESS/PREFIX, such as eth1=10.99.0.1/24: the interface, which the cloud takes for its "
            "own, that leads to the other machines, and this one's address there. Guests of different machines meet "
            "through it. Set with hosts_listen; OVN then answers those machines at its address, port 6642."
        ),
    ] = None
    database: Annotated[
        str | None,
        Meta(
            description="An SQLAlchemy URL, when the rows shall live in PostgreSQL. Set by operators who outgrow "
            "the embedded database in the state folder."
        ),
    ] = None
    external: Annotated[
        str,
        Meta(
            description="What the external network is connected to: `isolated` (a network namespace of its own), "
            "`host` (this machine), `host+masquerade` (and through it what this machine reaches) or "
            "`interface:NAME` (the cable behind that interface). Set by operators whose guests shall meet the "
            "outside world."
        ),
    ] = "isolated"
    public_cidr: Annotated[
        str,
        Meta(
            description="The IPv4 subnet of the network `public`; its first address is the gateway. Set by operators "
            "who have a range of their own; read at the first start only."
        ),
    ] = "172.24.4.0/24"
    region: Annotated[
        str,
        Meta(
            pattern=r"^[A-Za-z0-9_.-]{1,255}$",
            description="The name of this cloud in catalogues. Set by operators with several clouds; read at the "
            "first start only.",
        ),
    ] = "RegionOne"
    login_days: Annotated[
        int,
        Meta(
            ge=1,
            le=36_500,
            description="For how many days the change log keeps who logged in, or failed to, when and from where "
            "(`tiffin audit`); never more than the last million. Set by operators whose auditors want longer, or whose "
            "law wants shorter.",
        ),
    ] = 90
    sections: Annotated[
        dict[str, dict[str, Any]],
        Meta(description="The tables of the file, by the type of the service that each belongs to, as they were written."),
    ] = {}

    def section(self, service: str, kind: type[T]) -> T:
        """What the table of a service says, over the defaults of `kind`. Raises `SettingsError`."""
        return section(self.sections, service, kind)

    @property
    def address(self) -> tuple[str, int]:
        """Host (without brackets) and port of `listen`."""
        return parts(self.listen)

    @property
    def url(self) -> str:
        """Where a client on this machine reaches the cloud. A wildcard address is reached by the loopback one."""
        host, port = self.address
        host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # compared with, not bound to
        return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"

    @property
    def tag(self) -> str:
        """What names of namespaces and interfaces of this cloud begin with: eleven characters, by the home's path."""
        import hashlib

        return "tf-" + hashlib.blake2s(os.fsencode(self.home), digest_size=4).hexdigest()


def parts(address: str) -> tuple[str, int]:
    """Host (without brackets) and port of HOST:PORT. Raises ValueError."""
    host, _, port = address.rpartition(":")
    return host.strip("[]"), int(port)


def check(settings: Settings) -> Settings:
    """The same settings. Raises `SettingsError` for what the types alone cannot say."""
    import ipaddress
    import re

    for name, value in (("listen", settings.listen), ("hosts_listen", settings.hosts_listen or settings.listen)):
        if not re.fullmatch(r"(\[[0-9a-fA-F:]+\]|[^:\s\[\]]+):[0-9]{1,5}", value):
            raise SettingsError(f"{name}: {value!r} is not HOST:PORT, as in 127.0.0.1:8000 or [::1]:8000.")
    if not re.fullmatch(r"isolated|host(\+masquerade)?|interface:[A-Za-z0-9_.@-]{1,15}", settings.external):
        raise SettingsError(f"external: {settings.external!r} is not isolated, host, host+masquerade, interface:NAME.")
    if not 0 < settings.address[1] < 65536:
        raise SettingsError(f"listen: {settings.listen} has no port between 1 and 65535.")
    try:
        public = ipaddress.IPv4Network(settings.public_cidr)
    except ValueError as error:
        raise SettingsError(f"public_cidr: {error}; write an IPv4 network such as 172.24.4.0/24.") from None
    if not 8 <= public.prefixlen <= 28:
        raise SettingsError(f"public_cidr: {public} must have a prefix length between 8 and 28.")
    if settings.database is not None and "://" not in settings.database:
        raise SettingsError("database: write a URL such as postgresql://user@host/tiffin.")
    return settings


def section(sections: Mapping[str, Any], service: str, kind: type[T]) -> T:
    """The table of a service as a struct of its `kind`; defaults where it says nothing. Raises `SettingsError`."""
    try:
        _refuse_unknown(sections.get(service, {}), kind, f"[{service}]")
        return msgspec.convert(sections.get(service, {}), kind)
    except msgspec.ValidationError as error:
        raise SettingsError(f"[{service}]: {error}.") from None


def _refuse_unknown(table: Any, kind: Any, where: str) -> None:
    """A misspelt name must not be ignored, in a table or in one within it."""
    if not isinstance(table, dict) or not issubclass(kind, msgspec.Struct):
        return
    known = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for name, value in table.items():
        if name not in known:
            raise SettingsError(f"{where}: there is no setting {name!r}; known: {', '.join(sorted(known))}.")
        if isinstance(value, dict) and isinstance(known[name], type):
            _refuse_unknown(value, known[name], f"{where[:-1]}.{name}]")


def change(settings: Settings, **changes: Any) -> Settings:
    """These settings with some fields replaced. Raises `SettingsError` as `load` does."""
    return _typed({**msgspec.structs.asdict(settings), **changes}, "command line")


def load(home: Path) -> Settings:
    """The settings of the cloud in `home`: its tiffin.toml, or the defaults where there is none yet.

    Raises `SettingsError` for a file that is not TOML, for an unknown name and for a value that cannot be meant.
    """
    home = home.absolute()
    path = home / "tiffin.toml"
    try:
        stored = tomllib.loads(path.read_text())
    except FileNotFoundError:
        stored = {}
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not TOML: {error}.") from None
    if "home" in stored:
        raise SettingsError(f"{path}: `home` is where the file lies; remove that line.")
    tables = {name: value for name, value in stored.items() if isinstance(value, dict)}
    single = {name: value for name, value in stored.items() if name not in tables}
    return _typed({"home": home, **single, "sections": tables}, str(path))


def save(settings: Settings) -> None:
    """Write HOME/tiffin.toml, readable by its owner only (a database URL may hold a password)."""
    import textwrap

    lines = ["# The settings of this cloud. Edit, then `tiffin down` and `tiffin up`."]
    for field in msgspec.structs.fields(Settings):
        if field.name in ("home", "sections"):
            continue
        value = getattr(settings, field.name)
        lines += ["", *(f"# {line}" for line in textwrap.wrap(_description(field.type), 100))]
        lines.append(f"{field.name} = {_toml(value)}" if value is not None else f"# {field.name} = ...")
    for name, table in settings.sections.items():
        lines += _table(name, table)
    path = settings.home / "tiffin.toml"
    new = path.with_name("tiffin.toml.new")
    new.touch(mode=0o600)
    new.write_text("\n".join(lines) + "\n")
    new.replace(path)


def _typed(values: dict[str, Any], origin: str) -> Settings:
    def path_as_is(kind: type, value: Any) -> Any:
        if kind is Path and isinstance(value, Path):
            return value
        raise NotImplementedError(kind)

    try:
        return check(msgspec.convert(values, Settings, dec_hook=path_as_is))
    except msgspec.ValidationError as error:
        raise SettingsError(f"{origin}: {error}.") from None


def _description(kind: Any) -> str:
    return next(mark.description for mark in kind.__metadata__ if isinstance(mark, Meta)) or ""


def _table(name: str, table: dict[str, Any]) -> list[str]:
    lines = ["", f"[{name}]"]
    lines += [f"{key} = {_toml(value)}" for key, value in table.items() if not isinstance(value, dict)]
    for key, value in table.items():
        if isinstance(value, dict):
            lines += _table(f"{name}.{key}", value)
    return lines


def _toml(value: str | int | bool | float | list[Any]) -> str:
    # A JSON string, number, boolean or list of them is also a TOML one (TOML 1.0, "Basic strings" share JSON's escapes),
    # except DEL, which JSON leaves as it is and no setting may hold.
    return msgspec.json.encode(value).decode()
