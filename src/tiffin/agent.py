"""The process of a host's agent: `python -m tiffin.agent --home HOME`. Stays in the foreground; SIGTERM ends it and leaves
guests running."""

from __future__ import annotations

import argparse
import fcntl
import os
import signal
import sys
import threading
from pathlib import Path

from tiffin.core.state_folder import StateFolder

LOOK = 30.0
"""Seconds between two looks at which controllers there are, and whether the certificate ends."""


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tiffin.agent", description="Serve the drivers of one host in the foreground."
    )
    parser.add_argument("--home", type=Path, required=True)
    folder = StateFolder(parser.parse_args(argv).home)
    folder.create()
    lock = os.open(folder.run / "agent.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        print(f"The agent of {folder.root} runs already.", file=sys.stderr)  # noqa: T201 (for people)
        return 1
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    serve(folder, stopping)
    return 0


def serve(folder: StateFolder, stopping: threading.Event) -> None:
    """Until `stopping` is set."""
    import structlog

    from tiffin import main
    from tiffin.core import logs
    from tiffin.core.world import World
    from tiffin.host.agent import learn, renew

    logs.configure(folder.log)
    host, clock = main.compose_agent(folder), World().clock
    renew(host.identity, host.membership, host.controller, clock())
    if host.daemons is not None:
        threading.Thread(target=host.daemons.watch, args=(stopping,), name="daemons", daemon=True).start()
    server = host.agent.open()
    folder.agent_pid.write_text(f"{os.getpid()}\n")
    structlog.get_logger("agent").info("agent.serves", host=host.membership.name, listen=host.membership.listen)
    while not stopping.wait(LOOK):
        learn(host.controller, folder.agent_file)
        renew(host.identity, host.membership, host.controller, clock())
    server.stop()
    host.close()


if __name__ == "__main__":
    sys.exit(main())
