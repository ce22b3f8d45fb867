"""Tensors that are the same on every frame, computed once.

Positions of a map depend on its size alone; others follow from weights (the trunk's position map). Both are
kept by the part that needs them, in a `Constants`.

Notable choices: what follows from weights is computed anew when these were replaced, moved or written to (an
optimiser's step, a loaded state dict), and every time while a gradient is wanted for them. Everything is made
outside autocast and outside inference mode, so that the same constants also serve training.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

import torch
from torch import Tensor

from ocusam.model.number_types import without_autocast


class Constants:
    """Remembers tensors by a key of the caller's."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, tuple[list[Any], Tensor]] = {}

    def __call__(self, key: Hashable, make: Callable[[], Tensor], *weights: Tensor) -> Tensor:
        """Return what `make` returned when it was last called for this key and these weights.

        Args:
            key: names the constant: sizes, type, device.
            make: computes it; the result must not be written to.
            weights: what it follows from.
        """
        wanted = torch.is_grad_enabled() and any(weight.requires_grad for weight in weights)
        # Tensors of inference mode do not count their changes.
        if wanted or torch.compiler.is_compiling() or any(weight.is_inference() for weight in weights):
            return make()
        state = [(id(weight), weight.data_ptr(), weight._version, weight.dtype) for weight in weights]
        known = self._kept.get(key)
        if known is None or known[0] != state:
            device = weights[0].device if weights else torch.device("cpu")
            with torch.inference_mode(False), torch.no_grad(), without_autocast(device):
                known = self._kept[key] = (state, make())
        return known[1]
