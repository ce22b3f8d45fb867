"""The other naming: every tensor there and back, and the same names as transformers itself."""

import pytest
import torch

from ocusam.core.errors import WeightsError
from ocusam.model.build import make_network
from ocusam.weights.huggingface import from_huggingface, is_huggingface, to_huggingface

OFFICIAL = [f"sam2{v}_hiera_{size}" for v in ("", ".1") for size in ("tiny", "small", "base_plus", "large")]


@pytest.mark.parametrize("name", OFFICIAL)
def test_names_survive_the_round_trip(name: str) -> None:
    # One number per tensor is enough to see that each comes back under its own name, at any size.
    shapes = make_network(name, device="meta").state_dict()
    state = {key: torch.full((1, 1), float(i)) for i, key in enumerate(shapes)}
    theirs = to_huggingface(state)
    assert is_huggingface(theirs) and not is_huggingface(state)
    assert len(theirs) == len(state) - 3 + 1  # four point embeddings become one, the Fourier matrix two
    back = from_huggingface(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_values_survive_the_round_trip() -> None:
    torch.manual_seed(0)
    state = make_network("miniature").state_dict()
    back = from_huggingface(to_huggingface(state))
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


@pytest.mark.parametrize("left_out", ["shared_image_embedding", "prompt_encoder.shared_embedding"])
def test_one_copy_of_the_fourier_matrix_is_enough(left_out: str) -> None:
    torch.manual_seed(0)
    state = make_network("miniature").state_dict()
    theirs = to_huggingface(state)
    del theirs[f"{left_out}.positional_embedding"]
    back = from_huggingface(theirs)
    assert back.keys() == state.keys()
    assert all(torch.equal(back[key], state[key]) for key in state)


def test_a_foreign_tensor_is_refused_by_name() -> None:
    with pytest.raises(WeightsError, match=r"lm_head\.weight"):
        from_huggingface({"lm_head.weight": torch.zeros(1)})
    with pytest.raises(WeightsError, match=r"image_encoder\.trunk\.extra"):
        to_huggingface({"image_encoder.trunk.extra": torch.zeros(1)})
