"""Learning rates by layer, and Muon on convolutions."""

from __future__ import annotations

from typing import cast

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2
from ocusam.training.optim import OptimConfig, Optimiser, blocks_above, parameter_kinds


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


def test_muon_moves_the_weights_of_convolutions_as_matrices() -> None:
    """A step with Muon moves a convolution equally far in all directions, whatever its gradient."""
    torch.manual_seed(3)
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv2d(16, 24, 3))
    first, second = (cast("torch.nn.Conv2d", layer).weight for layer in model)
    kinds = {name: kind for name, _, kind in parameter_kinds(model)}
    assert kinds == {"0.weight": "decay", "0.bias": "plain", "1.weight": "muon", "1.bias": "plain"}
    before = second.detach().clone()
    optimiser = Optimiser(cast("SAM2", model), OptimConfig(muon=True, weight_decay=0.0))
    model(torch.randn(2, 3, 12, 12)).square().mean().backward()
    optimiser.step(0.01)
    moved = (second.detach() - before).flatten(1)
    stretch = torch.linalg.svdvals(moved)
    # Five Newton-Schulz steps leave singular values between about 0.7 and 1.2 of the wanted one.
    assert stretch.max() / stretch.min() < 2
    wanted = 0.01 * 0.2 * 144**0.5
    assert wanted * 0.6 < stretch.median() < wanted * 1.3
    assert second.grad is None and first.grad is None


def test_muon_goes_on_as_it_stopped() -> None:
    def run(stop: bool) -> torch.Tensor:
        torch.manual_seed(5)
        conv = torch.nn.Conv2d(16, 16, 3)
        model = cast("SAM2", torch.nn.Sequential(conv))
        optimiser = Optimiser(model, OptimConfig(muon=True))
        for step in range(4):
            if stop and step == 2:
                state = optimiser.state_dict()
                optimiser = Optimiser(model, OptimConfig(muon=True))
                optimiser.load_state_dict(state)
            conv(torch.full((1, 16, 5, 5), float(step + 1))).square().mean().backward()
            optimiser.step(0.01)
        return conv.weight.detach()

    assert torch.equal(run(stop=False), run(stop=True))
