"""Our network against an implementation by others, with the same random weights, at a small input size."""

import pytest
import torch

from ocusam.model.build import make_network
from ocusam.model.values import PointPrompt
from transformers_peer import image_peer

pytest.importorskip("transformers")
SIDE = 128


@pytest.mark.parametrize(
    "size",
    ["tiny", *(pytest.param(size, marks=pytest.mark.slow) for size in ("small", "base_plus", "large"))],
)
def test_image_masks_equal_the_peers(size: str) -> None:
    torch.manual_seed(0)
    network = make_network(f"sam2.1_hiera_{size}", image_size=SIDE)
    peer = image_peer(network)
    image = torch.randn(1, 3, SIDE, SIDE)
    xy, label = torch.tensor([[[70.0, 30.0], [20.0, 90.0]]]), torch.tensor([[1, 0]])
    with torch.inference_mode():
        features = network.encode_image(image)
        for multimask in (True, False):
            ours = network.predict_masks(features, PointPrompt(xy, label), multimask_output=multimask)
            theirs = peer(
                pixel_values=image,
                input_points=xy[None],
                input_labels=label[None],
                multimask_output=multimask,
            )
            error = (ours.logits_bmhw - theirs.pred_masks[:, 0]).norm() / theirs.pred_masks.norm()
            assert error < 1e-5
            assert torch.allclose(ours.iou_bm, theirs.iou_scores[:, 0], atol=1e-5)
            assert torch.allclose(ours.object_score_b1, theirs.object_score_logits[:, 0], atol=1e-5)
