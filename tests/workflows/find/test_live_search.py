"""The search on frames that come one at a time, with the packaged network on drawn eyes."""

import numpy as np
import pytest
from numpy.typing import NDArray

from fake_predictor import eye_picture, eye_truth
from ocusam.core.geometry import Ellipse
from ocusam.video.pictures import as_rgb
from ocusam.video.source import Frame
from ocusam.workflows.find.judge import Judge, judge_of
from ocusam.workflows.find.live_search import EVERY_NS, LiveSearch
from ocusam.workflows.find.weighing import CONVINCING
from ocusam.workflows.session.models import open_predictor

STEP_NS = 20_000_000


class NoJudge:
    """Sees nothing; counts the pictures that it was shown."""

    def __init__(self) -> None:
        self.shown = 0

    def look(self, picture: NDArray[np.uint8]) -> None:
        self.shown += 1

    def answer(self, points: list[tuple[float, float]]) -> NDArray[np.bool_]:
        raise AssertionError("there is nothing to be asked about")

    def parts(self, picture: NDArray[np.uint8]) -> None:
        self.shown += 1


@pytest.fixture(scope="module")
def judge() -> Judge:
    judge = judge_of(open_predictor("nano").predictor)
    assert judge is not None
    return judge


def frame(number: int, pupil: Ellipse | None, time_ns: int | None = None) -> Frame:
    time_ns = number * STEP_NS if time_ns is None else time_ns
    return Frame(number, time_ns, as_rgb(eye_picture(pupil)))


def test_it_ends_on_the_frame_that_convinces(judge: Judge) -> None:
    search, (pupil,) = LiveSearch(judge), eye_truth(1)
    assert pupil is not None
    found = [search.step(frame(i, pupil if i >= 19 else None)) for i in range(20)]
    assert found[:19] == [None] * 19 and found[19] is search.found
    assert (search.passed, search.looks) == (19, 2)
    eye = search.found
    assert eye is not None and {prompt.frame_idx for prompt in eye.prompts} == {0}
    assert eye.prompts[0].name == "pupil" and pupil.contains(eye.prompts[0].points).all()
    told = search.to_dict()
    assert told is not None and told["frames_passed"] == 19 and told["eyes"][0]["score"] >= CONVINCING
    assert (told["eyes"][0]["frame_idx"], told["eyes"][0]["frames"]) == (0, [0])


def test_looks_keep_their_distance_in_time() -> None:
    judge = NoJudge()
    search = LiveSearch(judge)
    for i in range(100):
        search.step(frame(i, None))
    step = -(-EVERY_NS // STEP_NS)
    assert search.looks == judge.shown == -(-100 // step) and search.passed == 100
    search.step(frame(100, None, time_ns=0))  # a clock that was set back is not waited for
    assert search.looks == judge.shown == 1 + -(-100 // step)
    assert search.to_dict() is None


def test_what_is_said_where_nothing_convinced() -> None:
    search = LiveSearch(NoJudge())
    for i in range(21):
        search.step(frame(i, None))
    text = str(search.nothing("ocusam camera 0", again=False))
    assert "2 of 21 frames, the last of them frame 19" in text
    assert text.endswith("ocusam camera 0 --point pupil:X,Y")
    assert str(search.nothing("ocusam camera eye.mp4", again=True)).endswith(
        "eye.mp4 --point pupil:X,Y@FRAME"
    )


def test_the_best_place_is_named(judge: Judge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ocusam.workflows.find.search.CONVINCING", 1.1)  # nothing is good enough
    search, truth = LiveSearch(judge), eye_truth(3)
    for i in range(3):
        assert search.step(frame(i, truth[i] if i == 1 else None, time_ns=i * EVERY_NS)) is None
    live, file = (str(search.nothing("ocusam camera X", again=again)) for again in (False, True))
    assert "It was on frame 1: if x=" in live and "Look at frame 1: if x=" in file
    x, y = live.rsplit("pupil:", 1)[1].split(",")
    assert truth[1] is not None and truth[1].contains([float(x), float(y)])
    assert file.endswith(f"pupil:{x},{y}@1")
