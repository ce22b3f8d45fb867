"""Reflections followed on rendered eyes and on drawn spots, with the pupil as guide."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.find import find_spots
from ocusam.eye.reflection.follow import GlintFollower

SIZE = (160, 200)
OFFSETS = {"cr0": (-12.0, -8.0), "cr1": (10.0, -8.0)}


def _eye(pupil: tuple[float, float], lit: dict[str, tuple[float, float]], seed: int) -> NDArray[np.uint8]:
    """A dark pupil on grey, with small bright spots and noise."""
    rows, cols = np.mgrid[: SIZE[0], : SIZE[1]]
    light = np.full(SIZE, 90.0)
    light[np.hypot(cols - pupil[0], rows - pupil[1]) < 25] = 30.0
    for x, y in lit.values():
        light += 180.0 * np.exp(-((cols - x) ** 2 + (rows - y) ** 2) / (2 * 1.5**2))
    noise = np.random.default_rng(seed).normal(0.0, 3.0, SIZE)
    return np.asarray(np.clip(light + noise, 0, 255), np.uint8)


def _course(n: int) -> list[tuple[tuple[float, float], dict[str, tuple[float, float]]]]:
    """Pupil and reflections of n frames: one saccade of 40 px; reflections go half as far."""
    out = []
    for i in range(n):
        moved = 40.0 * min(max((i - 10) / 4.0, 0.0), 1.0)
        lit = {k: (90.0 + dx + 0.5 * moved, 80.0 + dy) for k, (dx, dy) in OFFSETS.items()}
        if 12 <= i < 20:
            del lit["cr1"]  # a lamp goes out during the saccade
        out.append(((90.0 + moved, 80.0), lit))
    return out


def _disc(at: tuple[float, float], diameter: float) -> Ellipse:
    return Ellipse(at, (diameter, diameter))


def test_reflections_keep_their_names_over_a_saccade_and_a_lamp_that_goes_out() -> None:
    follower = GlintFollower()
    for i, (at, lit) in enumerate(_course(30)):
        picture, pupil = _eye(at, lit, i), _disc(at, 50.0)
        if i == 0:
            clicks = {k: _disc((x + 1.5, y - 1.0), 5.0) for k, (x, y) in lit.items()}
            assert set(follower.begin(picture, clicks, pupil)) == set(lit)
            continue
        found = follower.step(picture, pupil)
        assert set(found) == set(lit), i
        assert all(math.dist(found[k].ellipse.center, lit[k]) < 0.6 for k in lit), i
    assert 0.45 < follower.share < 0.55


def test_a_speck_taken_for_a_hidden_lamp_gives_way_when_that_comes_back() -> None:
    follower, lamp, speck = GlintFollower(), (80.0, 70.0), (89.0, 76.0)
    pupil = _disc((90.0, 80.0), 50.0)
    follower.begin(_eye((90.0, 80.0), {"cr0": lamp}, 0), {"cr0": _disc(lamp, 5.0)}, pupil)
    places = []
    for i in range(1, 80):
        lit = {"speck": speck} if 30 <= i < 50 else {"cr0": lamp, "speck": speck}
        spots = follower.step(_eye((90.0, 80.0), lit, i), pupil)
        places.append((i, spots["cr0"].ellipse.center if "cr0" in spots else None))
    assert any(at is not None and math.dist(at, speck) < 1.0 for i, at in places if 30 <= i < 50)
    assert all(at is not None and math.dist(at, lamp) < 0.6 for i, at in places if not 30 <= i < 50)


def test_a_later_click_says_where_a_reflection_is() -> None:
    follower, here, there = GlintFollower(), (80.0, 70.0), (96.0, 72.0)
    pupil, both = _disc((90.0, 80.0), 50.0), {"a": here, "b": there}
    follower.begin(_eye((90.0, 80.0), both, 0), {"cr0": _disc(here, 5.0)}, pupil)
    for i in range(1, 12):
        spots = find_spots(_eye((90.0, 80.0), both, i), pupil)
        pins = {"cr0": _disc((there[0] + 1.0, there[1]), 5.0)} if i == 6 else None
        at = follower.among(spots, pupil, pins)["cr0"].ellipse.center
        assert math.dist(at, here if i < 6 else there) < 0.6, i


def test_nothing_is_seen_in_the_dark_and_nothing_is_followed_without_light() -> None:
    follower = GlintFollower()
    at, lit = _course(1)[0]
    assert follower.begin(_eye(at, {}, 0), {"cr0": _disc(lit["cr0"], 5.0)}, _disc(at, 50.0)) == {}
    follower.begin(_eye(at, lit, 0), {"cr0": _disc(lit["cr0"], 5.0)}, _disc(at, 50.0))
    assert follower.step(np.zeros(SIZE, np.uint8), None) == {}
    assert set(follower.step(_eye(at, lit, 1), _disc(at, 50.0))) == {"cr0"}
