"""Runs Tempest against a running Tiffin and tells what came of it.

By hand, with TIFFIN_TEMPEST_PYTHON set: `PYTHONPATH=src:tests python -m upstream.tempest_run HOME [REGEX]`
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import asdict, dataclass
from pathlib import Path

from running_cloud import ADMIN, connect
from upstream.tempest_conf import PASSWORDS, Sections, write_tempest_conf

# Of the scenarios only the one that needs no login to a guest: tests/real has the others' promises.
SMOKE = r"^tempest\.(api\.(identity|image|compute|network)\.|scenario\.test_server_basic_ops\.).*\bsmoke\b"
IDENTITY = r"^tempest\.api\.identity\."
MOVES = r"^(?!.*(unshelve|_suspended))tempest\.api\.compute\..*(resize|migrat|multinode)"
TOTAL = re.compile(r"^ - (?P<outcome>Passed|Skipped|Failed|Unexpected Success): (?P<count>\d+)$", re.MULTILINE)
FAILED = re.compile(r"^\{\d+\} (.+?) \[[\d.]+s\] \.\.\. FAILED$", re.MULTILINE)


@dataclass(frozen=True)
class Outcome:
    passed: int
    skipped: int
    failed: int
    failures: tuple[str, ...]
    output: str

    @property
    def good(self) -> bool:
        """Something ran, and none of it failed."""
        return self.passed > 0 and self.failed == 0


def run_tempest(
    home: Path, workspace: Path, regex: str = SMOKE, patience: float = 1200, more: Sections | None = None
) -> Outcome:
    """Run the tests that match `regex` against the cloud of the state folder `home`; all traces go into `workspace`.

    `patience` is in seconds; `more` sections go into tempest.conf. The Python that has Tempest is named by TIFFIN_TEMPEST_PYTHON.
    """
    tempest = Path(os.environ["TIFFIN_TEMPEST_PYTHON"]).with_name("tempest")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("OS_", "PYTHON"))}
    _tempest(tempest, ["init", str(workspace), "--workspace-path", str(workspace / "workspaces.yaml")], environment)
    with connect(home / "clouds.yaml", ADMIN) as cloud:
        conf = write_tempest_conf(cloud, workspace, _passwords(home), more or {})
    command = ["run", "--config-file", str(conf), "--regex", regex, "--concurrency", "2"]
    output = _tempest(tempest, command, environment, workspace, patience)
    (workspace / "output").write_text(output)
    counts = {match["outcome"]: int(match["count"]) for match in TOTAL.finditer(output)}
    failed = counts.get("Failed", 0) + counts.get("Unexpected Success", 0)
    return Outcome(counts.get("Passed", 0), counts.get("Skipped", 0), failed, tuple(FAILED.findall(output)), output)


def _passwords(home: Path) -> dict[str, int]:
    """The rules for passwords that the cloud was started with."""
    rules = tomllib.loads((home / "tiffin.toml").read_text()).get("identity", {}).get("passwords", {})
    return {name: value for name, value in rules.items() if name in PASSWORDS}


def _tempest(
    program: Path, words: list[str], environment: dict[str, str], folder: Path | None = None, patience: float = 60
) -> str:
    done = subprocess.run(
        [str(program), *words],
        env=environment,
        cwd=folder,
        text=True,
        timeout=patience,
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    return done.stdout


def main(argv: list[str]) -> int:
    workspace = Path(tempfile.mkdtemp(prefix="tempest-"))
    outcome = run_tempest(Path(argv[0]), workspace, argv[1] if argv[1:] else SMOKE)
    told = asdict(outcome)
    sys.stdout.write(told.pop("output") + json.dumps(told | {"workspace": str(workspace)}, indent=1) + "\n")
    return 0 if outcome.good else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
