"""The time of a simulated cloud: the real one, and as far ahead of it as people have moved it."""

from __future__ import annotations

import time


class SimulatedClock:
    """Seconds since the epoch. It only ever goes forward."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead

    def advance(self, seconds: float) -> None:
        self.ahead += seconds
