"""Measure: start-up, memory, CPU per request. Words after the options go to benchmarks/bench.py."""

from __future__ import annotations

import argparse
import runpy
import sys

from tiffin.cli.cloud import source_root

OWN_FLAGS = frozenset[str]()


def arguments(parser: argparse.ArgumentParser) -> None:
    parser.epilog = "All other words go to benchmarks/bench.py."


def run(options: argparse.Namespace) -> int:
    root = source_root()
    sys.path.insert(0, str(root))
    main = runpy.run_path(str(root / "benchmarks" / "bench.py"))["main"]
    return int(main(options.words) or 0)
