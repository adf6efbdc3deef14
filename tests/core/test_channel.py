"""The way to talk to a running cloud outlives what goes wrong at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from tiffin.core import channel


def do(words: list[str]) -> str:
    if words == ["break"]:
        raise RuntimeError("secret")
    if words == ["no"]:
        raise channel.Wrong("That is no word.")
    return " ".join(words)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    channel.listen(tmp_path, "x.sock", do)
    return tmp_path


def test_words_and_answers(folder: Path) -> None:
    assert channel.ask(folder, "x.sock", ["a", "b"]) == (True, "a b")
    assert channel.ask(folder, "x.sock", ["no"]) == (False, "That is no word.")
    assert channel.ask(folder, "x.sock", ["x" * 5000]) == (False, "At most 4096 bytes are accepted.")


def test_what_breaks_breaks_nothing_else(folder: Path) -> None:
    assert channel.ask(folder, "x.sock", ["break"]) == (False, "Internal error; see the log of the cloud.")
    assert channel.ask(folder, "x.sock", ["on"]) == (True, "on")


def test_nobody_serves(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such file"):
        channel.ask(tmp_path, "x.sock", ["on"])
