from __future__ import annotations

from collections.abc import Iterator

import pytest

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
