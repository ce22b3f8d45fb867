import numpy as np
import pytest

from ocusam.core.errors import PromptError
from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import View
from ocusam.core.prompts import ObjectPrompt, parse_point
from ocusam.workflows.inputs.settings import RunSettings
from ocusam.workflows.inputs.views import plan_views, split_prompts
from ocusam.workflows.inputs.zoom import (
    IRISES,
    PUPILS,
    Sighting,
    choose,
    parse_zoom,
    zoom_regions,
    zoom_text,
    zoomed,
)

WHOLE = View(0, (0, 0, 640, 480))
CLICK = [parse_point("pupil:320,240")]


def eye(x: float, y: float, pupil: float = 30.0, iris: float | None = 80.0, frame: int = 0) -> Sighting:
    return Sighting(
        frame, Ellipse((x, y), (pupil, pupil)), None if iris is None else Ellipse((x, y), (iris, iris))
    )


def around(x: float, y: float, **sizes: float) -> list[Sighting]:
    """An eye that looks about a little."""
    return [eye(x + dx, y + dy, **sizes) for dx, dy in ((0, 0), (-8, 0), (8, 0), (0, -6), (0, 6))]


def test_a_small_eye_gets_a_rectangle_that_holds_its_iris_everywhere() -> None:
    choice = choose(WHOLE, around(320, 240), CLICK, 256)
    assert choice.region is not None
    x0, y0, x1, y1 = choice.region
    assert x1 - x0 >= IRISES * 80 and y1 - y0 >= IRISES * 80
    assert x0 <= 320 - 8 - 40 and x1 >= 320 + 8 + 40 and y0 <= 240 - 6 - 40 and y1 >= 240 + 6 + 40
    assert choice.gain == pytest.approx((640 * 480 / ((x1 - x0) * (y1 - y0))) ** 0.5)
    assert ((x0 + x1 - 1) / 2, (y0 + y1 - 1) / 2) == pytest.approx((320, 240), abs=1)


def test_without_an_iris_the_pupil_decides() -> None:
    choice = choose(WHOLE, around(320, 240, iris=None), CLICK, 256)
    assert choice.region is not None
    assert choice.region[2] - choice.region[0] == pytest.approx(PUPILS * 30, abs=2)


@pytest.mark.parametrize(("x", "y"), [(20, 20), (630, 470), (3, 300)])
def test_at_the_border_of_the_picture_the_rectangle_stays_inside(x: float, y: float) -> None:
    prompts = [parse_point(f"pupil:{x},{y}")]
    choice = choose(WHOLE, around(x, y), prompts, 256)
    assert choice.region is not None
    x0, y0, x1, y1 = choice.region
    assert 0 <= x0 < x1 <= 640 and 0 <= y0 < y1 <= 480
    assert x1 - x0 >= IRISES * 80 and y1 - y0 >= IRISES * 80


def test_a_network_that_sees_the_eye_large_does_without() -> None:
    """The published size, 1024 px: 30 px of 555 are 55 px of the network; 60 px are 111."""
    assert choose(WHOLE, around(320, 240), CLICK, 1024).region is not None
    large = choose(WHOLE, around(320, 240, pupil=60.0, iris=90.0), CLICK, 1024)
    assert large.region is None and "large" in large.why
    assert choose(WHOLE, around(320, 240, pupil=60.0, iris=90.0), CLICK, 256).region is not None


def test_no_zoom_where_little_would_be_gained_or_nothing_was_seen() -> None:
    filling = choose(WHOLE, around(320, 240, pupil=70.0, iris=230.0), CLICK, 256)
    assert filling.region is None and filling.gain == 1.0
    assert choose(WHOLE, [], CLICK, 256).region is None
    wanders = [eye(x, y) for x in (100, 320, 540) for y in (80, 240, 400)]
    # So far apart that no eye turns there: what is seen in the middle counts.
    assert choose(WHOLE, wanders, CLICK, 256).region is not None


