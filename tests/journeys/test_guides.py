"""Every block of the guides that is marked ```sh run is executed, in order, as it stands."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from journeys import preloaded
from running_cloud import REPOSITORY, free_address, tiffin
from tiffin.cli.postgresql import binaries, private_server

GUIDES = sorted((REPOSITORY / "docs" / "guides").glob("*.md"))
RUN = re.compile(r"^```sh run\n(.*?)^```$", re.DOTALL | re.MULTILINE)


@pytest.fixture
def surroundings(tmp_path: Path) -> Iterator[dict[str, str]]:
    """The words that the guides use, and a `./tiffin` that needs no virtual environment of its own."""
    words = {
        "CLOUD": str(tmp_path / "cloud"),
        "BACKUP": str(tmp_path / "backup.tar.gz"),
        "LISTEN": free_address(),
        "LISTEN_2": free_address(),
        "LISTEN_3": free_address(),
        "LISTEN_4": free_address(),
        "LISTEN_5": free_address(),
    }
    with preloaded.script(tmp_path / "tiffin"):
        yield os.environ | {"PYTHONPATH": str(REPOSITORY / "src")} | words
    for home in (words["CLOUD"] + "-3", words["CLOUD"] + "-2"):
        if Path(home + "/agent.json").exists():
            tiffin("host", "leave", "--home", home, check=False)
    for home in (words["CLOUD"] + "-2", words["CLOUD"]):
        tiffin("destroy", "--yes", "--home", home, check=False)


@pytest.fixture
def database(guide: Path) -> Iterator[dict[str, str]]:
    """DATABASE, for a guide that speaks of it."""
    if "$DATABASE" not in guide.read_text():
        yield {}
        return
    if binaries() is None:
        pytest.skip("there is no PostgreSQL server on this machine")
    with private_server() as server:
        yield {"DATABASE": server.make("cloud")}


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_a_guides_commands_execute(
    guide: Path, database: dict[str, str], surroundings: dict[str, str], tmp_path: Path
) -> None:
    blocks = RUN.findall(guide.read_text())
    assert blocks
    if " up " not in blocks[0]:
        tiffin("up", "--simulated", "--home", surroundings["CLOUD"], "--listen", surroundings["LISTEN"])
    done = subprocess.run(
        ["sh", "-eux"], input="".join(blocks), cwd=tmp_path, env=surroundings | database, capture_output=True, text=True,
        timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
