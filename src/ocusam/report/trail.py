"""The way that a pupil's centre went in the last second, to be drawn on a frame.

Purpose: on a single picture of an overlay one sees whether the eye holds still, drifts or jumps.

Notable choices: a frame without a centre (blink, lost) breaks the line; nothing is joined across it.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Hashable

import numpy as np
from numpy.typing import NDArray

Point = tuple[float, float]


class Trails:
    """The last centres of some objects.

    Args:
        seconds: how far back a trail goes.
    """

    def __init__(self, seconds: float = 1.0) -> None:
        self._span_ns = round(seconds * 1e9)
        self._past: dict[Hashable, deque[tuple[int, Point | None]]] = defaultdict(deque)

    def step(self, key: Hashable, timestamp_ns: int, center: Point | None) -> list[NDArray[np.float64]]:
        """Take in an object's centre on the next frame, and return its trail up to there.

        Args:
            key: names the object; several eyes in one picture have one each.
            timestamp_ns: of the frame.
            center: x, y in px, or None where there is none.

        Returns:
            unbroken pieces (N, 2) x, y in px, N at least 2, the oldest first.
        """
        past = self._past[key]
        past.append((timestamp_ns, center))
        while past[0][0] < timestamp_ns - self._span_ns or past[0][0] > timestamp_ns:
            past.popleft()
        pieces: list[list[Point]] = [[]]
        for _, place in past:
            if place is None:
                pieces.append([])
            else:
                pieces[-1].append(place)
        return [np.array(piece, dtype=np.float64) for piece in pieces if len(piece) > 1]
