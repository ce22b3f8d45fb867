"""Gradient checkpointing: less memory for more time.

The network's large blocks (trunk, memory attention, decoder) keep only what goes into them; the rest is
computed a second time on the way back (Chen et al. 2016, arXiv 1604.06174). Results do not change.
"""

from __future__ import annotations

import functools

from torch.utils.checkpoint import checkpoint

from ocusam.model.sam2 import SAM2

_MARK = "_recomputed"


def recompute_blocks(model: SAM2) -> SAM2:
    """Let the blocks of a network be computed again for the gradient; returns the same network.

    Calling it twice changes nothing more.
    """
    blocks = [
        *model.image_encoder.trunk.blocks,
        *model.memory_attention.layers,
        *model.sam_mask_decoder.transformer.layers,
    ]
    for block in blocks:
        if not getattr(block, _MARK, False):
            block.forward = functools.partial(checkpoint, block.forward, use_reentrant=False)
            setattr(block, _MARK, True)
    return model
