from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.ceph import Ceph, ceph
from drivers.hypervisor_labs import Lab, RealLab, RemoteLab, SimulatedLab

LABS: dict[str, type[Lab]] = {"simulated": SimulatedLab, "remote": RemoteLab, "real": RealLab}


@pytest.fixture(params=["simulated", "remote", pytest.param("real", marks=pytest.mark.real)])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A hypervisor host of each kind."""
    made = LABS[request.param]()
    try:
        yield made
    finally:
        made.close()


@pytest.fixture(scope="session")
def ceph_cluster() -> Iterator[Ceph]:
    """A cluster for the real tests that need one; it takes ten seconds to come up."""
    with ceph() as cluster:
        yield cluster
