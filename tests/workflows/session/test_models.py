from typing import Any

import numpy as np
import pytest

import ocusam
from ocusam.core.errors import ModelError
from ocusam.tracking.build import build_sam2, build_sam2_camera_predictor
from ocusam.tracking.image_predictor import SAM2ImagePredictor


@pytest.mark.parametrize(
    "made", [build_sam2, lambda name: SAM2ImagePredictor(build_sam2(name)), build_sam2_camera_predictor]
)
def test_what_cannot_follow_a_video_is_refused_as_a_model(made: Any) -> None:
    """A network, and the predictors of pictures and of streams, are easily taken for what is meant."""
    model, pictures = made("miniature"), np.zeros((2, 40, 56, 3), np.uint8)
    for job in (ocusam.track, ocusam.track_eye):
        with pytest.raises(ModelError, match=f"a {type(model).__name__} cannot follow a video"):
            job(pictures, "pupil:14,20", model=model)
