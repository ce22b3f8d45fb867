from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from fake_predictor import eye_picture, eye_truth
from ocusam.core.errors import PromptError
from ocusam.core.geometry import Ellipse
from ocusam.eye.candidates import find_candidates
from ocusam.tracking.build import build_sam2_video_predictor
from ocusam.video.reader import open_video
from ocusam.video.source import IterableSource, SequenceSource
from ocusam.workflows.find.find_eye import FRAMES_A_ROUND, find_eye, frames_of_round, nothing_found
from ocusam.workflows.find.judge import judge_of, parts_of_picture
from ocusam.workflows.find.part_map import PartMap
from ocusam.workflows.find.search import free_of_specks
from ocusam.workflows.find.weighing import CONVINCING
from ocusam.workflows.session.models import open_predictor

SIZE = (120, 160)


class DarkJudge:
    """A network that outlines the connected dark area under a click."""

    def __init__(self) -> None:
        self.asked: list[tuple[float, float]] = []

    def look(self, picture: NDArray[np.uint8]) -> None:
        self.dark = (picture < 70).astype(np.uint8)
        self.disc = (picture < 160).astype(np.uint8)

    def answer(self, points: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
        self.asked += points
        out = []
        for x, y in points:
            _, labels = cv2.connectedComponents(self.dark if self.dark[round(y), round(x)] else self.disc)
            at = labels[round(y), round(x)]
            out.append((labels == at) & (at > 0))
        return np.stack(out)


class SeeingJudge(DarkJudge):
    """A network that also has a map of the parts of the eye: of the given pupil, or of none."""

    def __init__(self, pupil: Ellipse | None) -> None:
        super().__init__()
        self.pupil = pupil

    def parts(self, picture: NDArray[np.uint8]) -> PartMap:
        size = (picture.shape[0], picture.shape[1])
        if self.pupil is None:
            return PartMap(*np.zeros((3, *size), np.float32))
        pupil = self.pupil.mask(size).astype(np.float32)
        iris = self.pupil.scaled(2.0, about=self.pupil.center).mask(size).astype(np.float32) - pupil
        return PartMap(pupil, iris, np.zeros(size, np.float32))


class ContraryJudge(DarkJudge):
    """A network that never means what was clicked."""

    def answer(self, points: Sequence[tuple[float, float]]) -> NDArray[np.bool_]:
        return np.zeros((len(points), *self.dark.shape), np.bool_)


def noisy(pictures: Sequence[NDArray[np.uint8]]) -> list[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    return [np.clip(p + rng.normal(0, 3, p.shape), 0, 255).astype(np.uint8) for p in pictures]


def clip(truth: Sequence[Ellipse | None]) -> SequenceSource:
    return SequenceSource(noisy([eye_picture(e, SIZE) for e in truth]), fps=10.0)


def test_pupil_and_iris_are_found_and_told_as_a_user_would() -> None:
    truth = eye_truth(30)
    finding = find_eye(clip(truth), DarkJudge())
    eye = finding.eyes[0]
    assert [p.name for p in finding.prompts] == ["pupil", "iris"]
    pupil, iris = finding.prompts
    where = truth[pupil.frame_idx]
    assert where is not None and where.contains(pupil.points[0]) and pupil.labels.tolist() == [1]
    assert not where.contains(iris.points[0])
    assert Ellipse(where.center, (60, 60)).contains(iris.points[0]) and iris.frame_idx == pupil.frame_idx
    told = finding.to_dict()["eyes"][0]
    assert told["found"] and told["score"] >= CONVINCING and told["network_agreement"] > 0.6
    assert len(eye.frames) == FRAMES_A_ROUND


def test_a_reflection_is_named_and_the_click_avoids_it() -> None:
    pictures = noisy([eye_picture(e, SIZE) for e in eye_truth(10)])
    truth = eye_truth(10)
    for picture, e in zip(pictures, truth, strict=True):
        assert e is not None
        cv2.circle(picture, (round(e.center[0]), round(e.center[1])), 2, 255, -1)
    finding = find_eye(SequenceSource(pictures, fps=10.0), None)
    found = {p.name: p for p in finding.prompts}
    at = truth[found["pupil"].frame_idx]
    assert at is not None and at.contains(found["pupil"].points[0])
    assert np.hypot(*(found["pupil"].points[0] - at.center)) > 2.5
    assert np.hypot(*(found["cr"].points[0] - at.center)) < 1.5


def test_a_closed_eye_at_the_start_is_waited_for() -> None:
    truth = [None] * 31 + eye_truth(60)[31:]
    finding = find_eye(clip(truth), DarkJudge())
    assert finding.prompts and finding.prompts[0].frame_idx >= 31


def test_nothing_convincing_is_said_with_a_frame_to_click() -> None:
    finding = find_eye(clip([None] * 12), DarkJudge())
    assert finding.prompts == []
    with pytest.raises(PromptError, match=r"ocusam eye eye\.mp4 -o run --point pupil:"):
        raise nothing_found(finding, "ocusam eye eye.mp4 -o run")
    black = find_eye(SequenceSource([np.zeros(SIZE, np.uint8)] * 3), None)
    assert "none shows anything like one" in str(nothing_found(black))


def test_a_network_that_disagrees_lowers_the_score() -> None:
    agreed, contrary = (find_eye(clip(eye_truth(10)), judge) for judge in (DarkJudge(), ContraryJudge()))
    best = agreed.eyes[0].best, contrary.eyes[0].best
    assert best[0] is not None and best[1] is not None
    assert best[0].score > best[1].score + 0.1


def test_the_map_finds_a_pupil_that_is_no_dark_disc() -> None:
    pupil = Ellipse((120.0, 85.0), (30.0, 30.0), 0.0)
    rng = np.random.default_rng(0)
    # A bright pupil in a grey iris, off centre, and a darker disc elsewhere: the picture prefers the disc.
    picture = eye_picture(Ellipse((45.0, 40.0), (24.0, 24.0), 0.0), SIZE)
    picture[pupil.scaled(2.0, about=pupil.center).mask(SIZE)] = 120
    picture[pupil.mask(SIZE)] = 190
    pictures = [np.clip(picture + rng.normal(0, 3, SIZE), 0, 255).astype(np.uint8) for _ in range(3)]
    alone, helped = (find_eye(SequenceSource(pictures, fps=10.0), j) for j in (None, SeeingJudge(pupil)))
    best = alone.eyes[0].best, helped.eyes[0].best
    assert best[0] is not None and not best[0].candidate.bright
    assert best[1] is not None and best[1].candidate.bright
    found = {p.name: p.points[0] for p in helped.prompts}
    assert pupil.contains(found["pupil"])
    away = np.hypot(*(found["iris"] - pupil.center)) / 15.0
    assert 1.2 < away < 1.8  # the middle of the ring
    told = helped.to_dict()["eyes"][0]["network_map"]
    assert told["overlap"] > 0.7 and told["iris"] > 0.8


def test_a_map_without_an_eye_lowers_the_score() -> None:
    seen, unseen = (find_eye(clip(eye_truth(10)), SeeingJudge(p)) for p in (eye_truth(10)[5], None))
    best = seen.eyes[0].best, unseen.eyes[0].best
    assert best[0] is not None and best[1] is not None
    assert best[0].score > best[1].score + 0.3


def test_only_networks_that_name_parts_have_a_map() -> None:
    picture = eye_picture(eye_truth(1)[0], SIZE)
    bare = judge_of(build_sam2_video_predictor("miniature"))
    nano = judge_of(open_predictor("nano").predictor)
    assert parts_of_picture(bare, picture) is None and parts_of_picture(DarkJudge(), picture) is None
    seen = parts_of_picture(nano, picture)
    assert seen is not None and seen.pupil.shape == SIZE and 0 <= seen.pupil.min() <= seen.pupil.max() <= 1


def test_the_click_keeps_away_from_what_the_map_calls_a_reflection() -> None:
    pupil = Ellipse((60.0, 55.0), (30.0, 30.0), 0.0)
    picture = eye_picture(pupil, SIZE)
    place = find_candidates(picture)[0]
    seen = SeeingJudge(pupil).parts(picture)
    assert np.hypot(*np.subtract(free_of_specks(picture, place, seen), pupil.center)) < 1.5
    seen.cr[48:62, 53:67] = 1.0
    x, y = free_of_specks(picture, place, seen)
    assert pupil.contains(np.array([x, y])) and seen.cr[round(y), round(x)] < 0.5


def test_each_view_gets_its_own_and_an_empty_one_none() -> None:
    left, blank = eye_truth(10), np.full(SIZE, 200, np.uint8)
    three = [np.concatenate([eye_picture(e, SIZE), blank, eye_picture(e, SIZE)], axis=1) for e in left]
    finding = find_eye(SequenceSource(noisy(three), fps=10.0), DarkJudge(), views="3x1")
    assert [bool(eye.prompts) for eye in finding.eyes] == [True, False, True]
    third = next(p for p in finding.prompts if p.name == "pupil" and p.points[0, 0] > 320)
    where = left[third.frame_idx]
    assert where is not None and where.translated(320, 0).contains(third.points[0])


def test_two_eyes_in_an_ordinary_picture_are_split() -> None:
    pair = [np.concatenate([eye_picture(e, SIZE)] * 2, axis=1) for e in eye_truth(10)]
    tall = [np.concatenate([p, np.full((140, 320), 200, np.uint8)]) for p in pair]
    finding = find_eye(SequenceSource(noisy(tall), fps=10.0), DarkJudge())
    assert finding.views == "2x1"
    assert len([p for p in finding.prompts if p.name == "pupil"]) == 2


def test_streams_are_refused() -> None:
    with pytest.raises(PromptError, match="only once"):
        find_eye(IterableSource(iter([np.zeros(SIZE, np.uint8)] * 3)), None)


@pytest.mark.parametrize(("fps", "count", "last"), [(200.0, 827, 599), (None, 20, 19), (30.0, None, 89)])
def test_frames_lie_within_the_round(fps: float | None, count: int | None, last: int) -> None:
    frames = frames_of_round((0.0, 3.0), fps, count)
    assert len(frames) == FRAMES_A_ROUND and sorted(set(frames)) == frames
    assert frames[0] > 0 and frames[-1] <= last
    assert frames_of_round((3.0, 15.0), 30.0, 60) == []


def test_a_video_that_breaks_off_is_searched_as_far_as_it_goes(tmp_path: Path) -> None:
    from fake_predictor import write_eye_video

    whole, broken = tmp_path / "whole.mkv", tmp_path / "broken.mkv"
    write_eye_video(whole, eye_truth(200))
    broken.write_bytes(whole.read_bytes()[: whole.stat().st_size // 3])
    with open_video(broken) as source:
        assert find_eye(source, DarkJudge()).prompts
