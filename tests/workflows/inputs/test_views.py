import numpy as np
import pytest

from ocusam.core.errors import PromptError
from ocusam.core.prompts import ObjectPrompt, parse_point
from ocusam.workflows.inputs.views import plan_views, split_prompts


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((192, 384), 2),
        ((960, 240), 4),
        ((480, 640), 1),
        ((1080, 1920), 1),
        ((184, 192), 1),
        ((240, 478), 2),
        ((400, 1000), 1),
    ],
)
def test_auto_splits_only_whole_multiples(size: tuple[int, int], count: int) -> None:
    assert len(plan_views(size)) == count


def test_views_cover_the_picture_row_by_row() -> None:
    views = plan_views((100, 90), "2x3")
    assert [v.index for v in views] == list(range(6))
    assert views[1].region == (45, 0, 90, 33)
    covered = np.zeros((100, 90), int)
    for v in views:
        x0, y0, x1, y1 = v.region
        covered[y0:y1, x0:x1] += 1
        assert v.size == (y1 - y0, x1 - x0)
    assert (covered == 1).all()


def test_none_is_one_view() -> None:
    assert [v.region for v in plan_views((192, 384), "none")] == [(0, 0, 384, 192)]


@pytest.mark.parametrize("spec", ["2", "0x2", "axb", "2x", "500x1"])
def test_unreadable_views_are_refused(spec: str) -> None:
    with pytest.raises(PromptError):
        plan_views((192, 384), spec)


def test_each_click_goes_to_its_view_in_its_coordinates() -> None:
    views = plan_views((192, 384))
    parts = split_prompts([parse_point("pupil:103,100@7"), parse_point("pupil:281,105@7")], views)
    assert sorted(parts) == [0, 1]
    assert parts[0][0].points.tolist() == [[103, 100]]
    assert parts[1][0].points.tolist() == [[89, 105]]
    assert parts[1][0].frame_idx == 7


def test_points_of_one_prompt_may_lie_in_two_views() -> None:
    both = ObjectPrompt("pupil", 0, np.array([[10.0, 10], [200, 20], [15, 15]]), np.array([1, 1, 0]))
    parts = split_prompts([both], plan_views((192, 384)))
    assert parts[0][0].points.tolist() == [[10, 10], [15, 15]]
    assert parts[0][0].labels.tolist() == [1, 0]
    assert parts[1][0].points.tolist() == [[8, 20]]


def test_boxes_and_masks_are_cut_to_their_view() -> None:
    views = plan_views((192, 384))
    assert split_prompts([ObjectPrompt("pupil", box=(200, 10, 220, 30))], views)[1][0].box == (8, 10, 28, 30)
    with pytest.raises(PromptError, match="edge of view"):
        split_prompts([ObjectPrompt("pupil", box=(150, 10, 220, 30))], views)
    mask = np.zeros((192, 384), bool)
    mask[5, 300] = True
    part = split_prompts([ObjectPrompt("pupil", mask=mask)], views)
    assert list(part) == [1]
    assert part[1][0].mask is not None and part[1][0].mask[5, 108]
