"""A small network with settled random weights, shared by the model's tests."""

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2


@pytest.fixture
def network() -> SAM2:
    """The miniature at 64 pixels, seed 0."""
    torch.manual_seed(0)
    return make_network("miniature")
