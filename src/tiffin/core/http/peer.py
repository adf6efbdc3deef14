"""Whether the client of a request is still there.

Granian ends a chunked body that broke off just like one that is complete, so that a reader cannot tell half an upload from a
whole one (a body with a Content-Length can be counted). But a body without an announced end breaks off only with its
connection, and of that the kernel knows.
"""

from __future__ import annotations

import os
import socket
import struct
import sys

import falcon

_ESTABLISHED = 1
_STATE, _BYTES_RECEIVED = 0, 128  # offsets in Linux' struct tcp_info (include/uapi/linux/tcp.h)


def is_there(request: falcon.Request, received: int) -> bool:
    """Whether a connection of this process with the request's peer is open that has brought `received` bytes or more:
    the one that brought this body. True where that cannot be known."""
    address = request.remote_addr
    if not sys.platform.startswith("linux") or "REMOTE_ADDR" not in request.env or not address:
        return True
    return any(_brought(int(fd), address, received) for fd in os.listdir("/proc/self/fd"))


def _brought(fd: int, address: str, received: int) -> bool:
    try:
        with socket.socket(fileno=os.dup(fd)) as connection:
            peer = connection.getpeername()
            if not isinstance(peer, tuple) or peer[0].removeprefix("::ffff:") != address.removeprefix("::ffff:"):
                return False
            info = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256)
    except OSError:  # no socket, no TCP, no peer, or closed meanwhile
        return False
    if len(info) < _BYTES_RECEIVED + 8:
        return True
    brought: int = struct.unpack_from("=Q", info, _BYTES_RECEIVED)[0]
    return info[_STATE] == _ESTABLISHED and brought >= received
