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
    # The opposite everywhere: cross-entropy 12 on each pixel, no overlap but the smoothing, over two pictures
    # and on each.
    cells = 16
    wrong = 4 * 12 + 1 - 1 / (2 * cells + 1) + 1 - 1 / (cells + 1)
    assert float(parts_loss(-right, truth)) == pytest.approx(wrong, rel=1e-3)


def test_a_small_part_counts_as_much_as_a_large_one() -> None:
    truth = torch.zeros(2, len(PARTS), 32, 32)
    truth[0, :, 2:30, 2:30] = 1
    truth[1, :, 8:12, 8:12] = 1
    right = (truth * 2 - 1) * 12
    losses = []
    for picture in range(2):
        missed = right.clone()
        missed[picture] = -12
        cells = float(truth[picture].sum()) / len(PARTS)
        entropy = 4 * 12 * cells / truth[:, 0].numel()
        losses.append(float(parts_loss(missed, truth)) - entropy)
    large, small = losses
    # Missed altogether each costs half of its dice; over the batch only the large one would be noticed.
    assert large == pytest.approx(0.5 + 28 * 28 / (28 * 28 + 2 * 16), abs=0.03)
    assert small == pytest.approx(0.5, abs=0.05)


def test_what_is_seen_where_nothing_is_costs() -> None:
    truth = torch.zeros(2, len(PARTS), 16, 16)
    truth[0, :, 4:12, 4:12] = 1
    right = (truth * 2 - 1) * 12
    seen = right.clone()
    seen[1, :, 4:12, 4:12] = 12
    entropy = 4 * 12 * 64 / truth[:, 0].numel()
    assert float(parts_loss(seen, truth)) - entropy == pytest.approx(1 / 3, abs=0.01)


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
