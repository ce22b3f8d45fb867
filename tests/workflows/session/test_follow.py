import numpy as np
import pytest

from fake_predictor import FakePredictor, eye_picture, eye_truth
from ocusam.core.errors import PromptError
from ocusam.core.prompts import parse_point
from ocusam.video.reader import open_video
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.session.follow import follow


def frames(n: int) -> np.ndarray:
    return np.stack([eye_picture(p) for p in eye_truth(n)])


def run(texts: list[str], pictures: np.ndarray, views: str = "none") -> tuple[list, FakePredictor]:
    predictor = FakePredictor()
    source = open_video(pictures)
    out = list(follow(source, [parse_point(t) for t in texts], predictor, plan_views(source.size, views)))
    return out, predictor


def test_every_frame_once_also_before_the_prompt() -> None:
    out, _ = run(["pupil:60,55@4"], frames(9))
    assert [objects[0].frame_idx for objects in out] == [4, 5, 6, 7, 8, 3, 2, 1, 0]


def test_from_the_first_frame_there_is_no_backward_pass() -> None:
    out, _ = run(["pupil:60,55"], frames(5))
    assert [objects[0].frame_idx for objects in out] == [0, 1, 2, 3, 4]


def test_objects_come_with_logits_mask_and_scores() -> None:
    out, _ = run(["pupil:60,55", "iris:80,60"], frames(2))
    pupil, iris = out[0]
    assert (pupil.name, iris.name) == ("pupil", "iris")
    assert pupil.logits.shape == (60, 80) and pupil.mask.shape == (120, 160)
    assert iris.mask.sum() > pupil.mask.sum() > 0
    assert pupil.object_score == 5.0 and pupil.predicted_iou == pytest.approx(0.9)


def test_objects_come_with_the_picture_of_their_view() -> None:
    pictures = np.concatenate([frames(2), frames(2)], axis=2)
    pictures[:, :, 160:] //= 2
    out, _ = run(["pupil:60,55", "iris:80,60", "pupil:220,55"], pictures, "2x1")
    (pupil, iris), (right,) = out[0], out[1]
    assert pupil.picture is not None and right.picture is not None
    assert pupil.picture is iris.picture and pupil.picture.dtype == np.uint8
    assert (pupil.picture[..., 0] == pictures[0, :, :160]).all()
    assert (right.picture[..., 0] == pictures[0, :, 160:]).all()


def test_points_are_entered_one_call_at_a_time_positive_first() -> None:
    _, predictor = run(["-pupil:1,1", "pupil:60,55", "pupil:62,55"], frames(2))
    entered = predictor.states[0].prompts
    assert [p[2].tolist() for p in entered] == [[[60, 55]], [[62, 55]], [[1, 1]]]
    assert [p[3].tolist() for p in entered] == [[1], [1], [0]]
    assert [p[4] for p in entered] == [True, False, False]


def test_each_view_is_a_video_of_its_own_and_pictures_are_decoded_once_for_all() -> None:
    pictures = np.concatenate([frames(3), frames(3)], axis=2)  # 320 x 120
    out, predictor = run(["pupil:60,55", "pupil:220,55"], pictures, "2x1")
    assert [(o[0].view.index, o[0].frame_idx) for o in out] == [
        (0, 0),
        (1, 0),
        (0, 1),
        (1, 1),
        (0, 2),
        (1, 2),
    ]
    assert all(o[0].mask.shape == (120, 160) for o in out)
    assert predictor.states[1].source.size == (120, 160)
    assert predictor.states[1].prompts[0][2].tolist() == [[60, 55]]


def test_views_with_prompts_on_different_frames() -> None:
    pictures = np.concatenate([frames(4), frames(4)], axis=2)
    out, _ = run(["pupil:60,55@1", "pupil:220,55@3"], pictures, "2x1")
    forward = [(0, 1), (0, 2), (0, 3), (1, 3)]
    assert [(o[0].view.index, o[0].frame_idx) for o in out] == [*forward, (1, 2), (1, 1), (0, 0), (1, 0)]


def test_progress_counts_all_views() -> None:
    seen: list[tuple[int, int | None, str]] = []
    pictures = np.concatenate([frames(3), frames(3)], axis=2)
    source = open_video(pictures)
    prompts = [parse_point("pupil:60,55"), parse_point("pupil:220,55")]
    list(follow(source, prompts, FakePredictor(), plan_views(source.size, "2x1"),
                progress=lambda *a: seen.append(a)))  # fmt: skip
    assert seen[0] == (1, 6, "tracking") and seen[-1] == (6, 6, "tracking")


def test_nothing_to_track_is_refused() -> None:
    with pytest.raises(PromptError, match="at least one point"):
        run([], frames(2))


def test_a_point_outside_is_refused() -> None:
    with pytest.raises(PromptError, match="160 x 120"):
        run(["pupil:200,10"], frames(2))
