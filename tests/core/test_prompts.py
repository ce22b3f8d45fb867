from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from ocusam.core.errors import PromptError
from ocusam.core.prompts import (
    ObjectPrompt,
    PromptPack,
    ReferencePicture,
    check_inside,
    check_names,
    merge_prompts,
    parse_point,
)


def test_reading_a_point() -> None:
    p = parse_point("pupil:103,100.5@7")
    assert (p.name, p.frame_idx) == ("pupil", 7)
    assert p.points.tolist() == [[103.0, 100.5]]
    assert p.labels.tolist() == [1]


def test_a_leading_minus_is_a_point_not_on_the_object() -> None:
    p = parse_point("-iris:-0.25,4")
    assert (p.name, p.frame_idx, p.labels.tolist(), p.points.tolist()) == ("iris", 0, [0], [[-0.25, 4.0]])


@pytest.mark.parametrize(
    "text", ["", "pupil", "pupil:1", "pupil:1,2,3", "pupil:a,b", ":1,2", "pupil:1,2@x", "pupil:1,2@1.5"]
)
def test_other_texts_are_refused_with_the_form(text: str) -> None:
    with pytest.raises(PromptError, match="pupil:320,240"):
        parse_point(text)


def test_a_negative_frame_is_refused() -> None:
    with pytest.raises(PromptError, match="count from 0"):
        parse_point("pupil:1,2@-3")


def test_a_point_outside_is_refused_with_the_size() -> None:
    with pytest.raises(PromptError, match=r"640 x 480 px \(width x height\)"):
        check_inside([parse_point("pupil:640,10")], (480, 640))
    check_inside([parse_point("pupil:639.4,479.4")], (480, 640))
    check_inside([parse_point("pupil:-0.5,-0.5")], (480, 640))


def test_a_box_may_end_behind_the_last_pixel_but_not_beyond() -> None:
    check_inside([ObjectPrompt("pupil", box=(-0.5, 0, 640, 480))], (480, 640))
    with pytest.raises(PromptError, match=r"box corner 641,480 of 'pupil'.*x from 0 to 640"):
        check_inside([ObjectPrompt("pupil", box=(0, 0, 641, 480))], (480, 640))


def test_a_prompt_after_the_end_is_refused() -> None:
    with pytest.raises(PromptError, match="has 10 frames"):
        check_inside([parse_point("pupil:1,1@10")], (20, 20), 10)
    check_inside([parse_point("pupil:1,1@10")], (20, 20), None)


def test_unknown_names_are_refused_with_the_known() -> None:
    with pytest.raises(PromptError, match=r"'pupill'.*pupil, iris"):
        check_names([parse_point("pupill:1,1")], ("pupil", "iris"))
    check_names([parse_point("cr12:1,1")], ("pupil",), pattern=r"cr\d*")


def test_points_of_one_object_and_frame_are_joined_in_order() -> None:
    merged = merge_prompts(parse_point(t) for t in ("a:1,1", "b:2,2", "-a:3,3", "a:4,4@5"))
    assert [(m.name, m.frame_idx) for m in merged] == [("a", 0), ("b", 0), ("a", 5)]
    assert merged[0].points.tolist() == [[1, 1], [3, 3]]
    assert merged[0].labels.tolist() == [1, 0]


def test_impossible_prompts_are_refused() -> None:
    with pytest.raises(PromptError, match="empty"):
        ObjectPrompt("a")
    with pytest.raises(PromptError, match="labels"):
        ObjectPrompt("a", 0, np.zeros((1, 2)), np.array([2]))
    with pytest.raises(PromptError, match="1 points but 2 labels"):
        ObjectPrompt("a", 0, np.zeros((1, 2)), np.array([1, 1]))
    with pytest.raises(PromptError, match="x0 < x1"):
        ObjectPrompt("a", box=(5, 0, 1, 3))


def test_where_a_prompt_is() -> None:
    assert parse_point("a:3,4").center == (3, 4)
    assert ObjectPrompt("a", box=(0, 0, 4, 8)).center == (2, 4)
    mask = np.zeros((5, 5), bool)
    mask[1, 3] = True
    assert ObjectPrompt("a", mask=mask).center == (3, 1)
    assert parse_point("a:3,4").translated(1, -1).center == (4, 3)


def test_a_pack_belongs_to_pictures_of_one_size() -> None:
    pack = PromptPack((parse_point("pupil:3,4"),), size_hw=(480, 640))
    pack.check_size((480, 640))
    with pytest.raises(PromptError, match=r"640 x 480 px .* has 320 x 240 px"):
        pack.check_size((240, 320))
    PromptPack((parse_point("pupil:3,4"),)).check_size((1, 1))


def test_further_prompts_join_those_of_a_pack() -> None:
    shown = ReferencePicture("p.png", np.zeros((9, 9, 3), np.uint8), (parse_point("iris:1,1"),))
    pack = PromptPack((parse_point("pupil:3,4"),), (shown,), (48, 64))
    more = pack.with_prompts([parse_point("-pupil:5,6"), parse_point("cr:1,2@3")])
    assert [len(p.points) for p in more.prompts] == [2, 1] and more.references and more.size_hw == (48, 64)
    assert more.names == ["iris", "pupil", "cr"]
    assert not PromptPack() and PromptPack((), (shown,))


@pytest.mark.parametrize(
    ("prompts", "message"),
    [((), "has no prompt"), (("pupil:1,1@2",), "on frame 0"), (("pupil:9,1",), r"p\.png: .*9 x 9 px")],
)
def test_a_reference_picture_is_annotated_within_itself(prompts: tuple[str, ...], message: str) -> None:
    with pytest.raises(PromptError, match=message):
        ReferencePicture("p.png", np.zeros((9, 9, 3), np.uint8), tuple(parse_point(p) for p in prompts))


@pytest.mark.parametrize(
    "image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3)), np.zeros((9, 9, 4), np.uint8)]
)
def test_a_reference_picture_is_rgb(image: NDArray[Any]) -> None:
    with pytest.raises(PromptError, match=r"p\.png .*\(height, width, 3\), RGB"):
        ReferencePicture("p.png", image, (parse_point("pupil:1,1"),))
