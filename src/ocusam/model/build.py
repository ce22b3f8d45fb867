"""Make a network from a config. Weights are put in elsewhere (`ocusam.tracking.build`)."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch

from ocusam.model.config import Sam2Config, get_config
from ocusam.model.sam2 import SAM2


def make_network(
    config: str | Sam2Config,
    device: str | torch.device = "cpu",
    *,
    dtype: torch.dtype | None = None,
    **options: Any,
) -> SAM2:
    """Return a `SAM2` with random weights in evaluation mode.

    Args:
        config: name of a preset, or a `Sam2Config`.
        device: where to put it.
        dtype: type of the weights; None keeps float32.
        options: fields of `Sam2Config` to override.

    Raises:
        ModelError: unknown name or option.
    """
    with torch.device(device):
        network = SAM2(get_config(config, **options))
    return network.to(dtype=dtype).eval()


def at_size(network: SAM2, image_size: int) -> SAM2:
    """Return the same network for another input size: parameters and buffers are shared, not copied.

    Raises:
        ModelError: `image_size` is no multiple of 32.
    """
    if image_size == network.config.image_size:
        return network
    with torch.device("meta"):
        twin = SAM2(replace(network.config, image_size=image_size))
    for name, module in network.named_modules():
        own = twin.get_submodule(name)
        own._parameters, own._buffers = module._parameters, module._buffers
    return twin.train(network.training)
