"""The dense second task: its truth, its loss and that it teaches the encoder."""

import pytest
import torch

from ocusam.core.errors import ModelError
from ocusam.model.build import make_network
from ocusam.model.eye_parts import PARTS, EyeParts
from ocusam.training.parts_loss import parts_loss


def test_a_right_answer_costs_next_to_nothing_and_a_wrong_one_much() -> None:
    truth = torch.zeros(2, len(PARTS), 8, 8)
    truth[:, :, 2:6, 2:6] = 1
    coarse = torch.nn.functional.avg_pool2d(truth, 2)
    right = (coarse * 2 - 1) * 12
    assert float(parts_loss(right, truth)) < 0.01
    # The opposite everywhere: cross-entropy 12 on each pixel, no overlap but the smoothing.
    cells = 2 * 16
    assert float(parts_loss(-right, truth)) == pytest.approx(4 * 12 + 1 - 1 / (cells + 1), rel=1e-3)


def test_logits_are_at_stride_4_and_gradients_reach_the_encoder() -> None:
    torch.manual_seed(0)
    network = make_network("miniature").train()
    head = EyeParts(network.config)
    logits = head(network.encode_image(torch.randn(2, 3, 64, 64)))
    assert logits.shape == (2, len(PARTS), 16, 16)
    parts_loss(logits, torch.rand(2, len(PARTS), 32, 32)).backward()
    gradient = network.image_encoder.trunk.patch_embed.proj.weight.grad
    assert gradient is not None and float(gradient.abs().sum()) > 0


@torch.no_grad()
def test_a_network_with_the_layer_names_parts_and_others_say_that_they_cannot() -> None:
    torch.manual_seed(0)
    network = make_network("miniature", names_parts=True)
    features = network.encode_image(torch.randn(2, 3, 64, 64))
    assert network.name_parts(features).shape == (2, len(PARTS), 16, 16)
    assert "eye_parts.stride4.weight" in network.state_dict()
    with pytest.raises(ModelError, match="nano has"):
        make_network("miniature").name_parts(features)
