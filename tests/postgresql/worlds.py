"""Clouds of several processes on one server: each with connections, caches and an engine of its own."""

from __future__ import annotations

import itertools
import os
import time

from support import TestCloud
from tiffin.cli.postgresql import Server
from tiffin.core.cloud import ServiceRef
from tiffin.core.database import Database
from tiffin.core.tables import Table
from tiffin.main import SERVICES
from tiffin.services.image.drivers.base import ImageStores
from tiffin.services.image.drivers.simulated import MemoryStore
from tiffin.services.network.drivers.base import NetworkBackend
from tiffin.simulator.network import SimulatedNetwork

_numbers = itertools.count()
REFS: tuple[ServiceRef, ...] = tuple(ref for ref in SERVICES if ref.type != "identity")


def fresh(server: Server) -> str:
    """The URL of a database with every table."""
    url = server.make(f"t{os.getpid()}_{next(_numbers)}")
    for ref in SERVICES:
        __import__(ref.module)
    database = Database(url)
    Table.metadata.create_all(database.writer)
    database.close()
    return url


def controller(url: str, node: str = "a") -> TestCloud:
    """One controller on that database, on the real clock."""
    cloud = TestCloud(REFS, database=Database(url), clock=time.time)
    cloud.engine.node = node
    cloud.cloud.add(NetworkBackend, SimulatedNetwork())
    cloud.cloud.add(ImageStores, ImageStores([MemoryStore()]))
    return cloud
