"""Networks with weights that any machine can rebuild, and a small clip for the miniature one."""

import hashlib
from collections.abc import Callable

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from ocusam.model.build import make_network
from ocusam.model.config import get_config
from ocusam.model.sam2 import SAM2
from ocusam.tracking.video_predictor import SAM2VideoPredictor


def draw_tensor(name: str, shape: tuple[int, ...], salt: str) -> NDArray[np.float32]:
    """One tensor, from a generator keyed by its name; as in `../shared/reference`, bit for bit.

    Scales follow the role that a name gives away: scales of norms near 1, biases small, learned vectors .3,
    matrices by their fan-in; attention to memory and object pointers stronger, so that an error in one memory
    token shows; the presence head leans towards "present".
    """
    key = np.frombuffer(hashlib.sha256(f"{salt}/{name}".encode()).digest()[:16], dtype=np.uint64)
    noise = np.random.Generator(np.random.Philox(key=key)).standard_normal(list(shape))
    memory, last = name.startswith("memory_attention"), name.rsplit(".", 1)[-1]
    if name.endswith("gaussian_matrix"):
        out = noise
    elif last == "weight" and (name.endswith("norm.weight") or ".norm" in name):
        out = 1.0 + 0.1 * noise
    elif last == "gamma":
        out = 0.5 + 0.1 * noise
    elif name == "sam_mask_decoder.pred_obj_score_head.layers.2.bias":
        out = 2.0 + 0.05 * noise
    elif name.endswith("bias"):
        out = 0.05 * noise
    elif any(part in name for part in ("pos_embed", "tpos_enc", "no_", "embed", "token")):
        out = 0.3 * noise
    elif len(shape) < 2:
        out = 1.0 + 0.1 * noise
    else:
        out = noise / np.sqrt(int(np.prod(shape[1:])))
        if memory and ("q_proj" in name or "k_proj" in name):
            out = out * 1.25
        if memory and "out_proj" in name:
            out = out * 1.5
        if name in ("obj_ptr_proj.layers.2.weight", "obj_ptr_tpos_proj.weight"):
            out = out * 3.0
    return out.astype(np.float32)


def draw_network(config: str, salt: str = "a", **options: object) -> SAM2:
    """A network in evaluation mode, filled by `draw_tensor`."""
    network = make_network(get_config(config, **options))
    state = {
        n: torch.from_numpy(draw_tensor(n, tuple(t.shape), salt)) for n, t in network.state_dict().items()
    }
    network.load_state_dict(state)
    return network


@pytest.fixture(scope="session")
def tensor_rule() -> Callable[..., NDArray[np.float32]]:
    return draw_tensor


@pytest.fixture(scope="session")
def drawn_network() -> Callable[..., SAM2]:
    return draw_network


@pytest.fixture(scope="session")
def network() -> SAM2:
    return draw_network("miniature", binarize_mask_from_pts_for_mem_enc=True)


@pytest.fixture(scope="session")
def clip() -> NDArray[np.uint8]:
    """12 pictures, 40 x 56: a bright disc that moves over a fixed texture."""
    rng = np.random.default_rng(3)
    ground = rng.integers(40, 90, (40, 56, 3))
    y, x = np.mgrid[:40, :56]
    frames = []
    for t in range(12):
        picture = ground.copy()
        picture[(x - 14 - 2 * t) ** 2 + (y - 20) ** 2 < 64] = (220, 200, 180)
        frames.append(picture)
    return np.stack(frames).astype(np.uint8)


MakePredictor = Callable[..., SAM2VideoPredictor]


@pytest.fixture
def make_predictor(network: SAM2) -> MakePredictor:
    def make(**options: object) -> SAM2VideoPredictor:
        return SAM2VideoPredictor(network, **options)  # type: ignore[arg-type]

    return make
