"""A real OVN for tests, below a folder of its own and side by side with any other."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from networks import HOST
from tiffin.services.network.drivers.ovn import Ovn
from tiffin.services.network.drivers.ovn_daemons import Daemons


def fresh_tag() -> str:
    return f"tf-{os.urandom(4).hex()}"


@contextmanager
def ovn_daemons(**settings: object) -> Iterator[Daemons]:
    """Running daemons; at the end nothing of them is left."""
    root = Path(tempfile.mkdtemp(prefix="tiffin-ovn-"))
    daemons = Daemons(root, fresh_tag(), host=HOST, **settings)  # type: ignore[arg-type]
    try:
        daemons.start()
        yield daemons
    finally:
        daemons.stop()
        shutil.rmtree(root)


def ovn_of(daemons: Daemons) -> Ovn:
    return Ovn(daemons.names.nb, daemons.names.sb)
