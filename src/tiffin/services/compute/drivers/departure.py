"""What two hosts tell each other about a guest that goes from one to the other while it runs."""
from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Literal

import msgspec

from tiffin.core.driver import Impossible

Channel = Literal["memory", "disks"]
"""What a stream between the hosts carries: the guest's memory, in one piece; or blocks of its disks, one stream for each."""

TunnelSource = Callable[[str, Channel], socket.socket]
"""Gives a stream to the host that a guest (by id) goes to: what `Hypervisor.connect_incoming` gives there. Raises as the
drivers do."""


class Slot(msgspec.Struct, frozen=True):
    """A NIC where it sits in the running guest."""

    port_id: str
    number: int  # of the root port
    model: str  # the device, in the hypervisor's words
    full_checksums: bool


class Board(msgspec.Struct, frozen=True):
    """How a running guest was put together, where hosts and times may differ."""

    type: str  # pc-q35-7.2
    accelerator: str
    ports: int  # for NICs, free ones too
    slots: tuple[Slot, ...]


class Block(msgspec.Struct, frozen=True):
    """A disk of the running guest."""

    name: str  # root.qcow2
    size: int  # bytes that the guest sees


class Departure(msgspec.Struct, frozen=True):
    """What another host has to have before the guest can come."""

    board: Board
    disks: tuple[Block, ...]


class Progress(msgspec.Struct, frozen=True):
    """How far a guest is on its way; amounts are bytes."""

    state: Literal["going", "gone", "broken", "failed"]  # broken: only the way, it may set out anew
    reason: str = ""  # why it is broken or failed
    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0


def nowhere(guest_id: str, channel: Channel) -> socket.socket:
    """The `TunnelSource` of a host that knows no other."""
    raise Impossible(f"there is no other host here that guest {guest_id} could go to")
