"""Several looks at a picture: the same question, asked of it larger and mirrored."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from ocusam.core.prompts import ObjectPrompt
from ocusam.model.sam2 import SAM2
from ocusam.synthetic.draw import lab_style
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames
from ocusam.workflows.find.looks import Looks
from ocusam.workflows.session.models import open_predictor


@pytest.fixture(scope="module")
def frame() -> EyeFrame:
    return next(iter_eye_frames(11, 1, (192, 256), 60.0, lab_style()))


@pytest.fixture(scope="module")
def network() -> Any:
    return open_predictor("nano").predictor.model  # type: ignore[attr-defined]


def click(frame: EyeFrame, name: str) -> ObjectPrompt:
    ellipse = frame.ellipses[name]
    assert ellipse is not None
    x, y = ellipse.center
    x = x if name == "pupil" else x + 0.36 * ellipse.major
    return ObjectPrompt(name, 0, np.array([[x, y]]), np.array([1]))


def test_the_answer_for_a_mirrored_picture_is_the_mirrored_answer(network: Any, frame: EyeFrame) -> None:
    """A network alone does not give it; all looks together are the same ones."""
    asked = click(frame, "pupil")
    other = replace(
        asked, points=np.array([[frame.image.shape[1] - 1 - asked.points[0, 0], asked.points[0, 1]]])
    )
    one = Looks(network, frame.image).answer(asked)
    two = Looks(network, np.ascontiguousarray(frame.image[:, ::-1])).answer(other)
    assert one is not None and two is not None
    assert two.logits == pytest.approx(one.logits[:, ::-1], abs=0.05)
    assert two.predicted_iou == pytest.approx(one.predicted_iou, abs=1e-3)
    mask = one.logits > 0
    assert one.logits.shape == (96, 96) and mask.any() and one.predicted_iou > 0.5
    x, y = (asked.points[0] + 0.5) / np.array(frame.image.shape[1::-1]) * 96
    assert mask[int(y), int(x)]


def test_a_picture_is_encoded_once_for_all_questions(
    network: Any, frame: EyeFrame, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes = []
    encode = SAM2.encode_image

    def counted(self: SAM2, images: Any) -> Any:
        sizes.append((self.config.image_size, images.shape[-1]))
        return encode(self, images)

    monkeypatch.setattr(SAM2, "encode_image", counted)
    looks = Looks(network, frame.image)
    assert looks.answer(click(frame, "pupil")) is not None
    assert looks.answer(click(frame, "iris")) is not None
    assert sizes == [(256, 256), (256, 256), (384, 384), (384, 384)]
