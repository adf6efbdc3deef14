"""The POSIX sh script: its virtual environment follows the lock file, from wherever it is called."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
# What the script hands over to, as small as can be: the real one needs packages from an index.
ECHO = "import os, sys; print(sys.argv[1:], os.environ['PYTHONPATH'], sys.prefix, sep='\\n')"


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("check out")
    (root / "tiffin").write_bytes((ROOT / "tiffin").read_bytes())
    (root / "tiffin").chmod(0o755)
    (root / "requirements.lock").write_text("# nothing\n")
    package = root / "src/tiffin/cli"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package.parent / "__init__.py").touch()
    (package / "__main__.py").write_text(ECHO)
    call(root / "tiffin", "first")
    return root


def call(script: Path, *words: str, cwd: Path | None = None) -> tuple[list[str], str]:
    """What the other side got, and what the script itself said."""
    done = subprocess.run(
        [script, *words],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
    )
    return done.stdout.splitlines(), done.stderr


def test_words_arrive_as_they_were_typed(checkout: Path) -> None:
    heard, said = call(checkout / "tiffin", "ssh", "a b", "", "--", "*")
    assert heard == [str(["ssh", "a b", "", "--", "*"]), str(checkout / "src"), str(checkout / ".venv")]
    assert said == ""


def test_it_works_through_links_and_from_anywhere(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(checkout / "tiffin")
    (tmp_path / "tiffin").mkdir()  # a folder of that name must not be taken for the package
    heard, _ = call(tmp_path / "link", cwd=tmp_path)
    assert heard[2] == str(checkout / ".venv")


def test_byte_code_is_made_even_where_the_environment_forbids_it(checkout: Path) -> None:
    assert list((checkout / "src/tiffin/cli/__pycache__").glob("__main__*.pyc"))


def test_a_changed_lock_file_is_installed_once(checkout: Path) -> None:
    (checkout / "requirements.lock").write_text("# nothing, said otherwise\n")
    _, said = call(checkout / "tiffin")
    assert "installing what requirements.lock names" in said
    assert call(checkout / "tiffin")[1] == ""


def test_a_usual_call_starts_two_small_programs_before_the_command_line(checkout: Path, tmp_path: Path) -> None:
    """So it costs next to nothing."""
    log = tmp_path / "started"
    for name in os.listdir("/usr/bin"):
        (tmp_path / name).write_text(f'#!/bin/sh\necho {name} >>{log}\nexec /usr/bin/{name} "$@"\n')
        (tmp_path / name).chmod(0o755)
    subprocess.run([checkout / "tiffin"], check=True, capture_output=True, env={"PATH": str(tmp_path)})
    assert sorted(log.read_text().split()) == ["cmp", "readlink"]
