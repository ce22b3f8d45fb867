"""Learning rates by layer."""

from __future__ import annotations

import pytest

from ocusam.model.build import make_network
from ocusam.training.optim import OptimConfig, Optimiser, blocks_above


def test_earlier_blocks_of_the_trunk_learn_more_slowly() -> None:
    model = make_network("miniature")
    count = len(model.image_encoder.trunk.blocks)
    optimiser = Optimiser(model, OptimConfig(encoder_lr_share=0.5, layer_decay=0.8))
    share = {
        id(p): group["share"]
        for o in optimiser.optimisers
        for group in o.param_groups
        for p in group["params"]
    }
    named = dict(model.named_parameters())
    assert len(share) == len(named)
    trunk = "image_encoder.trunk"
    for name, above in (
        (f"{trunk}.patch_embed.proj.weight", count),
        (f"{trunk}.pos_embed", count),
        (f"{trunk}.blocks.0.norm1.weight", count - 1),
        (f"{trunk}.blocks.{count - 1}.norm1.weight", 0),
        ("image_encoder.neck.convs.0.conv.weight", 0),
    ):
        assert blocks_above(name, model) == above
        assert share[id(named[name])] == pytest.approx(0.5 * 0.8**above), name
    assert share[id(named["no_mem_embed"])] == 1.0


def test_without_decay_the_groups_are_those_of_before() -> None:
    optimiser = Optimiser(make_network("miniature"), OptimConfig())
    assert [group["weight_decay"] for group in optimiser.optimisers[0].param_groups].count(0.05) == 2
    assert len(optimiser.optimisers[0].param_groups) == 4
