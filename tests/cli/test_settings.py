"""What a person may decide about a cloud, and how it is stored."""

from __future__ import annotations

import ipaddress
import re
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import settings as hypothesis
from hypothesis import strategies as st

from tiffin.core.settings import Settings, SettingsError, change, load, save


def test_a_new_home_has_the_defaults(tmp_path: Path) -> None:
    settings = load(tmp_path)
    assert settings == Settings(home=tmp_path)
    assert settings.url == "http://127.0.0.1:8000"


@hypothesis(hypothesis.get_profile("ci"))  # it takes as long as it takes
@given(
    st.fixed_dictionaries(
        {},
        optional={
            "listen": st.sampled_from(["0.0.0.0:80", "[::1]:8000", "cloud.example:65535"]),
            "simulated": st.booleans(),
            "hosts": st.integers(1, 1000),
            "database": st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x7f")).map(
                "a://".__add__
            ),
            "external": st.sampled_from(["isolated", "host", "host+masquerade", "interface:eth0.100"]),
            "public_cidr": st.ip_addresses(v=4).map(lambda ip: str(ipaddress.ip_network(f"{ip}/24", strict=False))),
            "region": st.sampled_from(["RegionOne", "edge-1.de"]),
        },
    )
)
def test_what_is_saved_is_loaded(tmp_path_factory: pytest.TempPathFactory, changes: dict[str, object]) -> None:
    settings = change(Settings(home=tmp_path_factory.mktemp("home")), **changes)
    save(settings)
    assert load(settings.home) == settings


def test_every_setting_says_in_the_file_who_sets_it(tmp_path: Path) -> None:
    save(Settings(home=tmp_path))
    text = (tmp_path / "tiffin.toml").read_text()
    blocks = text.split("\n\n")[1:]
    assert len(blocks) == len(msgspec.structs.fields(Settings)) - 2  # all but the home and the services' tables
    assert len(msgspec.structs.fields(Settings)) <= 10
    for block in blocks:
        assert "Set by" in re.sub(r"\n# ", " ", block), block


class Inner(msgspec.Struct, frozen=True):
    length: int = 8


class Outer(msgspec.Struct, frozen=True):
    words: list[str] = []
    inner: Inner = Inner()


def test_a_service_has_a_table_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "tiffin.toml").write_text('hosts = 2\n[toy]\nwords = ["a", "b"]\n[toy.inner]\nlength = 3\n')
    settings = load(tmp_path)
    save(change(settings, hosts=3))
    settings = load(tmp_path)
    assert settings.hosts == 3
    assert settings.section("toy", Outer) == Outer(["a", "b"], Inner(3))
    assert settings.section("other", Outer) == Outer()


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ({"word": []}, "[toy]: there is no setting 'word'; known: inner, words."),
        ({"inner": {"width": 1}}, "[toy.inner]: there is no setting 'width'; known: length."),
        ({"inner": {"length": "x"}}, "[toy]: Expected `int`, got `str` - at `$.inner.length`."),
    ],
)
def test_a_table_that_cannot_be_meant(tmp_path: Path, table: dict[str, object], problem: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(problem)):
        Settings(home=tmp_path, sections={"toy": table}).section("toy", Outer)


def test_the_file_is_private(tmp_path: Path) -> None:
    save(Settings(home=tmp_path))
    assert (tmp_path / "tiffin.toml").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ('listen = "8000"', "HOST:PORT"),
        ('listen = "localhost:0"', "port"),
        ('listen = "localhost:65536"', "port"),
        ('listen = "a b:80"', "HOST:PORT"),
        ("hosts = 0", "hosts"),
        ('hosts = "3"', "hosts"),
        ('external = "interface:"', "interface:NAME"),
        ('external = "interface:$(reboot)"', "interface:NAME"),
        ('public_cidr = "172.24.4.1/24"', "host bits"),
        ('public_cidr = "172.24.4.0/31"', "prefix length"),
        ('public_cidr = "fd00::/64"', "IPv4"),
        ('database = "tiffin.db"', "URL"),
        ('region = "a b"', "region"),
        ("colour = 1", "colour"),
        ('home = "/"', "home"),
        ("listen", "TOML"),
    ],
)
def test_a_wrong_setting_is_named(tmp_path: Path, line: str, words: str) -> None:
    (tmp_path / "tiffin.toml").write_text(line)
    with pytest.raises(SettingsError, match=re.escape(words)):
        load(tmp_path)


@pytest.mark.parametrize(
    ("listen", "url"),
    [
        ("127.0.0.1:8000", "http://127.0.0.1:8000"),
        ("0.0.0.0:80", "http://127.0.0.1:80"),
        ("[::]:80", "http://[::1]:80"),
        ("[fd00::1]:80", "http://[fd00::1]:80"),
        ("cloud.example:80", "http://cloud.example:80"),
    ],
)
def test_where_a_client_on_this_machine_reaches_the_cloud(tmp_path: Path, listen: str, url: str) -> None:
    assert change(Settings(home=tmp_path), listen=listen).url == url


def test_clouds_in_different_homes_have_different_tags() -> None:
    one, other = Settings(home=Path("/a")), Settings(home=Path("/b"))
    assert re.fullmatch("tf-[0-9a-f]{8}", one.tag)
    assert one.tag != other.tag
    assert one.tag == Settings(home=Path("/a"), listen="127.0.0.1:1").tag


def test_a_database_that_nobody_drives_is_refused(tmp_path: Path) -> None:
    from tiffin.main import database_of

    with pytest.raises(SettingsError, match="no driver for mysql://"):
        database_of(Settings(home=tmp_path, database="mysql://root@localhost/tiffin"))
