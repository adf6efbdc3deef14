"""A cloud whose hosts are other machines, as far as one process can tell."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from host.machines import Controllers


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[Controllers]:
    made = Controllers(tmp_path)
    made.furnish()
    yield made
    made.close()
