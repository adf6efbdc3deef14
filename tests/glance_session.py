"""The unmodified `glance` client (python-glanceclient), fed with many commands by one process, as openstack_session.py feeds
`openstack`.

Run as a program it reads one JSON list of words a line and answers each with one line `{"code", "out", "err"}`.
"""

from __future__ import annotations

import contextlib
import io
import json
import os
import pty
import sys
from typing import Any

from openstack_session import Answer


def environment(cloud: dict[str, Any], home: str) -> dict[str, str]:
    """What the client reads instead of a clouds.yaml, of which `cloud` is an entry. It keeps schemas in `home`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OS_")}
    auth = {f"OS_{name.upper()}": str(value) for name, value in cloud["auth"].items()}
    return kept | auth | {"OS_REGION_NAME": cloud["region_name"], "HOME": home}


def _run(words: list[str]) -> Answer:
    from glanceclient import shell

    out, err, sys.argv = io.StringIO(), io.StringIO(), ["glance", *words]
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            shell.main()
            code = 0
        except SystemExit as leaving:
            code = leaving.code if isinstance(leaving.code, int) else 1
    return Answer(code, out.getvalue(), err.getvalue())


def _serve() -> None:
    commands = os.fdopen(os.dup(0))
    os.dup2(pty.openpty()[1], 0)  # a client whose standard input is no terminal reads the data of images from it
    for line in commands:
        sys.stdout.write(json.dumps(vars(_run(json.loads(line)))) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _serve()
