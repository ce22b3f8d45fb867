"""Calibration finds the map it should, and weights with it inside answer as the map says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from ocusam.core.errors import ModelError
from ocusam.model.build import make_network
from ocusam.model.values import PointPrompt
from ocusam.training.calibrate import (
    Affine,
    calibrated,
    expected_calibration_error,
    fit_affine,
    logit,
    sigmoid,
)


@pytest.mark.parametrize("shift", [False, True])
def test_overconfident_logits_are_brought_back(shift: bool) -> None:
    rng = np.random.default_rng(1)
    honest = rng.normal(0.5, 2.0, 20_000)
    happened = rng.random(20_000) < sigmoid(honest)
    stated = (honest - (0.7 if shift else 0.0)) * 4
    found = fit_affine(stated, happened, shift=shift)
    assert found.scale == pytest.approx(0.25, rel=0.08)
    assert found.shift == pytest.approx(0.7 if shift else 0.0, abs=0.06)
    before = expected_calibration_error(sigmoid(stated), happened)
    after = expected_calibration_error(sigmoid(found(stated)), happened)
    assert before > 0.08 > 0.02 > after


def test_shares_are_fitted_too_and_divided_targets_stay_finite() -> None:
    share = np.linspace(0.05, 0.95, 50)
    found = fit_affine(logit(share) * 2 - 1, share)
    assert (found.scale, found.shift) == pytest.approx((0.5, 0.5), abs=0.05)
    divided = fit_affine(np.linspace(-3, 3, 40), np.arange(40) >= 20)
    assert np.isfinite(divided.scale) and divided.scale > 1


def test_what_says_nothing_is_refused() -> None:
    with pytest.raises(ModelError, match="say nothing"):
        fit_affine(np.linspace(-3, 3, 40), np.arange(40) < 20)
    with pytest.raises(ModelError, match="at least 10"):
        fit_affine([1.0], [1.0])


def test_error_by_hand() -> None:
    # Half of the samples say .9 and are right in .5, half say .1 and are right in .1.
    stated = np.repeat([0.9, 0.1], 10)
    seen = np.array([1] * 5 + [0] * 5 + [1] + [0] * 9)
    assert expected_calibration_error(stated, seen) == pytest.approx(0.2)


def test_calibrated_weights_answer_as_the_map_says_and_choose_as_before() -> None:
    torch.manual_seed(0)
    network = make_network("miniature")
    state = network.state_dict()
    other = make_network("miniature")
    score, iou = Affine(0.5, 0.0), Affine(2.0, -0.5)
    other.load_state_dict(calibrated(state, score=score, iou=iou))
    picture = torch.randn(1, 3, network.config.image_size, network.config.image_size)
    click = PointPrompt(torch.tensor([[[20.0, 20.0]]]), torch.tensor([[1]]))
    with torch.no_grad():
        before = network.track_step(network.encode_image(picture), points=click)
        after = other.track_step(other.encode_image(picture), points=click)
    assert before.candidates is not None and after.candidates is not None
    assert after.object_score_b1.item() == pytest.approx(0.5 * before.object_score_b1.item(), abs=1e-5)
    expected = sigmoid(iou(logit(before.candidates.iou_bm.numpy())))
    assert after.candidates.iou_bm.numpy() == pytest.approx(expected, abs=1e-4)
    assert torch.equal(before.low_res_logits_b1hw, after.low_res_logits_b1hw)
