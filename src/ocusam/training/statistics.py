"""Running means and variances of batch normalisation, measured anew for averaged weights.

While weights move, the running statistics lag behind them, and the mean of many weights has statistics of its
own. So the averaged network looks at some batches once more, and their plain mean is kept (Wu and Johnson
2021, "Rethinking Batch in BatchNorm", arXiv 2105.07576, section 3). A network without such layers is left as
it is.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn

from ocusam.model.build import at_size
from ocusam.model.convolutional import ConvNorm
from ocusam.model.sam2 import SAM2
from ocusam.training.clips import Batch
from ocusam.training.passes import autocast, normalised


def has_statistics(model: nn.Module) -> bool:
    """Whether the network has batch normalisations."""
    return any(isinstance(layer, nn.BatchNorm2d) for layer in model.modules())


def freeze_statistics(model: SAM2) -> None:
    """Let batch normalisations use and keep their running statistics until the network's mode is set anew."""
    for layer in model.modules():
        if isinstance(layer, ConvNorm):
            layer.eval()


@torch.no_grad()
def settle_statistics(model: SAM2, seen: Iterable[Batch], *, half: bool) -> SAM2:
    """Set the running statistics to their means over the pictures of some batches; returns the network.

    Args:
        model: left in evaluation mode.
        seen: batches, of any sizes.
        half: bfloat16 autocast, as in training.
    """
    layers = _normalisations(model)
    kept = [layer.momentum for layer in layers]
    for layer in layers:
        layer.reset_running_stats()
        layer.momentum = None  # a plain mean over the batches
    model.train()
    for made in seen:
        batch = made.to(model.device)
        twin = at_size(model, batch.pictures_btss.shape[2])
        for own, other in zip(layers, _normalisations(twin), strict=True):
            other.momentum, other.num_batches_tracked = own.momentum, own.num_batches_tracked
        with autocast(half, model.device):
            twin.encode_image(normalised(batch.pictures_btss.flatten(0, 1)))
    for layer, momentum in zip(layers, kept, strict=True):
        layer.momentum = momentum
    return model.eval()


def _normalisations(model: nn.Module) -> list[nn.BatchNorm2d]:
    return [layer for layer in model.modules() if isinstance(layer, nn.BatchNorm2d)]
