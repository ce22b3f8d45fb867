"""Durations of a live run, counted so that they do not grow with it."""

from __future__ import annotations

from collections import Counter

import numpy as np

_TICKS_PER_MS = 10


class Latencies:
    """Durations, counted in steps of 0.1 ms."""

    def __init__(self) -> None:
        self._ticks: Counter[int] = Counter()

    def add(self, seconds: float) -> None:
        """Count one."""
        self._ticks[round(seconds * 1000 * _TICKS_PER_MS)] += 1

    def percentile(self, percent: float) -> float | None:
        """The duration in ms that `percent` of all do not exceed (nearest rank); None where there is none."""
        total = self._ticks.total()
        if not total:
            return None
        rank, seen = max(1, int(np.ceil(total * percent / 100))), 0
        for tick in sorted(self._ticks):
            seen += self._ticks[tick]
            if seen >= rank:
                break
        return tick / _TICKS_PER_MS
