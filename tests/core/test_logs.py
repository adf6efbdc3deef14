"""What the logs say, and what they must not."""

from __future__ import annotations

import json

import pytest
import structlog

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
