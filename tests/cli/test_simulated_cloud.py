"""The life of a simulated cloud as a newcomer types it: no root, no packages, nothing outside its home."""

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
Tiffin = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def listen() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


@pytest.fixture
def tiffin(tmp_path: Path) -> Iterator[Tiffin]:
    def call(*words: str, code: int = 0) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(argv(tmp_path / "home", *words), capture_output=True, text=True, timeout=60, env=ENV)
        assert done.returncode == code, done.stdout + done.stderr
        return done

    yield call
    call("destroy", "--yes")


ENV = {**os.environ, "PYTHONPATH": str(ROOT / "src")}


def argv(home: Path, *words: str) -> list[str]:
    return [sys.executable, "-P", "-m", "tiffin.cli", words[0], "--home", str(home), *words[1:]]


def servers(home: Path) -> list[str]:
    """Processes whose command line names this home."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
        except OSError:
            continue
        if str(home).encode() in words and b"tiffin.server" in words:
            found.append(process.name)
    return found


def test_up_status_down_destroy(tiffin: Tiffin, tmp_path: Path, listen: str) -> None:
    said = tiffin("up", "--simulated", "--listen", listen).stdout
    assert f"http://{listen}" in said
    assert "clouds.yaml" in said
    assert "runs already" in tiffin("up").stdout

    report = json.loads(tiffin("status", "--json").stdout)
    assert report["status"] == "ok"
    assert report["processes"][0]["memory"] > 0
    assert report["endpoints"]["identity"] == f"http://{listen}/identity"
    assert "Processes" in tiffin("status").stdout
    assert tiffin("logs").stdout

    for _ in range(2):
        tiffin("down")
        assert not servers(tmp_path / "home")
    tiffin("status", code=3)
    assert "is up" in tiffin("up").stdout  # its settings are remembered
    tiffin("destroy", "--yes")
    assert not (tmp_path / "home").exists()
    assert not servers(tmp_path / "home")


def test_bootstrap_lets_the_administrator_in(tiffin: Tiffin, listen: str, tmp_path: Path) -> None:
    tiffin("up", "--simulated", "--listen", listen)
    assert tiffin("bootstrap").stdout == "Nothing was amiss.\n"
    (tmp_path / "home" / "secrets.json").unlink()
    assert tiffin("bootstrap").stdout == "Gave admin the password that clouds.yaml has.\n"
    assert "default" in tiffin("openstack", "domain", "list").stdout, "the cloud that runs has heard of it"
    tiffin("down")
    assert tiffin("bootstrap").stdout == "Nothing was amiss.\n"


def test_its_time_and_its_trouble(tiffin: Tiffin, listen: str) -> None:
    assert "does not run" not in tiffin("up", "--simulated", "--hosts", "3", "--listen", listen).stdout
    assert json.loads(tiffin("simulator", "show").stdout)["hosts"] == 3
    assert "fail" in tiffin("simulator", "fail", "host-0002", "ensure_running", "5", "times").stdout
    assert "no host 'host-9'" in tiffin("simulator", "cut", "host-9", code=1).stderr
    tiffin("simulator", "advance", "3600")
    assert "runs with 3 hosts already" in tiffin("up", "--hosts", "2", code=1).stderr
    tiffin("down")
    assert "does not run" in tiffin("simulator", "show", code=1).stderr
    tiffin("up", "--hosts", "2")
    shown = json.loads(tiffin("simulator", "show").stdout)
    assert (shown["hosts"], shown["ahead-seconds"], shown["fail"]) == (2, 3600.0, [])


def test_two_ups_at_once_start_one_server(tiffin: Tiffin, tmp_path: Path, listen: str) -> None:
    words = argv(tmp_path / "home", "up", "--simulated", "--listen", listen)
    with (
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENV) as one,
        subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENV) as other,
    ):
        said = [process.communicate(timeout=60)[0] for process in (one, other)]
    assert sorted(text.partition("\n")[0] for text in said) == [
        f"The simulated cloud is up: http://{listen}",
        f"The simulated cloud runs already: http://{listen}",
    ]
    assert len(json.loads(tiffin("status", "--json").stdout)["processes"]) >= 1


def test_a_port_in_use_is_named(tiffin: Tiffin, listen: str) -> None:
    with socket.socket() as other:
        host, port = listen.split(":")
        other.bind((host, int(port)))
        other.listen()
        said = tiffin("up", "--simulated", "--listen", listen, code=1).stderr
    assert f"cannot listen on {listen} (Address already in use)" in said


def test_a_running_cloud_does_not_move(tiffin: Tiffin, listen: str) -> None:
    tiffin("up", "--simulated", "--listen", listen)
    assert "already" in tiffin("up", "--listen", "127.0.0.1:1", code=1).stderr


def test_the_foreground_is_the_whole_cloud(tiffin: Tiffin, tmp_path: Path, listen: str) -> None:
    words = argv(tmp_path / "home", "up", "--simulated", "--foreground", "--listen", listen)
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True, env=ENV) as process:
        assert process.stdout is not None
        assert "is up" in process.stdout.readline()
        tiffin("status")
        process.terminate()
        assert process.wait(30) == 0
    assert not servers(tmp_path / "home")
    tiffin("down")


def test_the_client_logs_in(tiffin: Tiffin, listen: str) -> None:
    tiffin("up", "--simulated", "--listen", listen)
    for project in ("admin", "demo"):
        words = ("--project", project, "token", "issue", "-f", "json")
        assert json.loads(tiffin("openstack", *words).stdout)["project_id"]


def test_up_while_the_server_is_about_to_end(tiffin: Tiffin, tmp_path: Path, listen: str) -> None:
    tiffin("up", "--simulated", "--listen", listen)
    pid = int((tmp_path / "home/run/server.pid").read_text())
    for worker in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        os.kill(int(worker), signal.SIGSTOP)  # it answers nothing any more
    up = subprocess.Popen(argv(tmp_path / "home", "up"), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=ENV)
    time.sleep(1.0)
    os.kill(pid, signal.SIGKILL)
    said, problems = up.communicate(timeout=60)
    assert (up.returncode, "is up" in said) == (0, True), problems
    assert int((tmp_path / "home/run/server.pid").read_text()) != pid
