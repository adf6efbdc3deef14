"""The unmodified `openstack` client, fed with many commands by one process: starting it costs a second of CPU.

Run as a program it reads one JSON list of words a line and answers each with one line `{"code", "out", "err"}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self


@dataclass(frozen=True)
class Answer:
    code: int
    out: str
    err: str


class CommandFailed(AssertionError):
    """The client ended with an error; its text says what it said."""


class Session:
    """A program that runs commands one after the other: `with Session(...) as run: run("server list")`"""

    def __init__(self, program: str, environment: dict[str, str]) -> None:
        """`program`: the file of one that reads and answers as this one does."""
        self._process = subprocess.Popen(
            [sys.executable, program], env=environment, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._process.communicate(timeout=20)

    def answer(self, command: str) -> Answer:
        """What the client prints for `command` (shell quoting, no shell), whether it fails or not."""
        asked, told = self._process.stdin, self._process.stdout
        assert asked is not None
        assert told is not None
        asked.write(json.dumps(shlex.split(command)) + "\n")
        asked.flush()
        line = told.readline()
        assert line, f"the client died of: {command}"
        return Answer(**json.loads(line))

    def __call__(self, command: str) -> str:
        """What the client prints on stdout; raises `CommandFailed` when it fails."""
        answer = self.answer(command)
        if answer.code:
            raise CommandFailed(f"{command}\n{answer.out}{answer.err}")
        return answer.out

    def json(self, command: str) -> Any:
        """The value that the client prints with `-f json`."""
        return json.loads(self(f"{command} -f json"))

    def refused(self, command: str) -> str:
        """What the client says on stderr of a command that must fail."""
        answer = self.answer(command)
        assert answer.code, f"this should have failed: {command}\n{answer.out}"
        return answer.err


class OpenStack(Session):
    """The `openstack` client, as one entry of a clouds.yaml: `with OpenStack(...) as openstack: openstack("server list")`"""

    def __init__(self, clouds_yaml: Path, cloud: str) -> None:
        environment = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
        super().__init__(__file__, environment | {"OS_CLIENT_CONFIG_FILE": str(clouds_yaml), "OS_CLOUD": cloud})


def _run(words: list[str]) -> Answer:
    from openstackclient import shell

    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = shell.main(words)
        except SystemExit as leaving:  # argparse leaves in this way
            code = leaving.code if isinstance(leaving.code, int) else 1
    return Answer(code or 0, out.getvalue(), err.getvalue())


def _serve(commands: IO[str], answers: IO[str]) -> None:
    for line in commands:
        answers.write(json.dumps(vars(_run(json.loads(line)))) + "\n")
        answers.flush()


if __name__ == "__main__":
    _serve(sys.stdin, sys.stdout)
