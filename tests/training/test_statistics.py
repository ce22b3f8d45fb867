"""Running statistics of averaged weights: means over what was seen, for a network that has any."""

import torch

from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.training.clips import BatchMaker, ClipConfig
from ocusam.training.passes import normalised
from ocusam.training.rendered import Renderer
from ocusam.training.statistics import freeze_statistics, has_statistics, settle_statistics


def test_statistics_become_the_mean_over_batches_of_all_sizes(
    renderer: Renderer, tiny_pictures: ClipConfig
) -> None:
    torch.manual_seed(0)
    network = make_network(get_config("miniature", trunk="convolutional", stages=(1, 1, 1, 1)))
    assert has_statistics(network) and not has_statistics(make_network("miniature"))
    stem = network.image_encoder.trunk.stem
    stem.norm.running_mean.fill_(7)
    maker = BatchMaker(tiny_pictures, 1, renderer)
    seen = [maker[0], maker[1]]
    small = seen[1].pictures_btss
    seen[1].pictures_btss = torch.nn.functional.interpolate(small.float(), size=(32, 32)).to(torch.uint8)
    with torch.no_grad():
        means = [stem.conv(normalised(b.pictures_btss.flatten(0, 1))).mean((0, 2, 3)) for b in seen]
    momentum = stem.norm.momentum
    settle_statistics(network, seen, half=False)
    assert torch.allclose(stem.norm.running_mean, (means[0] + means[1]) / 2, atol=1e-5)
    assert stem.norm.momentum == momentum and not stem.training


def test_frozen_statistics_stay_and_weights_still_learn() -> None:
    torch.manual_seed(0)
    network = make_network(get_config("miniature", trunk="convolutional", stages=(1, 1, 1, 1))).train()
    freeze_statistics(network)
    stem = network.image_encoder.trunk.stem
    before = stem.norm.running_mean.clone()
    network.encode_image(torch.randn(2, 3, 64, 64)).embedding_bchw.square().mean().backward()
    assert torch.equal(stem.norm.running_mean, before)
    for weight in (stem.conv.weight, stem.norm.weight, stem.norm.bias):
        assert weight.grad is not None and float(weight.grad.abs().sum()) > 0
    network.train()
    network.encode_image(torch.randn(2, 3, 64, 64))
    assert not torch.equal(stem.norm.running_mean, before)
