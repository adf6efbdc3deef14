"""Finds the module of a command and runs it. Each command's module has `arguments(parser)` and `run(options)`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path

from tiffin.cli.errors import CliError
from tiffin.core.settings import SettingsError

COMMANDS = {
    "up": "start the cloud; the first time, install what it needs",
    "down": "stop the cloud, its guests included",
    "destroy": "stop the cloud and remove its state",
    "status": "what runs, where, and how much it uses",
    "logs": "what the cloud writes to its log",
    "audit": "who logged in, and who changed what",
    "policy": "the sample of a service's policy file; what is wrong with yours",
    "env": "print `export OS_...` lines for a shell",
    "openstack": "run the OpenStack client with the right credentials",
    "ssh": "log in to a guest",
    "image": "build a guest image: tiny or debian",
    "migrate-database": "move the rows to a PostgreSQL server",
    "credential-keys": "rotate: encrypt stored secrets by a new key",
    "token-keys": "show or rotate the keys of tokens",
    "simulator": "make trouble in a simulated cloud, or move its time",
    "bootstrap": "let the administrator in again who is locked out",
    "host": "machines that run guests: token, list, maintenance, remove; join, start, stop, leave",
    "test": "run the tests",
    "bench": "measure",
}
HELP = "\n".join(
    (
        "usage: tiffin COMMAND [--home DIR] ...",
        "",
        "The whole OpenStack in one box.",
        "",
        *(f"  {name:<15} {purpose}" for name, purpose in COMMANDS.items()),
        "",
        "`tiffin COMMAND --help` tells more. --home DIR (or TIFFIN_HOME) names the state folder, so that several",
        "clouds can live side by side; it is /var/lib/tiffin for root and ~/.local/state/tiffin for others.",
    )
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line. Gives the exit code: 0 well, 1 an error that was told, 2 a wrong call, 130 interrupted."""
    words = list(sys.argv[1:] if argv is None else argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(HELP)
        return 0
    name = words.pop(0)
    if name not in COMMANDS:
        print(f"tiffin: there is no command `{name}`; choose one of: {', '.join(COMMANDS)}.", file=sys.stderr)
        return 2
    _reach_system_programs()
    try:
        return _run(name, words)
    except (CliError, SettingsError) as error:
        print(f"tiffin: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader went away: nothing more to say
        return 0
    except OSError as error:
        if error.filename is None:
            raise
        print(f"tiffin: {error.filename}: {error.strerror}; check who owns it and try again.", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130


def _run(name: str, words: list[str]) -> int:
    command = import_module(f"tiffin.cli.{name.replace('-', '_')}")
    parser = argparse.ArgumentParser(prog=f"tiffin {name}", description=command.__doc__, allow_abbrev=False)
    parser.add_argument("--home", type=Path, metavar="DIR", help="the state folder of the cloud")
    command.arguments(parser)
    if hasattr(command, "OWN_FLAGS"):  # the command passes other words on
        own, others = _leading(words, command.OWN_FLAGS)
        options = parser.parse_args(own)
        options.words = others
    else:
        options = parser.parse_args(words)
    code: int = command.run(options)
    return code


def _leading(words: list[str], own: frozenset[str]) -> tuple[list[str], list[str]]:
    """The command's own options, which come first, and the words that it passes on to another program. `own` are the
    flags; `--home` and `--project` take a value."""
    at = 0
    while at < len(words):
        if words[at] in ("--home", "--project"):
            at += 2
        elif words[at] in own or words[at].startswith(("--home=", "--project=")):
            at += 1
        else:
            break
    return words[:at], words[at:]


def _reach_system_programs() -> None:
    """A root shell made by `su` may lack the folders where OVS and the file system tools live."""
    folders = os.environ.get("PATH", os.defpath).split(":")
    os.environ["PATH"] = ":".join(folders + [sbin for sbin in ("/usr/sbin", "/sbin") if sbin not in folders])
