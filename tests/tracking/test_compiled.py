"""A compiled network gives the same answers, in whole graphs, and compiles nothing once the bank is full."""

from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch._dynamo.testing import CompileCounter

from ocusam.core.errors import ModelError
from ocusam.model.sam2 import SAM2
from ocusam.tracking import compiled
from ocusam.tracking.compiled import compile_network, is_compiled
from ocusam.tracking.video_predictor import SAM2VideoPredictor


def follow(network: SAM2) -> list[torch.Tensor]:
    predictor = SAM2VideoPredictor(network)
    clip = np.random.default_rng(0).integers(0, 255, (22, 48, 64, 3), dtype=np.uint8)
    state = predictor.init_state(clip)
    for name, x in (("a", 20), ("b", 40)):
        predictor.add_new_points_or_box(state, 0, name, points=[[x, 20]], labels=[1])
    return [output.low_res_logits for output in predictor.propagate(state)]


@pytest.mark.slow
def test_same_numbers_and_nothing_new_behind_the_warm_up(drawn_network: Callable[..., SAM2]) -> None:
    torch._dynamo.reset()
    network, counter = drawn_network("miniature"), CompileCounter()
    names = list(network.state_dict())
    expected = follow(network)
    compile_network(network, backend=counter)
    assert is_compiled(network) and list(network.state_dict()) == names
    assert counter.frame_count == 4  # image encoder, memory attention, heads, memory encoder
    found = follow(network)
    assert counter.frame_count == 7  # all but the image encoder for two objects
    assert all(torch.equal(a, b) for a, b in zip(found, expected, strict=True))
    follow(network)
    assert counter.frame_count == 7
    compile_network(network, backend=counter)  # no second time
    assert counter.frame_count == 7


def test_no_compiler(monkeypatch: pytest.MonkeyPatch, drawn_network: Callable[..., SAM2]) -> None:
    monkeypatch.setattr(compiled.shutil, "which", lambda name: None)
    network = drawn_network("miniature")
    with pytest.raises(ModelError, match=r"needs a C\+\+ compiler"):
        compile_network(network)
    assert not is_compiled(network)