def test_every_prompt_is_inside_but_not_points_that_are_not_on_the_object() -> None:
    far = [*CLICK, parse_point("cr:520,60@300"), parse_point("-pupil:5,5")]
    choice = choose(WHOLE, around(320, 240), far, 256)
    assert choice.region is not None
    x0, y0, x1, _ = choice.region
    assert x1 >= 540 and y0 <= 40 and x0 > 100
    box = ObjectPrompt("iris", box=(200.0, 180.0, 440.0, 300.0))
    choice = choose(WHOLE, around(320, 240), [box], 256)
    assert choice.region is not None and choice.region[0] < 200 and choice.region[2] > 440
    mask = np.zeros((480, 640), bool)
    mask[400:420, 320] = True
    choice = choose(WHOLE, around(320, 240), [ObjectPrompt("sclera", mask=mask)], 256)
    assert choice.region is not None and choice.region[3] > 420


def test_the_other_views_prompts_do_not_count() -> None:
    left, right = plan_views((480, 1280), "2x1")
    prompts = [parse_point("pupil:320,240"), parse_point("pupil:900,40")]
    mine = choose(left, around(320, 240), prompts, 256)
    alone = choose(left, around(320, 240), prompts[:1], 256)
    assert mine == alone
    other = choose(right, around(900, 240), prompts[1:], 256)
    assert other.region is not None and other.region[0] >= 640 and other.region[1] == 20


def test_an_iris_that_cannot_be_one_is_left_out() -> None:
    odd = choose(WHOLE, [eye(320, 240, pupil=30.0, iris=31.0)] * 5, CLICK, 256)
    assert odd.iris_px is None and odd.region is not None


def test_texts_and_regions() -> None:
    assert parse_zoom("auto") == parse_zoom("off") == []
    assert parse_zoom(" 1,2, 30,40;50,2,60,9") == [(1, 2, 30, 40), (50, 2, 60, 9)]
    assert zoom_text([(1, 2, 30, 40)]) == "1,2,30,40" and zoom_text([]) == "off"
    views = plan_views((192, 384))
    narrowed = zoomed(views, "200,10,300,110")
    assert [v.region for v in narrowed] == [(0, 0, 192, 192), (200, 10, 300, 110)]
    assert zoom_regions(narrowed, "200,10,300,110") == {1: (200, 10, 300, 110)}
    assert zoomed(views, "off") == zoomed(views, "auto") == views and zoom_regions(views, "off") == {}


@pytest.mark.parametrize("text", ["1,2,3", "a,b,c,d", "5,5,5,9", "-1,0,5,5", "1.5,0,9,9", "", "on"])
def test_unreadable_texts_are_refused(text: str) -> None:
    with pytest.raises(PromptError):
        RunSettings(zoom=text)


@pytest.mark.parametrize("text", ["100,10,300,110", "0,0,385,10", "1,1,9,9;20,20,30,30"])
def test_rectangles_lie_in_one_view_each(text: str) -> None:
    with pytest.raises(PromptError, match="view"):
        zoomed(plan_views((192, 384)), text)


def test_prompts_outside_are_refused_but_for_points_not_on_the_object() -> None:
    views = zoomed([WHOLE], "100,50,300,250")
    parts = split_prompts([parse_point("pupil:120.5,60"), parse_point("iris:299,249")], views)
    assert [p.points.tolist() for p in parts[0]] == [[[20.5, 10.0]], [[199.0, 199.0]]]
    with pytest.raises(PromptError, match="--zoom off"):
        split_prompts([parse_point("pupil:310,60@5000")], views)
    with pytest.raises(PromptError, match="--zoom off"):
        split_prompts([parse_point("-pupil:310,60")], views)
    mixed = ObjectPrompt("pupil", 0, np.array([[120.0, 60.0], [5.0, 5.0]]), np.array([1, 0]))
    assert split_prompts([mixed], views)[0][0].points.tolist() == [[20.0, 10.0]]
    with pytest.raises(PromptError, match="--zoom off"):
        split_prompts([ObjectPrompt("pupil", box=(290.0, 60.0, 400.0, 90.0))], views)
    mask = np.zeros((480, 640), bool)
    mask[5, 5] = True
    with pytest.raises(PromptError, match="--zoom off"):
        split_prompts([ObjectPrompt("pupil", mask=mask)], views)


def test_settings_tell_the_rectangle() -> None:
    assert RunSettings().zoom == "auto" and RunSettings(zoom="1,2,3,4").to_dict()["zoom"] == "1,2,3,4"
