"""An object of a protocol on a machine of its own, as far as HTTPS can tell."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tiffin.core.certificates import Authority, Identity
from tiffin.core.https import HttpsServer
from tiffin.core.remote import Connection, Dispatcher, Remote


class Wire:
    def __init__(self, folder: Path, name: str, protocol: type, real: object) -> None:
        now = time.time()
        ours, theirs = Authority(folder / "ours", "ours"), Authority(folder / "theirs", "theirs")
        ours.ensure(now)
        theirs.ensure(now)
        server, client = Identity(folder / "server"), Identity(folder / "client")
        server.keep(theirs.sign(server.request("machine"), "machine", now, 1), ours.certificate())
        client.keep(ours.sign(client.request("us"), "us", now, 1), theirs.certificate())
        self.dispatcher = Dispatcher()
        self.dispatcher.add(name, protocol, real)
        self.server = HttpsServer(("127.0.0.1", 0), server.server_context, self.dispatcher)
        self.server.start()
        self.connection = Connection("machine", ("127.0.0.1", self.server.port), client.client_context())
        self.remote: Any = Remote(protocol, name, self.connection)

    def close(self) -> None:
        self.connection.close()
        self.server.stop()
        self.dispatcher.close()
