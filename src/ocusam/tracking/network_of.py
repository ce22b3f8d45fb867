"""The network that a predictor is made of, from what people pass on.

Purpose: the published video predictor is itself the network, so people give it to the other predictors, which
then share its weights. Here it has one.
"""

from __future__ import annotations

from typing import Any

from ocusam.core.errors import ModelError
from ocusam.model.sam2 import SAM2


def network_of(model: Any) -> SAM2:
    """Return the network: the model itself, or that of a predictor (a stream's predictor has one inside).

    Raises:
        ModelError: neither.
    """
    inner = model
    while not isinstance(inner, SAM2) and inner is not None:
        inner = getattr(inner, "model", getattr(inner, "predictor", None))
    if inner is None:
        raise ModelError(
            "A predictor is made of a network, as build_sam2 returns it, or of another predictor; "
            f"got {model!r}."
        )
    return inner
