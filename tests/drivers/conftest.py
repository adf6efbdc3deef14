from __future__ import annotations

from collections.abc import Iterator

import pytest

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
