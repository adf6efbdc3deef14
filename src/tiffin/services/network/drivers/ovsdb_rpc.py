"""One transaction against an ovsdb-server over its unix socket (RFC 7047), for work that needs no replica of it.

Standard library only, and about a millisecond for each call, where `ovs-vsctl` takes ten to twenty."""

from __future__ import annotations

import codecs
import json
import socket
import time
from pathlib import Path
from typing import Any

Operation = dict[str, Any]


class OvsdbFailed(Exception):
    """The database could not be reached, or refused an operation."""


def transact(path: Path, database: str, *operations: Operation, timeout: float = 5.0) -> list[dict[str, Any]]:
    """The results of these operations, one for each; all or none take effect. `timeout` in seconds."""
    deadline = time.monotonic() + timeout
    request = {"method": "transact", "params": [database, *operations], "id": 0}
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
            connection.settimeout(timeout)
            connection.connect(str(path))
            connection.sendall(json.dumps(request).encode())
            reply = _reply(connection, deadline)
    except OSError as failure:
        raise OvsdbFailed(f"{path}: {failure}") from failure
    if reply.get("error"):
        raise OvsdbFailed(f"{path}: {reply['error']}")
    results: list[dict[str, Any]] = reply["result"]
    for result in results:
        if result and "error" in result:
            raise OvsdbFailed(f"{path}: {result['error']}: {result.get('details', '')}")
    return results


def _reply(connection: socket.socket, deadline: float) -> dict[str, Any]:
    """The answer to our request; the server may send an echo request in between."""
    decoder, utf8, text = json.JSONDecoder(), codecs.getincrementaldecoder("utf-8")(), ""
    while True:
        connection.settimeout(max(0.001, deadline - time.monotonic()))
        piece = connection.recv(65536)
        if not piece:
            raise OvsdbFailed("the database closed the connection")
        text += utf8.decode(piece)
        while text:
            try:
                message, end = decoder.raw_decode(text)
            except json.JSONDecodeError:
                break
            if message.get("id") == 0 and "result" in message:
                return dict(message)
            text = text[end:].lstrip()


def wait_for(table: str, where: list[Any], column: str, not_rows: list[dict[str, Any]], milliseconds: int) -> Operation:
    """An operation that waits until the rows chosen by `where` are no longer these."""
    return {
        "op": "wait",
        "table": table,
        "where": where,
        "columns": [column],
        "until": "!=",
        "rows": not_rows,
        "timeout": milliseconds,
    }


def mapping(values: dict[str, str]) -> list[Any]:
    """A map as the wire wants it."""
    return ["map", sorted(values.items())]


def from_mapping(value: list[Any]) -> dict[str, str]:
    """A map from the wire."""
    return dict(value[1])
