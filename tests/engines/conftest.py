"""The miniature network with weights that mean something, and a cache folder of the tests' own."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ocusam.engines.cache import FOLDER_VARIABLE
from ocusam.model.build import make_network
from ocusam.model.sam2 import SAM2


@pytest.fixture(scope="session", autouse=True)
def own_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(FOLDER_VARIABLE, str(tmp_path_factory.mktemp("cache")))
        yield


def draw(seed: int = 4) -> SAM2:
    """Random weights, large enough for masks and attention to be far from flat."""
    torch.manual_seed(seed)
    made = make_network("miniature", binarize_mask_from_pts_for_mem_enc=True)
    with torch.no_grad():
        for name, weight in made.named_parameters():
            if weight.dim() > 1:
                weight.normal_(0.0, (1.5 if "memory_attention" in name else 1.0) * weight[0].numel() ** -0.5)
            elif name.endswith("bias"):
                weight.normal_(0.0, 0.1)
        made.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(2.0)
    return made


@pytest.fixture(scope="session")
def network() -> SAM2:
    return draw()


@pytest.fixture
def drawn() -> Callable[[], SAM2]:
    """Makes another network of that kind."""
    return lambda: draw(7)


@pytest.fixture(scope="session")
def clip() -> NDArray[np.uint8]:
    """24 pictures, 48 x 64: two discs that move over noise."""
    rng = np.random.default_rng(5)
    ground = rng.integers(40, 120, (48, 64, 3), dtype=np.uint8)
    y, x = np.mgrid[:48, :64]
    frames = np.repeat(ground[None], 24, axis=0)
    for t, frame in enumerate(frames):
        frame[(x - 18 - 0.5 * t) ** 2 + (y - 20) ** 2 < 64] = 20
        frame[(x - 46) ** 2 + (y - 30 + 0.4 * t) ** 2 < 36] = 240
    return frames
