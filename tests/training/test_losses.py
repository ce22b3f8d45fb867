"""Loss values against cases worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from ocusam.training.losses import (
    OTHER_CANDIDATES_WEIGHT,
    mask_iou,
    object_weight,
    on_grid,
    sam2_loss,
    soft_dice_loss,
    soft_focal_loss,
)


def test_focal_loss_of_undecided_logits() -> None:
    # p = 1/2 everywhere: |t-p|^2 = 1/4, BCE = ln 2, half of it, the mean over all cells of a large object.
    truth = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    expected = 0.5 * 0.25 * math.log(2)
    assert float(soft_focal_loss(torch.zeros(2, 2), truth)) == pytest.approx(expected, rel=1e-6)


def test_a_missed_object_costs_the_same_focal_loss_whatever_its_size() -> None:
    missed = []
    for side in (4, 8, 12):
        truth = torch.zeros(64, 64)
        truth[:side, :side] = 1
        missed.append(float(soft_focal_loss(torch.full((64, 64), -10.0), truth)))
    assert missed[0] == pytest.approx(missed[1], rel=1e-3) == pytest.approx(missed[2], rel=1e-3)


def test_dice_loss_by_hand() -> None:
    # p = 1/2 on four cells, two covered: overlap 1, sizes 1 + 2; 1 - (2 + 1) / (3 + 1).
    truth = torch.tensor([[1.0, 1.0], [0.0, 0.0]])
    assert float(soft_dice_loss(torch.zeros(2, 2), truth)) == pytest.approx(0.25, rel=1e-6)


@pytest.mark.parametrize("covered", [0.2, 0.5, 0.7])
def test_losses_are_least_at_the_covered_share(covered: float) -> None:
    """The condition for sub-pixel edges: a half covered cell wants a logit of zero."""
    truth = torch.full((4, 4), covered)
    best = math.log(covered / (1 - covered))
    for loss in (soft_focal_loss, soft_dice_loss):
        values = [float(loss(torch.full((4, 4), best + shift), truth)) for shift in (-0.5, 0.0, 0.5)]
        assert values[1] == min(values), loss.__name__


def test_iou_counts_cells_and_knows_empty_masks() -> None:
    logits = torch.tensor([[[1.0, 1.0], [-1.0, -1.0]], [[-1.0, -1.0], [-1.0, -1.0]]])
    truth = torch.tensor([[[1.0, 0.0], [1.0, 0.0]], [[0.0, 0.0], [0.0, 0.0]]])
    assert mask_iou(logits, truth).tolist() == pytest.approx([1 / 3, 1.0])


def _case() -> tuple[torch.Tensor, torch.Tensor]:
    truth = torch.zeros(2, 8, 8)
    truth[:, 2:6, 2:6] = 1
    right = (truth[:, None] * 2 - 1) * 12
    return truth, torch.cat([-right, right, right.roll(3, -1)], 1)


def test_the_best_candidate_counts_in_full_the_others_less_and_every_iou_prediction() -> None:
    truth, candidates = _case()
    candidates.requires_grad_()
    predicted = torch.full((2, 3), 0.5, requires_grad=True)
    terms = sam2_loss(
        candidates, predicted, torch.full((2, 1), 9.0), truth, torch.tensor([True, True]), torch.ones(2)
    )
    terms.total.backward()
    assert candidates.grad is not None and predicted.grad is not None
    others = candidates[:, [0, 2]].detach()
    half = OTHER_CANDIDATES_WEIGHT / 2
    expected = half * soft_dice_loss(others, truth[:, None]).sum(1).mean()
    assert float(terms.dice.detach()) == pytest.approx(float(expected), rel=1e-3)
    assert float(candidates.grad[:, 2].abs().max()) > 0
    assert bool((predicted.grad != 0).all())
    # Real IoUs: 0 of the inverted mask, 1 of the right one, 4 columns moved by 3: 1 of 7 columns shared.
    assert float(terms.iou.detach()) == pytest.approx((0.25 + 0.25 + (0.5 - 1 / 7) ** 2) / 3, rel=1e-5)


def test_absent_objects_have_only_a_presence_loss() -> None:
    truth, candidates = _case()
    score = torch.zeros(2, 1)
    terms = sam2_loss(
        candidates[:, :1], torch.zeros(2, 1), score, truth, torch.tensor([False, False]), torch.ones(2)
    )
    assert float(terms.focal) == float(terms.dice) == float(terms.iou) == 0
    assert float(terms.total) == pytest.approx(math.log(2), rel=1e-6)


def test_what_is_too_small_for_the_grid_teaches_no_iou() -> None:
    truth, candidates = _case()
    arguments = (candidates, torch.full((2, 3), 0.5), torch.zeros(2, 1))
    terms = sam2_loss(*arguments, 0.4 * truth, torch.tensor([True, True]), torch.ones(2))
    assert float(terms.iou) == 0 and float(terms.dice) > 0


def test_weights_scale_masks_but_not_presence() -> None:
    truth, candidates = _case()
    arguments = (candidates[:, :1], torch.zeros(2, 1), torch.zeros(2, 1), truth, torch.tensor([True, True]))
    full, half = sam2_loss(*arguments, torch.ones(2)), sam2_loss(*arguments, torch.full((2,), 0.5))
    assert float(half.dice) == pytest.approx(float(full.dice) / 2)
    assert float(half.presence) == pytest.approx(float(full.presence))


def test_large_objects_weigh_alike_and_small_ones_less() -> None:
    weights = object_weight(torch.tensor([0.0, 50.0, 200.0, 5000.0]))
    assert weights.tolist() == pytest.approx([0.15, 0.5, 1.0, 1.0])


def test_the_fine_grid_keeps_positions() -> None:
    ramp = torch.arange(8.0).expand(1, 1, 8, 8)
    fine = on_grid(ramp, 16)
    assert fine.shape == (1, 1, 16, 16)
    assert float(fine[0, 0, 5, 7]) == pytest.approx(3.25)  # cell 7 of 16 has its centre at 3.25 of 8
