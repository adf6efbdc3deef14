"""What an operator types to empty a host, and reads."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec
import pytest

from api.compute.test_maintenance import Emptied
from tiffin.cli import maintenance
from tiffin.cli.main import main
from tiffin.core.settings import load
from tiffin.core.world import World
from tiffin.main import open_database
from tiffin.services.compute import host_rows
from tiffin.services.compute.maintenance import Emptying, Left
from tiffin.simulator.hypervisor import FACTS

Say = Callable[..., tuple[int, str, str]]
OFF = "./tiffin host maintenance host-1 --off"


@pytest.fixture
def say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Say:
    """A command line about a cloud that does not run, with one host; (code, out, err)."""
    (tmp_path / "tiffin.toml").write_text("simulated = true\n")
    database = open_database(load(tmp_path))
    with database.write() as session:
        host_rows.add(session, World(), {"host-1": msgspec.structs.replace(FACTS, hostname="host-1")})
    database.close()

    def call(*words: str) -> tuple[int, str, str]:
        code = main(["host", *words, "--home", str(tmp_path)])
        said = capsys.readouterr()
        return code, said.out, said.err

    return call


def test_the_mark_is_shown_and_taken_away(say: Say) -> None:
    code, out, _ = say("maintenance", "host-1")
    assert (code, out.startswith("host-1 is empty, and stays so until `./tiffin host maintenance host-1 --off")) == (0, True)
    assert "maintenance" in say("list")[1]
    (shown,) = json.loads(say("list", "--json")[1])
    assert (shown["name"], shown["disabled"], shown["maintenance"]) == ("host-1", True, "live")
    assert json.loads(say("maintenance", "host-1", "--cold", "--no-wait", "--json")[1]) == {
        "host": "host-1", "maintenance": "cold", "left": [],
    }  # fmt: skip
    assert say("maintenance", "host-1", "--off")[:2] == (0, "host-1 takes servers again.\n")
    (shown,) = json.loads(say("list", "--json")[1])
    assert (shown["disabled"], shown["maintenance"]) == (False, None)
    assert "enabled" in say("list")[1]


@pytest.mark.parametrize("more", [(), ("--off",), ("--no-wait", "--json")])
def test_a_host_that_is_not_there_is_named(say: Say, more: tuple[str, ...]) -> None:
    assert say("maintenance", "none", *more) == (1, "", "tiffin: Compute host none could not be found.\n")


# --- waiting for it -------------------------------------------------------------------------------------------------------


@pytest.fixture
def cloud(monkeypatch: pytest.MonkeyPatch) -> Iterator[Emptied]:
    monkeypatch.setattr(maintenance, "EVERY", 0.0)
    made = Emptied()
    yield made
    made.close()


def look(cloud: Emptied, *, moved: float = 31.0) -> Callable[[], Emptying]:
    """Time goes by from look to look."""

    def tell() -> Emptying:
        cloud.round(moved)
        mark = cloud.service()["disabled_reason"] and "live"
        return Emptying("host-1", mark, cloud.left())

    return tell


def test_it_waits_until_the_host_is_empty(cloud: Emptied, capsys: pytest.CaptureFixture[str]) -> None:
    for n in range(4):
        cloud.server(f"vm-{n}")
    cloud.more()
    cloud.begin()
    found = maintenance._wait(look(cloud), "host-1")
    assert found == Emptying("host-1", "live", [])
    assert "Emptying host-1: 0 of 4 servers have moved" in capsys.readouterr().err
    assert maintenance._words(found, OFF, True) == [f"host-1 is empty, and stays so until `{OFF}`."]


def test_it_ends_when_nothing_moves_any_more(cloud: Emptied, capsys: pytest.CaptureFixture[str]) -> None:
    id = cloud.server("alone")
    cloud.begin()
    found = maintenance._wait(look(cloud, moved=1.0), "host-1")
    assert "Emptying host-1: failed" in capsys.readouterr().err
    first, second, *rest = maintenance._words(found, OFF, True)
    assert first == "One server is left on host-1:"
    assert second.startswith(f"  alone ({id}) No valid host was found. ")
    assert second.endswith("; tried again in 30 s")
    assert rest == [
        f"They are moved as soon as that can be, until `{OFF}`.",
        "Those that cannot move while they run are stopped, moved and started with --cold.",
    ]


def test_it_ends_when_somebody_else_has_ended_it(cloud: Emptied) -> None:
    cloud.server()
    cloud.more()
    cloud.begin()
    cloud.end()
    found = maintenance._wait(look(cloud), "host-1")
    assert (found.maintenance, len(found.left)) == (None, 1)
    assert maintenance._words(found, OFF, True) == ["host-1 takes servers again."]


def test_who_has_had_enough_is_told_what_is_left(cloud: Emptied) -> None:
    cloud.server()
    cloud.more()
    cloud.begin()
    looks = 0

    def impatient() -> Emptying:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyboardInterrupt
        return look(cloud, moved=1.0)()

    found = maintenance._wait(impatient, "host-1")
    assert [(one.state, one.why) for one in found.left] == [("moving", "is on its way to host-2")]


def test_of_many_only_some_are_told_of(cloud: Emptied) -> None:
    left = [Left(str(n), f"vm-{n}", "waiting", "waits for its turn") for n in range(60)]
    words = maintenance._words(Emptying("host-1", "cold", left), OFF, False)
    assert (words[0], words[51], len(words)) == ("60 servers are left on host-1:", "  and 10 more; --json shows all", 53)
    assert words[52] == f"They are moved as soon as that can be and the cloud runs, until `{OFF}`."
