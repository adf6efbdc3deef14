"""Make trouble in a simulated cloud that runs, or move its time: boot times, failing calls, hosts that do not answer."""

from __future__ import annotations

import argparse
import textwrap

from tiffin.cli.cloud import command, open_cloud
from tiffin.cli.errors import CliError
from tiffin.core import channel

SOCKET = "simulator.sock"
USAGE = """\
show                            what is set, how many hosts and guests there are
set boot-seconds N              how long guests boot from now on; also shutdown-seconds, snapshot-seconds
fail HOST CALL [N [for-good]]   the next N calls on this host are refused; '*' is any host
cut HOST                        the host does not answer
mend HOST                       it does again
crash SERVER                    the guest of this server dies
advance SECONDS                 move the cloud's time on"""


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = "words:\n" + textwrap.indent(USAGE, "  ")
    parser.add_argument("words", nargs="+", metavar="WORD", help="what to do; see below")


def run(options: argparse.Namespace) -> int:
    cloud = open_cloud(options.home)
    if not cloud.settings.simulated:
        raise CliError(f"the cloud in {cloud.folder.root} is a real one.")
    try:
        done, text = channel.ask(cloud.folder.run, SOCKET, options.words)
    except OSError:
        raise CliError(f"the cloud does not run; start it by `{command('up', options.home)}`.") from None
    if not done:
        raise CliError(text)
    print(text)
    return 0
