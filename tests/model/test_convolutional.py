"""The trunk made of convolutions: maps, folded normalisation, what an optimiser is told of it."""

import pytest
import torch
from torch import nn

from ocusam.core.errors import ModelError
from ocusam.model.build import at_size, make_network
from ocusam.model.config import Sam2Config, get_config
from ocusam.model.convolutional import ConvNorm, ConvolutionalTrunk
from ocusam.training.optim import MovingAverage, blocks_above


def small() -> Sam2Config:
    """The miniature network with such a trunk."""
    return get_config("miniature", trunk="convolutional", conv_channels=(8, 12, 16, 24), stages=(1, 1, 2, 1))


def unsettle(module: nn.Module) -> None:
    """Normalisations as after some training."""
    torch.manual_seed(0)
    for layer in module.modules():
        if isinstance(layer, nn.BatchNorm2d):
            nn.init.uniform_(layer.weight, 0.5, 1.5)
            nn.init.normal_(layer.bias)
            nn.init.normal_(layer.running_mean)
            nn.init.uniform_(layer.running_var, 0.5, 2)


@torch.no_grad()
def test_there_is_a_map_for_every_stage_at_every_size() -> None:
    trunk = ConvolutionalTrunk(small()).eval()
    for size in (64, 96):
        maps = trunk(torch.randn(2, 3, size, size))
        assert [tuple(m.shape) for m in maps] == [
            (2, channels, size // stride, size // stride)
            for channels, stride in zip((8, 12, 16, 24), (4, 8, 16, 32), strict=True)
        ]


@torch.no_grad()
def test_the_finest_map_sees_the_whole_picture() -> None:
    trunk = ConvolutionalTrunk(small()).eval()
    unsettle(trunk)
    picture = torch.randn(1, 3, 64, 64)
    changed = picture.clone()
    changed[..., -8:, -8:] += 3
    difference = (trunk(changed)[0] - trunk(picture)[0]).abs().sum(1)[0]
    assert float(difference[0, 0]) > 0


@torch.no_grad()
def test_normalisation_folded_into_weights_is_the_same_function() -> None:
    layer = ConvNorm(5, 7, stride=2).eval()
    unsettle(layer)
    x = torch.randn(2, 5, 16, 16)
    assert torch.allclose(layer(x), layer.norm(layer.conv(x)), atol=1e-5)
    # New weights are noticed.
    layer.norm.running_mean.add_(1)
    assert torch.allclose(layer(x), layer.norm(layer.conv(x)), atol=1e-5)
    layer.conv.weight.mul_(2)
    assert torch.allclose(layer(x), layer.norm(layer.conv(x)), atol=1e-5)


def test_another_size_shares_weights_and_running_statistics() -> None:
    network = make_network(small())
    unsettle(network)
    twin = at_size(network, 96)
    own, other = network.image_encoder.trunk.stem.norm, twin.image_encoder.trunk.stem.norm
    assert own.weight is other.weight and own.running_mean is other.running_mean
    twin.train()
    twin.encode_image(torch.randn(2, 3, 96, 96))
    average = MovingAverage(network, 0.5)
    network.train()
    network.encode_image(torch.randn(2, 3, 64, 64))
    before = average.state_dict()["image_encoder.trunk.stem.norm.running_mean"].clone()
    average.update(network, 100)
    after = average.state_dict()["image_encoder.trunk.stem.norm.running_mean"]
    assert torch.allclose(after, (before + own.running_mean) / 2)


def test_every_weight_belongs_to_one_layer_and_the_way_up_is_nearest_to_the_end() -> None:
    network = make_network(small())
    above = {name: blocks_above(name, network) for name, _ in network.named_parameters()}
    trunk = "image_encoder.trunk"
    assert above[f"{trunk}.stem.conv.weight"] == 5
    assert above[f"{trunk}.stages.3.blocks.0.widen.conv.weight"] == 1
    assert above[f"{trunk}.fusions.0.first.conv.weight"] == above[f"{trunk}.laterals.2.norm.bias"] == 0
    assert above["memory_encoder.out_proj.weight"] == 0


def test_an_unknown_trunk_is_refused() -> None:
    with pytest.raises(ModelError, match="convolutional"):
        get_config("miniature", trunk="resnet")
