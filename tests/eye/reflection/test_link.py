"""Spots found on single pictures, stored, and told apart over time, without any click."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.link import Seen, anchored, discover
from ocusam.eye.reflection.packed import pack, unpack

SIZE = (160, 200)
LAMPS = {"left": (-9.0, -6.0), "right": (9.0, -6.0)}
LID = (96.0, 118.0)  # glistens, and does not move


def _eye(i: int) -> tuple[NDArray[np.uint8], Ellipse, dict[str, tuple[float, float]]]:
    """Frame i: a pupil that wanders, two reflections that go half as far, a wet lid, noise."""
    x, y = 96.0 + 14.0 * math.sin(i / 5.0), 78.0 + 6.0 * math.cos(i / 7.0)
    lit = {n: (96.0 + 0.5 * (x - 96.0) + dx, 78.0 + 0.5 * (y - 78.0) + dy) for n, (dx, dy) in LAMPS.items()}
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    light = np.full(SIZE, 90.0)
    light[np.hypot(cols - x, rows - y) < 25] = 30.0
    for a, b in [*lit.values(), LID]:
        light += 150.0 * np.exp(-((cols - a) ** 2 + (rows - b) ** 2) / (2 * 1.6**2))
    noise = np.random.default_rng(i).normal(0.0, 3.0, SIZE)
    return np.asarray(np.clip(light + noise, 0, 255), np.uint8), Ellipse((x, y), (50.0, 50.0)), lit


def test_spots_are_found_on_one_picture_and_survive_being_stored() -> None:
    picture, pupil, lit = _eye(3)
    spots = unpack(pack(find_spots(picture, pupil), (300.0, 40.0)))
    for x, y in [*lit.values(), LID]:
        assert min(math.dist(s.ellipse.center, (x + 300.0, y + 40.0)) for s in spots) < 0.3
    assert unpack(None) == unpack(b"") == []


def test_lamps_that_touch_stay_two_and_a_smear_stays_one() -> None:
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    two = np.full(SIZE, 40.0)
    for x in (97.0, 103.0):
        two += 150.0 * np.exp(-((cols - x) ** 2 + (rows - 80.0) ** 2) / (2 * 1.8**2))
    pupil = Ellipse((100.0, 80.0), (50.0, 50.0))
    found = find_spots(np.asarray(two, np.uint8), pupil)
    assert sorted(round(s.ellipse.center[0]) for s in found) == [97, 103]
    smear = np.full(SIZE, 40.0)
    smear[79:82, 92:109] = 160.0
    found = find_spots(np.asarray(smear, np.uint8), pupil)
    assert len(found) == 1 and math.dist(found[0].ellipse.center, (100.0, 80.0)) < 0.5
    assert found[0].ellipse.major > 4 * found[0].ellipse.minor
    assert found[0].ellipse.angle == 0.0  # its major axis lies along x


def test_reflections_are_found_in_difficult_surroundings() -> None:
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    light = np.full(SIZE, 60.0)
    light[np.hypot(cols - 100, rows - 80) < 7] = 20.0  # a narrow pupil
    rng = np.random.default_rng(3)
    for x, y in rng.uniform((84, 94), (114, 101), (24, 2)):  # what glistens below
        light[np.hypot(cols - x, rows - y) < 1.5] = 250.0
    light[:, 118:] = 235.0  # white
    lamps = ((84.0, 78.0), (101.0, 83.0), (115.0, 70.0))  # far away, as large as half the pupil, beside white
    for (x, y), size in zip(lamps, (2.0, 4.0, 2.0), strict=True):
        light[np.hypot(cols - x, rows - y) < size] = 250.0
    found = find_spots(np.asarray(light, np.uint8), Ellipse((100.0, 80.0), (14.0, 14.0)))
    for lamp in lamps:
        assert min(math.dist(s.ellipse.center, lamp) for s in found) < 0.5, lamp


def test_reflections_are_those_that_go_along_with_the_pupil() -> None:
    frames = []
    for i in range(40):
        picture, pupil, _ = _eye(i)
        frames.append(Seen(i, None if i in (7, 8) else pupil, find_spots(picture, pupil)))
    start = discover(frames)
    assert start is not None and list(start.glints) == ["cr0", "cr1"]  # and not the lid
    assert 0.4 < start.share < 0.6
    begin = next(seen for seen in frames if seen.frame_idx == start.frame_idx)
    assert begin.pupil is not None
    follower = start.follower(begin.pupil)
    for seen in frames[start.frame_idx :]:
        lit = _eye(seen.frame_idx)[2]
        found = follower.among(seen.spots, seen.pupil)
        if seen.pupil is not None:
            assert math.dist(found["cr0"].ellipse.center, lit["left"]) < 0.5
            assert math.dist(found["cr1"].ellipse.center, lit["right"]) < 0.5
    assert discover(frames[:3]) is None
    assert discover([Seen(s.frame_idx, s.pupil, []) for s in frames]) is None


def test_a_click_names_a_reflection_and_one_beside_the_light_does_not() -> None:
    picture, pupil, lit = _eye(0)
    seen = Seen(0, pupil, find_spots(picture, pupil))
    x, y = lit["right"]
    start = anchored({"cr3": [(seen, Ellipse((x + 2.0, y - 1.0), (6.0, 6.0)))]})
    assert start is not None and list(start.glints) == ["cr3"]
    assert anchored({"cr": [(seen, Ellipse((x + 20.0, y + 15.0), (6.0, 6.0)))]}) is None
