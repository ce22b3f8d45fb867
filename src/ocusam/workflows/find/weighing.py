"""How much the picture and the network say for a place: one probability.

Purpose: `weigh` makes a place's score, of what is known of it.

Notable choices: a logistic regression for each kind of knowledge, fitted on rendered eyes whose seeds no
benchmark uses. Those with the network's map belong to the packaged weights of `nano` and are fitted anew with
them; the others serve networks that name no parts (published checkpoints) and runs without a network.

What it does not know: frames and views (`search`, `find_eye`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence

# A wrong choice costs a whole recording, a refusal one click.
CONVINCING = 0.6

# Made by `benchmarks/fit_candidates.py --judge 400 --write`: weights of the log odds by the picture alone, of
# the four figures of the map (`part_map.NAMES`), of the overlap with the mask of a click, and the constant.
_MAP_AND_CLICK = (0.35, 4.92, 2.52, 0.64, 3.58, 3.93, -8.93)
_MAP = (0.46, 6.9, 3.0, 1.52, 5.55, 0.0, -10.29)
# Made with earlier weights of `nano`, which named no parts, on 22 clips of seeds 2,500,000 and up.
_CLICK = (1.2, 0.0, 0.0, 0.0, 0.0, 1.17, -1.5)
_PICTURE = (1.32, 0.0, 0.0, 0.0, 0.0, 0.0, -0.94)


def weigh(probability: float, agreement: float | None, seen: Sequence[float] | None = None) -> float:
    """The score of a place, 0..1.

    Args:
        probability: how much it looks like a pupil on the picture alone, 0..1.
        agreement: overlap of its rim with the network's mask of a click; None: it was not asked.
        seen: `PartMap.figures` of its rim; None: the network has no map.
    """
    if seen is None:
        weights = _PICTURE if agreement is None else _CLICK
    else:
        weights = _MAP if agreement is None else _MAP_AND_CLICK
    figures = (log_odds(probability), *(seen if seen is not None else (0.0,) * 4), agreement or 0.0, 1.0)
    value = sum(w * f for w, f in zip(weights, figures, strict=True))
    return 1.0 / (1.0 + math.exp(-value))


def log_odds(probability: float) -> float:
    """Log odds of a probability, held within 1e-4 and 1 - 1e-4."""
    p = min(max(probability, 1e-4), 1.0 - 1e-4)
    return math.log(p / (1.0 - p))
