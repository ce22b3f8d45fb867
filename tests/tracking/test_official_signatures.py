"""Names, order and defaults of arguments, as the published package has them (commit 2b90b9f)."""

import inspect
from collections.abc import Callable
from typing import Any

import pytest

from ocusam.tracking.image_predictor import SAM2ImagePredictor
from ocusam.tracking.video_predictor import SAM2VideoPredictor

NONE, YES, NO = None, True, False
NEEDED = inspect.Parameter.empty
VIDEO, IMAGE = SAM2VideoPredictor, SAM2ImagePredictor
STATE = {"inference_state": NEEDED}
PROMPTS = {"multimask_output": YES, "return_logits": NO, "normalize_coords": YES}
PUBLISHED: dict[Callable[..., Any], dict[str, Any]] = {
    VIDEO.init_state: {
        "video_path": NEEDED,
        "offload_video_to_cpu": NO,
        "offload_state_to_cpu": NO,
        "async_loading_frames": NO,
    },
    VIDEO.add_new_points_or_box: STATE
    | {
        "frame_idx": NEEDED,
        "obj_id": NEEDED,
        "points": NONE,
        "labels": NONE,
        "clear_old_points": YES,
        "normalize_coords": YES,
        "box": NONE,
    },
    VIDEO.add_new_mask: STATE | {"frame_idx": NEEDED, "obj_id": NEEDED, "mask": NEEDED},
    VIDEO.propagate_in_video_preflight: STATE,
    VIDEO.propagate_in_video: STATE
    | {"start_frame_idx": NONE, "max_frame_num_to_track": NONE, "reverse": NO},
    VIDEO.clear_all_prompts_in_frame: STATE | {"frame_idx": NEEDED, "obj_id": NEEDED, "need_output": YES},
    VIDEO.remove_object: STATE | {"obj_id": NEEDED, "strict": NO, "need_output": YES},
    VIDEO.reset_state: STATE,
    IMAGE: {"sam_model": NEEDED, "mask_threshold": 0.0, "max_hole_area": 0.0, "max_sprinkle_area": 0.0},
    IMAGE.set_image: {"image": NEEDED},
    IMAGE.set_image_batch: {"image_list": NEEDED},
    IMAGE.predict: {"point_coords": NONE, "point_labels": NONE, "box": NONE, "mask_input": NONE} | PROMPTS,
    IMAGE.predict_batch: {
        "point_coords_batch": NONE,
        "point_labels_batch": NONE,
        "box_batch": NONE,
        "mask_input_batch": NONE,
    }
    | PROMPTS,
    IMAGE.get_image_embedding: {},
    IMAGE.reset_predictor: {},
}


@pytest.mark.parametrize("call", PUBLISHED, ids=lambda call: call.__qualname__)
def test_arguments_are_the_published_ones(call: Callable[..., Any]) -> None:
    ours = {n: p.default for n, p in inspect.signature(call).parameters.items() if n != "self"}
    assert list(ours.items()) == list(PUBLISHED[call].items())
    assert [type(value) for value in ours.values()] == [type(value) for value in PUBLISHED[call].values()]


@pytest.mark.parametrize("kind", [VIDEO, IMAGE])
def test_pretrained_ones_are_made_by_name_and_options(kind: Any) -> None:
    given = list(inspect.signature(kind.from_pretrained).parameters.values())
    assert given[0].name == "model_id" and given[1].kind is inspect.Parameter.VAR_KEYWORD
    assert isinstance(inspect.getattr_static(IMAGE, "device"), property)
