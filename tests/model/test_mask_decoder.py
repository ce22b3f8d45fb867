"""The choice between candidate masks."""

import pytest
import torch

from ocusam.model.sam2 import SAM2
from ocusam.model.values import PointPrompt


def click(batch: int = 1, x: float = 20.0) -> PointPrompt:
    return PointPrompt(torch.full((batch, 1, 2), x), torch.ones(batch, 1, dtype=torch.int32))


def test_shapes_of_single_and_multimask_output(network: SAM2) -> None:
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    for multimask, masks in ((True, 3), (False, 1)):
        out = network.predict_masks(features, click(), multimask_output=multimask)
        assert out.logits_bmhw.shape == (1, masks, 16, 16)
        assert out.iou_bm.shape == (1, masks)
        assert out.tokens_bnc.shape == (1, masks, 32)
        assert out.object_score_b1.shape == (1, 1)


def test_an_unstable_mask_gives_way_to_the_best_other_one(network: SAM2) -> None:
    logits = torch.full((3, 4, 8, 8), -5.0)
    logits[0, 0, :4] = 5.0  # stable: nothing between -delta and delta
    logits[1, 0, :4] = 0.0  # unstable: all of it lies between
    logits[1, 1:] = torch.tensor([1.0, 2.0, 3.0])[:, None, None]
    # row 2 is empty above -delta, which counts as stable
    iou = torch.tensor([[0.1, 0.9, 0.8, 0.7], [0.1, 0.2, 0.9, 0.3], [0.1, 0.9, 0.9, 0.9]])
    chosen, chosen_iou = network.sam_mask_decoder._replace_unstable(logits, iou)
    assert torch.equal(chosen[0, 0], logits[0, 0])
    assert torch.equal(chosen[1, 0], logits[1, 2])
    assert torch.equal(chosen[2, 0], logits[2, 0])
    assert chosen_iou.flatten().tolist() == pytest.approx([0.1, 0.9, 0.1])


def test_the_pointer_token_stays_token_0_when_the_mask_is_replaced(network: SAM2) -> None:
    decoder = network.sam_mask_decoder
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    with_fallback = network.predict_masks(features, click(), multimask_output=False)
    decoder.train()  # the fallback belongs to inference alone
    without = network.predict_masks(features, click(), multimask_output=False)
    assert torch.equal(with_fallback.tokens_bnc, without.tokens_bnc)


def test_objects_of_a_batch_do_not_see_each_other(network: SAM2) -> None:
    features = network.encode_image(torch.randn(1, 3, 64, 64))
    prompts = [click(x=5.0), click(x=50.0)]
    both = PointPrompt(torch.cat([p.coords_bn2 for p in prompts]), torch.cat([p.labels_bn for p in prompts]))
    together = network.predict_masks(features.expand(2), both)
    for row, prompt in enumerate(prompts):
        alone = network.predict_masks(features, prompt)
        assert torch.allclose(together.logits_bmhw[row], alone.logits_bmhw[0], atol=1e-5)
    assert not torch.allclose(together.logits_bmhw[0], together.logits_bmhw[1], atol=1e-3)
