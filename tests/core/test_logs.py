"""What the logs say, and what they must not."""

from __future__ import annotations

import json
import resource
from pathlib import Path

import pytest
import structlog

from tiffin.core.logs import LogFile

log = structlog.get_logger("test")


def test_a_defect_is_one_line_without_the_values_of_variables(capsys: pytest.CaptureFixture[str]) -> None:
    def log_in(password: str) -> None:
        raise ValueError("no such user")

    with structlog.contextvars.bound_contextvars(request_id="req-1"):
        try:
            log_in("".join(("sword", "fish")))
        except ValueError:
            log.exception("defect", n=1)
    said = capsys.readouterr().out
    told = json.loads(said)
    assert said.count("\n") == 1
    assert (told["event"], told["level"], told["request_id"], told["n"]) == ("defect", "error", "req-1", 1)
    assert "swordfish" not in said
    assert "ValueError: no such user" in told["exception"]


def test_a_full_disk_costs_lines_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "log"
    file, (soft, hard) = LogFile(path), resource.getrlimit(resource.RLIMIT_FSIZE)
    file.write('{"event":"one"}\n')
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 4, hard))  # no room, as far as this process can tell
    try:
        for event in ("two", "three"):
            file.write(f'{{"event":"{event}"}}\n')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    file.write('{"event":"four"}\n')
    first, half, told, last = path.read_text().splitlines()
    assert (json.loads(first)["event"], half, json.loads(last)["event"]) == ("one", '{"ev', "four")
    assert (json.loads(told)["event"], json.loads(told)["lines"]) == ("log.left_out", 2)
