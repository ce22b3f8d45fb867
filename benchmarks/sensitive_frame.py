"""How much of a frame's distance from the reference is rounding in attention?

    python benchmarks/sensitive_frame.py ../shared/reference [--model sam2.1_hiera_tiny]

Runs the scenario `two_objects` of the reference outputs up to frame 2 with attention computed in several ways
and prints, for each object, the relative L2 distance of the mask logits from the reference. Frame 2 of the
first object turned out to depend on the way (docs/lab_log.md). It imports the test that compares all
scenarios.
"""

from __future__ import annotations

import argparse
import importlib.util
import io
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from unittest import mock

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from ocusam.tracking.session import VideoSession
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.video.frames import picture_to_input
from ocusam.video.source import SequenceSource

TESTS = Path(__file__).resolve().parents[1] / "tests" / "tracking"
Attention = Callable[[Tensor, Tensor, Tensor], Tensor]


def module(name: str) -> ModuleType:
    """A file of the tests as a module."""
    spec = importlib.util.spec_from_file_location(f"{name}_of_the_tests", TESTS / f"{name}.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


def plain_up_to(tokens: float) -> Attention:
    """Plain products where the fewer of queries and keys are at most so many, else the fused kernel."""

    def attention(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if min(q.shape[-2], k.shape[-2]) > tokens:
            return F.scaled_dot_product_attention(q, k, v)
        attended: Tensor = ((q * q.shape[-1] ** -0.5) @ k.transpose(-1, -2)).softmax(-1) @ v
        return attended

    return attention


def main() -> None:
    """Run all variants and print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("reference", type=Path)
    parser.add_argument("--model", default="sam2.1_hiera_tiny")
    given = parser.parse_args()
    sys.path.insert(0, str(TESTS))
    helpers, test = module("conftest"), module("test_reference")
    stored = np.load(given.reference / "outputs.npz")
    files = sorted((given.reference / "clip").glob("*.jpg"))
    clip = [Image.open(io.BytesIO(path.read_bytes())) for path in files]
    users = [m for n, m in sys.modules.items() if n.startswith("ocusam.model.") and hasattr(m, "attend")]

    def run(title: str, attention: Attention, double: bool = False) -> None:
        network = helpers.draw_network(given.model, binarize_mask_from_pts_for_mem_enc=True)
        network = network.double() if double else network

        def features(state: VideoSession, t: int) -> object:
            picture = torch.from_numpy(picture_to_input(state.frame(t).image, 1024))[None]
            with torch.inference_mode():
                return network.encode_image(picture.double() if double else picture)

        with mock.patch.object(VideoSession, "features", features):
            for user in users:
                user.attend = attention  # type: ignore[attr-defined]
            predictor = SAM2VideoPredictor(network, fill_hole_area=0)
            state = predictor.init_state(SequenceSource(clip))
            test.with_two_objects(predictor, state)
            for t, _, logits in predictor.propagate_in_video(state, max_frame_num_to_track=2):
                expected = stored[f"{given.model}/two_objects/frame{t}"].astype(np.float64)
                found = test.thinned(np.asarray(logits[:, 0], dtype=np.float64), expected.shape)
                away = np.linalg.norm(found - expected, axis=(1, 2)) / np.linalg.norm(expected, axis=(1, 2))
                sys.stdout.write(f"{title:40s} frame {t}  {'  '.join(f'{e:.5f}' for e in away)}\n")
                sys.stdout.flush()

    sys.stdout.write(f"{torch.get_num_threads()} threads, PyTorch {torch.__version__}\n")
    run("fused kernel everywhere", plain_up_to(0))
    run("plain products up to 32 tokens", plain_up_to(32))
    run("plain products up to 64 tokens", plain_up_to(64))
    run("plain products everywhere", plain_up_to(float("inf")))
    run("fused kernel, float64", plain_up_to(0), double=True)


if __name__ == "__main__":
    main()
