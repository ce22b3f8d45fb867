"""One network, several input sizes."""

from __future__ import annotations

import pytest
import torch

from ocusam.core.errors import ModelError
from ocusam.model.build import at_size, make_network
from ocusam.model.config import miniature


def test_another_size_shares_the_weights_and_answers_like_a_network_made_for_it() -> None:
    network = make_network(miniature(64))
    larger = at_size(network, 96)
    alone = make_network(miniature(96))
    alone.load_state_dict(network.state_dict())
    picture = torch.rand(1, 3, 96, 96)
    with torch.inference_mode():
        ours, theirs = larger.encode_image(picture), alone.encode_image(picture)
        assert torch.equal(ours.embedding_bchw, theirs.embedding_bchw)
        assert torch.equal(
            larger.track_step(ours).low_res_logits_b1hw, alone.track_step(theirs).low_res_logits_b1hw
        )
    assert {id(p) for p in larger.parameters()} == {id(p) for p in network.parameters()}
    assert network.config.image_size == 64 and at_size(network, 64) is network


def test_a_size_that_does_not_divide_is_refused() -> None:
    with pytest.raises(ModelError, match="multiple of 32"):
        at_size(make_network(miniature(64)), 100)
