"""Numbers do not change unnoticed: a miniature of each version against stored outputs of this project.

`tests/golden/miniature.npz` was written by this file (`OCUSAM_WRITE_GOLDEN=1 pytest
tests/tracking/test_golden.py`) when the full-size networks equalled the published code in the scenarios
that docs/lab_log.md lists. Write it anew only with a change that is meant to change numbers, and after the
tests of `test_reference.py` passed.
"""

import os
from pathlib import Path

import numpy as np
import pytest

from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor

STORED = Path(__file__).resolve().parents[1] / "golden" / "miniature.npz"
WRITE = os.environ.get("OCUSAM_WRITE_GOLDEN") == "1"
VERSION_2_0 = {
    "no_obj_embed_spatial": False,
    "add_tpos_enc_to_obj_ptrs": False,
    "proj_tpos_enc_in_obj_ptrs": False,
    "use_signed_tpos_enc_to_obj_ptrs": False,
}
# Relative L2 per scenario; memories in bfloat16 let rounding of another machine show.
LIMIT = 0.01


def low_res(outputs) -> np.ndarray:
    return np.stack([output.low_res_logits[:, 0].numpy() for output in outputs])


def scenarios(network, clip) -> dict[str, np.ndarray]:
    found: dict[str, np.ndarray] = {}

    def start(**options):
        predictor = SAM2VideoPredictor(network, fill_hole_area=2, **options)
        return predictor, predictor.init_state(clip)

    predictor, state = start()
    predictor.add_new_points_or_box(state, 0, 1, points=[[14, 20]], labels=[1])
    predictor.add_new_points_or_box(state, 0, 7, box=[4, 10, 28, 30])
    predictor.add_new_points_or_box(state, 3, "late", points=[[40, 10], [2, 2]], labels=[1, 0])
    found["three_objects"] = low_res(predictor.propagate(state))
    found["backward"] = low_res(predictor.propagate(state, 8, reverse=True))

    predictor, state = start()
    y, x = np.mgrid[:40, :56]
    predictor.add_new_mask(state, 0, 1, (x - 14) ** 2 + (y - 20) ** 2 < 64)
    outputs = list(predictor.propagate(state))
    found["mask"] = low_res(outputs)
    found["scores"] = np.array([[o.predicted_iou[0], o.object_score[0]] for o in outputs])

    for keep in (False, True):
        predictor, state = start(add_all_frames_to_correct_as_cond=keep)
        predictor.add_new_points_or_box(state, 0, 1, points=[[14, 20]], labels=[1])
        list(predictor.propagate(state))
        predictor.add_new_points_or_box(state, 5, 1, points=[[24, 20]], labels=[1])
        corrected = [predictor.frame_output(state, 5)]
        found[f"corrected_{keep}"] = low_res(corrected + list(predictor.propagate(state)))

    stills = SAM2ImagePredictor(network)
    stills.set_image(clip[0])
    found["still"] = stills.predict([[14, 20]], [1], return_logits=True)[2]
    found["still_box"] = stills.predict(box=[4, 10, 28, 30], multimask_output=False)[2]
    return found


@pytest.mark.parametrize("version", ["2.1", "2.0"])
def test_outputs_equal_the_stored_ones(drawn_network, clip, version):
    options = VERSION_2_0 if version == "2.0" else {}
    network = drawn_network("miniature", binarize_mask_from_pts_for_mem_enc=True, **options)
    found = {f"{version}/{name}": value for name, value in scenarios(network, clip).items()}
    if WRITE:
        old = dict(np.load(STORED)) if STORED.is_file() else {}
        np.savez_compressed(STORED, **(old | {n: v.astype(np.float32) for n, v in found.items()}))
        pytest.skip("written anew")
    stored = np.load(STORED)
    assert {n for n in stored.files if n.startswith(version)} == found.keys()
    for name, value in found.items():
        expected = stored[name]
        assert value.shape == expected.shape, name
        assert np.linalg.norm(value - expected) <= LIMIT * np.linalg.norm(expected), name
