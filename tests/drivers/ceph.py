"""A real Ceph for tests: one monitor and one OSD on loopback, in a folder and on ports of their own."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

from tiffin.services.image.drivers.librbd import Account
from tiffin.services.image.drivers.rbd import RbdStore

PATIENCE = 60.0
"""Seconds that a daemon may take to answer."""

CONF = """
[global]
fsid = {fsid}
mon host = [v2:127.0.0.1:{port}]
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth client required = cephx
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon data avail warn = 1
mon data avail crit = 1
auth allow insecure global id reclaim = false
run dir = {root}
admin socket = {root}/$name.$pid.asok
log file = {root}/$name.log
keyring = {root}/keyring
[mon.a]
mon data = {root}/mon
[osd]
osd data = {root}/osd
osd objectstore = bluestore
bluestore block size = 2147483648
osd memory target = 939524096
bluestore cache autotune = false
bluestore cache size = 33554432
"""


class Ceph:
    """A running cluster with one pool for images."""

    pool = "images"

    def __init__(self, root: Path) -> None:
        self.root, self.conf = root, root / "ceph.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}

    def run(self, *words: str, given: str = "") -> str:
        """A command of Ceph's; what it prints."""
        environment = os.environ | {"CEPH_CONF": str(self.conf)}
        done = subprocess.run(words, input=given, capture_output=True, text=True, env=environment, timeout=PATIENCE)
        assert done.returncode == 0, f"{words}: {done.stderr}"
        return done.stdout

    def _daemon(self, name: str, *words: str) -> None:
        log = (self.root / f"{name}.out").open("ab")
        with log:
            self._daemons[name] = subprocess.Popen([*words, "-f", "-c", str(self.conf)], stdout=log, stderr=log)

    def start(self) -> None:
        fsid = str(uuid.uuid4())
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        self.conf.write_text(CONF.format(fsid=fsid, port=port, root=self.root))
        key, map_ = str(self.root / "keyring"), str(self.root / "monmap")
        self.run("ceph-authtool", "--create-keyring", key, "--gen-key", "-n", "mon.", "--cap", "mon", "allow *")
        everything = [word for of in ("mon", "osd") for word in ("--cap", of, "allow *")]
        self.run("ceph-authtool", key, "--gen-key", "-n", "client.admin", *everything)
        self.run("monmaptool", "--create", "--addv", "a", f"[v2:127.0.0.1:{port}]", "--fsid", fsid, map_)
        (self.root / "mon").mkdir()
        self.run("ceph-mon", "--mkfs", "-i", "a", "--monmap", map_, "--keyring", key)
        self._daemon("mon", "ceph-mon", "-i", "a")
        self._new_osd()
        self.start_osd()
        self.run("ceph", "osd", "pool", "create", self.pool, "8")
        self.run("ceph", "osd", "pool", "application", "enable", self.pool, "rbd")

    def _new_osd(self) -> None:
        osd, secret = str(uuid.uuid4()), self.run("ceph-authtool", "--gen-print-key").strip()
        self.run("ceph", "osd", "new", osd, "-i", "-", given=json.dumps({"cephx_secret": secret}))
        folder = self.root / "osd"
        folder.mkdir()
        key = str(folder / "keyring")
        self.run("ceph-authtool", "--create-keyring", key, "--name", "osd.0", "--add-key", secret)
        self.run("ceph-osd", "-i", "0", "--mkfs", "--osd-uuid", osd, "--keyring", key)

    def start_osd(self) -> None:
        self._daemon("osd", "ceph-osd", "-i", "0", "--keyring", str(self.root / "osd" / "keyring"))
        until = time.monotonic() + PATIENCE
        while json.loads(self.run("ceph", "osd", "stat", "-f", "json"))["num_up_osds"] < 1:
            assert time.monotonic() < until, (self.root / "osd.out").read_text()
            time.sleep(0.2)

    def freeze_osd(self) -> None:
        """It answers nobody any more, until `thaw_osd`."""
        osd = self._daemons["osd"]
        osd.send_signal(signal.SIGSTOP)
        until = time.monotonic() + PATIENCE
        while not all(map(_is_stopped, Path(f"/proc/{osd.pid}/task").iterdir())):  # until the first has heard, others work
            assert time.monotonic() < until
            time.sleep(0.01)

    def thaw_osd(self) -> None:
        self._daemons["osd"].send_signal(signal.SIGCONT)

    def images(self) -> list[str]:
        """Every image in the pool, by its name there."""
        return self.run("rbd", "ls", self.pool).split()

    def stop(self) -> None:
        for process in reversed(self._daemons.values()):
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait()


def _is_stopped(task: Path) -> bool:
    return (task / "stat").read_text().rpartition(")")[2].split()[0] == "T"


@contextlib.contextmanager
def rbd_store(cluster: Ceph, seconds: int = 30) -> Iterator[RbdStore]:
    """An empty store; it is emptied at the end."""
    store = RbdStore(Account(conf=str(cluster.conf), user="admin", pool=cluster.pool, seconds=seconds))
    try:
        yield store
        for key in list(store.keys()):
            store.delete(key)
    finally:
        store.close()


@contextlib.contextmanager
def ceph() -> Iterator[Ceph]:
    """A running cluster; at the end nothing of it is left."""
    root = Path(tempfile.mkdtemp(prefix="tf-ceph-", dir="/var/tmp"))  # a unix socket's path is short
    cluster = Ceph(root)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()
        shutil.rmtree(root)
