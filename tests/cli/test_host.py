"""A second machine, as an operator adds it: a word from the controller, one command on the machine."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENV = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
Tiffin = Callable[..., "subprocess.CompletedProcess[str]"]


def free() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def tiffin(tmp_path: Path) -> Iterator[Tiffin]:
    """A command line about the controller ("c") or the other machine ("h")."""

    def call(home: str, *words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        line = [sys.executable, "-P", "-m", "tiffin.cli", *words, "--home", str(tmp_path / home)]
        done = subprocess.run(line, capture_output=True, text=True, timeout=90, env=ENV)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    yield call
    if (tmp_path / "h/agent.json").exists():
        call("h", "host", "leave")
    call("c", "destroy", "--yes")


def eventually(look: Callable[[], bool], seconds: float = 40.0) -> None:
    deadline = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < deadline, "it does not happen"
        time.sleep(0.3)


def test_a_machine_joins_works_and_leaves(tiffin: Tiffin, tmp_path: Path) -> None:
    tiffin("c", "up", "--simulated", "--listen", free())
    assert "set listen under [compute.machines]" in tiffin("c", "host", "token", code=1).stderr
    tiffin("c", "down")
    settings, door = tmp_path / "c/tiffin.toml", free()
    settings.write_text(f'{settings.read_text()}\n[compute.machines]\nlisten = "{door}"\n')
    tiffin("c", "up", "--simulated")
    word = tiffin("c", "host", "token", "--host", "far").stdout.strip()

    def join(name: str, word: str, code: int = 0) -> str:
        words = ("join", door, "--listen", free(), "--token", word, "--name", name, "--simulated")
        return tiffin("h", "host", *words, code=code).stderr

    assert "no token" in join("far", "nonsense", code=1)
    assert "lets nobody join" in join("other", word, code=1)
    assert "a controller's state" in tiffin(
        "c", "host", "join", door, "--listen", free(), "--token", word, code=1
    ).stderr  # fmt: skip
    join("far", word)

    def seen() -> bool:
        found = json.loads(tiffin("c", "host", "list", "--json").stdout)
        return any(host["name"] == "far" and host["seen_at"] > 0 for host in found)

    eventually(seen)
    assert tiffin("c", "host", "maintenance", "far").stdout.startswith("far is empty")
    assert "maintenance" in tiffin("c", "host", "list").stdout
    assert tiffin("c", "host", "maintenance", "far", "--off").stdout == "far takes servers again.\n"
    agent = int((tmp_path / "h/run/agent.pid").read_text())
    os.kill(agent, signal.SIGKILL)
    eventually(lambda: not Path(f"/proc/{agent}/cmdline").exists() or not Path(f"/proc/{agent}/cmdline").read_bytes())
    tiffin("h", "host", "start")
    assert int((tmp_path / "h/run/agent.pid").read_text()) != agent
    tiffin("h", "host", "stop")
    assert "far takes part no more" in tiffin("c", "host", "remove", "far").stdout
    assert "no machine far" in tiffin("c", "host", "remove", "far", code=1).stderr
    tiffin("h", "host", "leave")
    assert not (tmp_path / "h").exists()
