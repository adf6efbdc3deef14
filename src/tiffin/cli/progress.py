"""Says what is going on: one changing line on a terminal, plain lines elsewhere. No dependency."""

from __future__ import annotations

import os
import select
import shutil
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from tiffin.cli.errors import CliError

QUIET = 0.3  # seconds: what is faster than this needs no line of its own
REPEAT = 5.0  # seconds between two lines about the same step where lines cannot be rewritten


class Step:
    """One piece of work that a person waits for."""

    def __init__(self, title: str, out: TextIO) -> None:
        self.title = title
        self._out = out
        self._terminal = out.isatty()
        self._began = time.monotonic()
        self._said = self._began - REPEAT if not self._terminal else 0.0
        self._detail = ""

    @property
    def elapsed(self) -> float:
        """Seconds since the step began."""
        return time.monotonic() - self._began

    def tell(self, detail: str = "") -> None:
        """Show how far it is. Call it as often as you like; without a detail the clock moves on."""
        self._detail = detail or self._detail
        text = f"{self.title}: {self._detail}" if self._detail else self.title
        now = time.monotonic()
        if self._terminal:
            width = shutil.get_terminal_size().columns
            self._out.write(f"\r\033[K  {text}"[: width + 4] + f" ({self.elapsed:.0f} s)" * (len(text) + 12 < width))
        elif now - self._said >= REPEAT:
            self._said = now
            self._out.write(f"  {text}\n")
        self._out.flush()

    def finish(self, outcome: str) -> None:
        if self._terminal:
            self._out.write("\r\033[K")
        if self.elapsed > QUIET or outcome == "failed":
            self._out.write(f"  {self.title}: {outcome} ({self.elapsed:.1f} s)\n")
        self._out.flush()


@contextmanager
def step(title: str) -> Iterator[Step]:
    """Show a step while the block runs, and how it ended."""
    current = Step(title, sys.stderr)
    current.tell()
    try:
        yield current
    except BaseException:
        current.finish("failed")
        raise
    current.finish("done")


def run(
    argv: Sequence[str],
    current: Step,
    log: Path,
    environment: Mapping[str, str] | None = None,
    shown: Callable[[str], str | None] = str.strip,
) -> None:
    """Run a program as part of a step. All that it says goes to `log`; what `shown` makes of a line becomes the detail.

    Raises `CliError` with its last words when it fails.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    last: deque[str] = deque(maxlen=8)
    with log.open("ab", buffering=0) as record:
        process = subprocess.Popen(
            argv,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(environment or {})},
        )
        try:
            for line in _lines(process, current):
                record.write(line)
                text = line.decode(errors="replace").rstrip()
                last.append(text)
                if detail := shown(text):
                    current.tell(detail)
            code = process.wait()
        except BaseException:
            process.terminate()
            process.wait()
            raise
    if code != 0:
        words = "\n".join(f"    {text}" for text in last if text)
        raise CliError(f"`{argv[0]}` failed with code {code}; see {log}. Its last words:\n{words}")


def _lines(process: subprocess.Popen[bytes], current: Step) -> Iterator[bytes]:
    """The program's output by lines, with the step's clock going on while it is silent."""
    assert process.stdout is not None
    descriptor = process.stdout.fileno()
    rest = b""
    while True:
        if not select.select([descriptor], [], [], 0.5)[0]:
            current.tell()
            continue
        read = os.read(descriptor, 65536)
        if not read:
            break
        *lines, rest = (rest + read).replace(b"\r", b"\n").split(b"\n")
        yield from (line + b"\n" for line in lines)
    process.stdout.close()
    if rest:
        yield rest + b"\n"
