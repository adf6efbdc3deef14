"""A Tiffin of a test's own: brought up by the command line in a fresh folder, on a free port; destroyed at the end."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openstack.config import OpenStackConfig
from openstack.connection import Connection
from openstack.warnings import OpenStackDeprecationWarning

import databases
from openstack_session import OpenStack

REPOSITORY = Path(__file__).resolve().parent.parent
ADMIN, DEMO = "tiffin", "tiffin-demo"
Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class RunningCloud:
    home: Path
    address: str
    simulated: bool

    @property
    def clouds_yaml(self) -> Path:
        return self.home / "clouds.yaml"

    def tiffin(self, command: str, *words: str, patience: float = 120, check: bool = True) -> Done:
        """Run `tiffin COMMAND --home HOME WORDS`. `patience` is in seconds."""
        return tiffin(command, "--home", str(self.home), *words, patience=patience, check=check)

    def openstack(self, cloud: str = DEMO) -> OpenStack:
        return OpenStack(self.clouds_yaml, cloud)

    def connect(self, cloud: str = DEMO) -> Connection:
        """openstacksdk, logged in as `tiffin` (admin) or `tiffin-demo`."""
        return connect(self.clouds_yaml, cloud)


def connect(clouds_yaml: Path, cloud: str) -> Connection:
    """openstacksdk, logged in as one entry of a clouds.yaml."""
    # the SDK warns of what it does itself
    warnings.filterwarnings("ignore", category=PendingDeprecationWarning, module="openstack")
    warnings.filterwarnings("ignore", category=OpenStackDeprecationWarning)
    config = OpenStackConfig(config_files=[str(clouds_yaml)], load_envvars=False)
    return Connection(config=config.get_one(cloud))


def tiffin(*words: str, patience: float = 120, check: bool = True) -> Done:
    """Run one command of the front door to its end."""
    process = start_tiffin(*words)
    try:
        out, err = process.communicate(timeout=patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise
    if check and process.returncode:
        raise AssertionError(f"tiffin {' '.join(words)} ended with {process.returncode}\n{out}{err}")
    return Done(words, process.returncode, out, err)


def start_tiffin(*words: str) -> subprocess.Popen[str]:
    """What the front door's script hands over to, without making the virtual environment again."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY / "src")}
    return subprocess.Popen(
        [sys.executable, "-m", "tiffin.cli", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def free_address() -> str:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{probe.getsockname()[1]}"


def tiny() -> Path:
    """The guest image that was built before the tests."""
    return Path(os.environ["TIFFIN_GUEST_IMAGES"]) / "tiny.qcow2"


@contextlib.contextmanager
def running_cloud(
    *, simulated: bool, settings: str = "", folder: Path | None = None, image: Path | None = None
) -> Iterator[RunningCloud]:
    """A cloud that is up, in a `folder` of its own, with `settings` as the rest of its tiffin.toml; its rows are where those of
    all tests are. The folder's name is short, since a unix socket's path may have 107 characters only. `image`: its guest
    image, which a real one builds otherwise."""
    folder = folder or Path(tempfile.mkdtemp(prefix="tf-", dir="/var/tmp"))
    cloud = RunningCloud(home=folder / "h", address=free_address(), simulated=simulated)
    mode = ["--simulated"] if simulated else []
    with databases.for_a_cloud() as database:
        if settings or database:
            cloud.home.mkdir()
            where = f'database = "{database}"\n' if database else ""
            (cloud.home / "tiffin.toml").write_text(f"simulated = {str(simulated).lower()}\n{where}{settings}")
        if image is not None:
            (cloud.home / "images-src").mkdir(parents=True)
            shutil.copy(image, cloud.home / "images-src" / "tiffin-tiny.qcow2")
        try:
            cloud.tiffin("up", *mode, "--listen", cloud.address, patience=60 if simulated else 900)
            yield cloud
        finally:
            cloud.tiffin("destroy", "--yes", check=False)
            shutil.rmtree(folder, ignore_errors=os.path.ismount(folder))  # whose mount goes later
