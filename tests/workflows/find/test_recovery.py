import json

import numpy as np
from numpy.typing import NDArray

from fake_predictor import eye_picture
from ocusam.core.geometry import Ellipse
from ocusam.workflows.find.part_map import PartMap
from ocusam.workflows.find.recovery import FoundAgain, Recovery, is_bright

FPS = 50
PUPIL = Ellipse((60.0, 55.0), (30.0, 24.0), 20.0)
ELSEWHERE = Ellipse((110.0, 60.0), (26.0, 24.0), 0.0)
OPEN, CLOSED = eye_picture(ELSEWHERE), eye_picture(None)


class Says:
    """A judge that outlines a disc, whatever is clicked."""

    def __init__(self, shape: Ellipse) -> None:
        self.shape = shape

    def look(self, picture: NDArray[np.uint8]) -> None:
        self.size = picture.shape[:2]

    def answer(self, points: list[tuple[float, float]]) -> NDArray[np.bool_]:
        return np.stack([self.shape.mask(self.size) for _ in points])


class Names(Says):
    """A judge with a map of the parts of the eye as well: a pupil here, iris around it."""

    def parts(self, picture: NDArray[np.uint8]) -> PartMap:
        size = (picture.shape[0], picture.shape[1])
        pupil = self.shape.mask(size)
        iris = self.shape.scaled(2.0, about=self.shape.center).mask(size) & ~pupil
        return PartMap(*(0.97 * m.astype(np.float32) for m in (pupil, iris, np.zeros(size))))


def noisy(picture: NDArray[np.uint8]) -> NDArray[np.uint8]:
    noise = np.random.default_rng(0).normal(0, 3, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def play(
    frames: list[tuple[bool, NDArray[np.uint8]]],
    policy: Recovery,
    start: int = 0,
    judge: Says | None = None,
) -> tuple[list[int], list[tuple[int, FoundAgain]]]:
    """Feed (seen, picture) frames; once found, the track holds. -> looks, what was found on which frame."""
    looks: list[int] = []
    found: list[tuple[int, FoundAgain]] = []
    for i, (seen, picture) in enumerate(frames, start):
        time = i * 1_000_000_000 // FPS
        seen = seen or bool(found)
        if policy.step(i, time, 3.0 if seen else -3.0, PUPIL if seen else None):
            looks.append(i)
            again = policy.look(time, picture, judge)
            if again is not None:
                found.append((i, again))
                policy.back()
    return looks, found


def test_a_blink_is_not_looked_at() -> None:
    frames = [(True, OPEN)] * 10 + [(False, CLOSED)] * 24 + [(True, OPEN)] * 10
    assert play(frames, Recovery()) == ([], [])


def test_a_lost_pupil_is_found_elsewhere_after_half_a_second_and_a_second_look() -> None:
    looks, found = play([(True, OPEN)] * 10 + [(False, noisy(OPEN))] * 60, Recovery())
    assert looks == [35, 40]
    ((frame, again),) = found
    assert frame == 40 and again.lost_since_frame == 10 and again.lost_ms == 600.0
    assert ELSEWHERE.contains(np.array(again.click)) and again.network_agreement is None
    assert again.picture_probability >= 0.6 and again.score >= 0.6


def test_what_shows_for_one_look_only_is_not_clicked() -> None:
    moved = eye_picture(Ellipse((40.0, 60.0), (26.0, 24.0), 0.0))
    frames = [(True, OPEN)] * 10 + [(False, noisy(OPEN))] * 27 + [(False, noisy(moved))] * 5
    assert play([*frames, *[(False, noisy(CLOSED))] * 100], Recovery())[1] == []


def test_the_network_must_agree() -> None:
    frames = [(True, OPEN)] * 10 + [(False, noisy(OPEN))] * 100
    assert play(frames, Recovery(), judge=Says(Ellipse((30.0, 30.0), (30.0, 30.0), 0.0)))[1] == []
    ((_, again),) = play(frames, Recovery(), judge=Says(ELSEWHERE))[1]
    assert again.network_agreement is not None and again.network_agreement > 0.8


def test_the_map_of_the_network_tells_a_pupil_from_what_looks_like_one() -> None:
    frames = [(True, OPEN)] * 10 + [(False, noisy(OPEN))] * 100
    ((_, again),) = play(frames, Recovery(), judge=Names(ELSEWHERE))[1]
    assert again.score > play(frames, Recovery(), judge=Says(ELSEWHERE))[1][0][1].score
    elsewhere = Names(ELSEWHERE)
    elsewhere.shape = Ellipse((45.0, 60.0), (26.0, 24.0), 0.0)  # skin, of the same size
    elsewhere.answer = Says(ELSEWHERE).answer  # type: ignore[method-assign]
    assert play(frames, Recovery(), judge=elsewhere)[1] == []


def test_a_closed_eye_is_looked_at_less_and_less() -> None:
    looks, found = play([(True, OPEN)] * 10 + [(False, noisy(CLOSED))] * 500, Recovery())
    assert found == []
    gaps = np.diff(looks)
    assert 4 <= len(looks) <= 7 and (np.diff(gaps) > 0).all()


def test_another_size_is_another_thing() -> None:
    assert play([(False, noisy(OPEN))] * 60, Recovery(area=57.0))[1] == []


def test_what_was_never_tracked_is_not_recovered() -> None:
    assert play([(False, noisy(OPEN))] * 60, Recovery()) == ([], [])


def test_slow_cameras_need_ten_frames() -> None:
    policy = Recovery(area=PUPIL.area)
    asked = [policy.step(i, i * 500_000_000, -1.0, None) for i in range(12)]
    assert asked.index(True) == 9


def test_it_goes_on_the_same_after_being_stored_anywhere() -> None:
    frames = [(True, OPEN)] * 10 + [(False, noisy(CLOSED))] * 40 + [(False, noisy(OPEN))] * 60
    looks, found = play(frames, Recovery())
    assert len(found) == 1
    for cut in (5, 20, 36, 45, found[0][0]):  # the last one between the two looks
        first = Recovery()
        before = play(frames[:cut], first)
        assert before[1] == []
        second = Recovery.from_dict(json.loads(json.dumps(first.to_dict())))
        after = play(frames[cut:], second, cut)
        assert (before[0] + after[0], after[1]) == (looks, found)


def test_it_works_backward_in_time() -> None:
    policy = Recovery(area=PUPIL.area)
    asked = [policy.step(500 - i, 10_000_000_000 - i * 20_000_000, -1.0, None) for i in range(40)]
    assert asked.index(True) == 25


def test_bright_pupils_are_told_by_their_surroundings() -> None:
    assert not is_bright(OPEN, ELSEWHERE) and is_bright(255 - OPEN, ELSEWHERE)
