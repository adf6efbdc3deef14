from __future__ import annotations

from collections.abc import Iterator

import pytest

from drivers.ceph import Ceph, ceph
from drivers.hypervisor_labs import Lab, RealLab, SimulatedLab


@pytest.fixture(params=["simulated", pytest.param("real", marks=pytest.mark.real)])
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """A hypervisor host of each kind."""
    if request.param == "simulated":
        yield SimulatedLab()
        return
    real = RealLab()
    try:
        yield real
    finally:
        real.close()


@pytest.fixture(scope="session")
def ceph_cluster() -> Iterator[Ceph]:
    """A cluster for the real tests that need one; it takes ten seconds to come up."""
    with ceph() as cluster:
        yield cluster
