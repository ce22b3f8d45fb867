"""Reflections followed from frame to frame among the spots of every picture, with the pupil as guide.

Purpose: masks of reflections are a few cells large, come and go, and swap lamps. `GlintFollower` needs only
the place where each reflection was once (the click); from there on it says which of the spots near the pupil
(`find.find_spots`) is which reflection. `link` hands it the spots stored while a recording was measured.

Notable choices. When the eye turns, reflections move along with the pupil by about half of its way (the
centre of the cornea's curvature lies about half as far from the eye's centre of rotation as the pupil); how
much exactly is learnt as frames pass. What is missing from that is nearly the same for all lamps. So the
lamps' reflections are one constellation: its place goes with the pupil and is found anew on every frame (of
all shifts that bring one reflection onto one spot, the one that brings most of them onto spots of their own
size and brightness), its shape is learnt slowly, so that a frame smeared by a saccade does not bend it. A
reflection that has no spot there is *lost* on that frame; it comes back in its place among the others. Where
none is seen, the search widens with every frame, up to a third of a pupil. Where the constellation used to be
over the last frames (`home`) is remembered beside where it was seen last: a speck that was taken for a hidden
lamp gives way when the lamp comes back.

What it does not know: which lamp a reflection belongs to but by its place among the others; a lamp alone may
take another's place while it is away.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.find import LEAST_CONTRAST, find_spots
from ocusam.eye.reflection.spot import Spot, locate_reflection

FloatArray = NDArray[np.float64]

SHARE_OF_PUPIL = 0.48
"""Way of a reflection over that of the pupil, before anything has been seen."""
SHARE_RANGE = (0.25, 0.9)
_SHARE_WEIGHT = 400.0  # px^2 of the pupil's motion that the first value is worth
_NEAR_PX, _NEAR_SHARE = 1.5, 0.04  # reach of the search, px and share of the pupil's diameter
_OF_MOTION = 0.15  # reach added for each px that the pupil moved
_GROWTH = 0.02  # reach added for each frame away, share of the pupil's diameter
_WIDEST = 0.35
_HOME = 0.01  # how fast the place where it used to be follows
_HOME_SHARE = 0.7  # of what it costs to be far away: far from there, the rest from where it is looked for
_OFF_HOME = 0.1  # of the pupil's way from where it used to be: how far off the reflections may be
_LEAST_OF_USUAL = 0.3
_SIZE_RANGE = 4.0  # of the area, either way
_MEMORY = 0.1  # how fast the usual size and contrast follow
_RIGID_PX, _RIGID_SHARE, _RIGID_OF_MOTION = 1.0, 0.02, 0.06  # by how much lamps move apart from each other
_FAR = 0.35  # what a spot at the end of the reach costs, against 1 for a spot that fits
_RECENT = 60  # frames since a reflection was seen, up to which it is missed
_BEND, _BEND_MOVING = 0.3, 0.05  # how fast the shape follows
_STILL = 0.04  # motion of the pupil that is still, of its diameter


@dataclass(eq=False)
class Glint:
    """What is remembered of one reflection."""

    place: FloatArray  # in the constellation
    diameter: float
    area: float
    contrast: float
    away: int = 0

    @classmethod
    def of(cls, spot: Spot, origin: FloatArray) -> Glint:
        """As first seen."""
        return cls(
            np.array(spot.ellipse.center) - origin, spot.ellipse.major, max(spot.area_px, 1.0), spot.contrast
        )


@dataclass(eq=False)
class GlintFollower:
    """Follows the reflections of one eye; call `step` on one frame after another, in either direction of
    time.

    Attributes:
        share: way of a reflection over that of the pupil, as learnt so far.
        glints: what is followed, by name.
        origin: where the constellation was when it was last seen.
        pupil: where the pupil was then.
        away: frames since.
        home: means of origin and pupil over the last frames.
    """

    share: float = SHARE_OF_PUPIL
    glints: dict[str, Glint] = field(default_factory=dict)
    origin: FloatArray = field(default_factory=lambda: np.zeros(2))
    pupil: FloatArray | None = None
    away: int = 0
    home: tuple[FloatArray, FloatArray] | None = None
    _sums: FloatArray = field(
        default_factory=lambda: np.array([SHARE_OF_PUPIL * _SHARE_WEIGHT, _SHARE_WEIGHT])
    )

    @classmethod
    def knowing(cls, share: float) -> GlintFollower:
        """One that begins with another share."""
        return cls(share=share, _sums=np.array([share * _SHARE_WEIGHT, _SHARE_WEIGHT]))

    def begin(
        self, picture: NDArray[np.uint8], clicks: Mapping[str, Ellipse], pupil: Ellipse | None
    ) -> dict[str, Spot]:
        """Take what stands at some places of a frame as the reflections to follow.

        Args:
            picture: (H, W) grey or (H, W, 3) RGB.
            clicks: name -> about where it is and how large, px.
            pupil: on the same frame.

        Returns:
            The spots found; a name without one, or whose light runs together with another's, is not followed.
        """
        grey = _grey(picture)
        found: dict[str, Spot] = {}
        seen = find_spots(grey, pupil) if pupil is not None else []
        for name, place in clicks.items():
            spot = nearest(seen, place) or locate_reflection(grey, place)
            if spot is None or math.dist(spot.ellipse.center, place.center) > 0.5 * place.major + 1.5:
                continue
            merged = any(
                math.dist(spot.ellipse.center, other.ellipse.center) < 0.5 * spot.ellipse.major
                for other in found.values()
            )
            if contrast_of(grey, spot) < LEAST_CONTRAST or merged:
                continue
            found[name] = spot
        if found and not self.glints:
            self.origin = np.mean([s.ellipse.center for s in found.values()], axis=0)
            self.pupil = None if pupil is None else np.array(pupil.center)
        for name, spot in found.items():
            self.glints[name] = Glint.of(spot, self.origin)
        return found

    def step(self, picture: NDArray[np.uint8], pupil: Ellipse | None) -> dict[str, Spot]:
        """The reflections on the next frame.

        Args:
            picture: (H, W) grey or (H, W, 3) RGB.
            pupil: measured on this frame; None in a blink or where it is lost.

        Returns:
            Spots by name, of those that are seen.
        """
        if not self.glints:
            return {}
        grey = _grey(picture)
        where = pupil
        if where is None:  # where the reflections were
            places = self.origin + np.array([g.place for g in self.glints.values()])
            size = max(20.0, 4.0 * max(g.diameter for g in self.glints.values()), float(np.ptp(places)))
            middle = places.mean(axis=0)
            where = Ellipse((float(middle[0]), float(middle[1])), (size, size))
        return self.among(find_spots(grey, where), pupil)

    def among(
        self, spots: Sequence[Spot], pupil: Ellipse | None, pins: Mapping[str, Ellipse] | None = None
    ) -> dict[str, Spot]:
        """As `step`, with the spots of the frame already found; `pins`: where somebody says that some of the
        reflections are, about; a spot there is theirs."""
        want = self._expected(pupil)
        at = {name: j for name, place in (pins or {}).items() if (j := nearest_of(spots, place)) is not None}
        matched = {n: j for n, j in self._match(spots, want, pupil).items() if j not in at.values()}
        chosen = {name: spots[j] for name, j in (matched | at).items()}
        for name, glint in self.glints.items():
            glint.away = 0 if name in chosen else glint.away + 1
        if chosen:
            self._learn(chosen, want, pupil)
        else:
            self.away += 1
        for name in at:
            self.glints[name].place = np.array(chosen[name].ellipse.center) - self.origin
            self.home = None
        return chosen

    def _expected(self, pupil: Ellipse | None) -> FloatArray:
        """Where the constellation is looked for."""
        if pupil is None or self.pupil is None:
            return self.origin
        return self.origin + self.share * (np.array(pupil.center) - self.pupil)

    def _moved(self, pupil: Ellipse | None) -> float:
        """How far the pupil has moved since anything was seen, px."""
        if pupil is None or self.pupil is None:
            return 0.0
        return math.dist(pupil.center, (float(self.pupil[0]), float(self.pupil[1])))

    def _match(self, spots: Sequence[Spot], origin: FloatArray, pupil: Ellipse | None) -> dict[str, int]:
        """Reflection -> number of its spot."""
        if not spots or not self.glints:
            return {}
        glints = list(self.glints.values())
        size = max(0.0 if pupil is None else pupil.major, 4.0 * max(g.diameter for g in glints))
        moved = self._moved(pupil)
        reach = _NEAR_PX + _NEAR_SHARE * size + _OF_MOTION * moved + _GROWTH * size * self.away
        reach = min(reach, _NEAR_PX + _WIDEST * size)
        away = np.array([min(g.away, 20) for g in glints])
        rigid = (_RIGID_PX + _RIGID_SHARE * size + _RIGID_OF_MOTION * moved) * (1.0 + 0.1 * away)
        place = np.array([s.ellipse.center for s in spots])
        off = place[None] - (origin + np.array([g.place for g in glints]))[:, None]  # (glints, spots, 2)
        larger = (
            np.log([max(s.area_px, 1.0) for s in spots])[None] - np.log([g.area for g in glints])[:, None]
        )
        larger = np.abs(larger) / math.log(_SIZE_RANGE)
        # Smeared over its way, a spot is longer and paler.
        bright = np.array([s.contrast for s in spots])[None] / np.array([g.contrast for g in glints])[:, None]
        fits = 1.0 - 0.25 * larger**2 - 0.25 * np.clip(1.0 - bright, 0.0, 1.0)
        possible = (larger < 1.0) & (bright > _LEAST_OF_USUAL)
        near = np.linalg.norm(off, axis=-1) < reach + 0.5 * rigid[:, None]
        back = np.zeros(2)  # from where it is looked for to where it used to be
        wide = reach
        if self.home is not None and pupil is not None:
            way = np.array(pupil.center) - self.home[1]
            back, wide = self.home[0] + self.share * way - origin, reach + _OFF_HOME * float(np.hypot(*way))
            near |= np.linalg.norm(off - back, axis=-1) < reach + 0.5 * rigid[:, None]
        possible &= near
        if not possible.any():
            return {}
        shifts = np.concatenate([np.zeros((1, 2)), off[possible]])
        apart = np.linalg.norm(off[None] - shifts[:, None, None], axis=-1) / rigid[:, None]
        value = np.where(possible[None] & (apart < 1.0), fits[None] - 0.5 * apart**2, 0.0)
        from_here = np.minimum(np.linalg.norm(shifts, axis=1) / reach, 1.0)
        from_home = np.minimum(np.linalg.norm(shifts - back, axis=1) / wide, 1.0)
        cost = _FAR * ((1.0 - _HOME_SHARE) * from_here + _HOME_SHARE * from_home)
        best = int(np.argmax(value.max(axis=2).sum(axis=1) - cost * max(1.0, 0.5 * len(glints))))
        return _greedy(value[best], list(self.glints))

    def _learn(self, chosen: Mapping[str, Spot], want: FloatArray, pupil: Ellipse | None) -> None:
        """Take over what was seen."""
        at = {name: np.array(spot.ellipse.center) for name, spot in chosen.items()}
        origin = np.median([at[n] - self.glints[n].place for n in chosen], axis=0)
        moved = self._moved(pupil)
        if pupil is not None:
            here = np.array(pupil.center)
            if self.pupil is not None and self.away < 5 and moved > 1.0:
                way = here - self.pupil
                self._sums += (float(way @ (origin - self.origin)), float(way @ way))
                self.share = float(np.clip(self._sums[0] / self._sums[1], *SHARE_RANGE))
                self._sums *= 0.995
            self.pupil = here
            old = self.home or (origin, here)
            self.home = (old[0] + _HOME * (origin - old[0]), old[1] + _HOME * (here - old[1]))
        elif self.pupil is not None:
            # Nobody says where the pupil is: as far as the reflections tell.
            self.pupil = self.pupil + (origin - self.origin) / self.share
        still = pupil is None or moved < _STILL * pupil.major
        # A few of many may be in the wrong places: keep looking for one where more of them fit.
        sure = 2 * len(chosen) >= sum(g.away < _RECENT for g in self.glints.values())
        self.origin, self.away = origin, 0 if sure else self.away + 1
        for name, spot in chosen.items():
            glint = self.glints[name]
            glint.place = glint.place + (_BEND if still else _BEND_MOVING) * (at[name] - origin - glint.place)
            area = max(spot.area_px, 1.0)
            glint.area = math.exp((1 - _MEMORY) * math.log(glint.area) + _MEMORY * math.log(area))
            glint.diameter += _MEMORY * (spot.ellipse.major - glint.diameter)
            glint.contrast += _MEMORY * (spot.contrast - glint.contrast)


def _greedy(value: FloatArray, names: list[str]) -> dict[str, int]:
    """Row's name -> column, the best pair first, each column once."""
    left, chosen = value.copy(), {}
    while left.max() > 0.0:
        i, j = np.unravel_index(int(np.argmax(left)), left.shape)
        chosen[names[int(i)]] = int(j)
        left[i], left[:, j] = 0.0, 0.0
    return chosen


def nearest(spots: Sequence[Spot], place: Ellipse) -> Spot | None:
    """The spot at a click: the nearest whose centre lies within its size or that of the place."""
    i = nearest_of(spots, place)
    return None if i is None else spots[i]


def nearest_of(spots: Sequence[Spot], place: Ellipse) -> int | None:
    """As `nearest`, its number."""
    near = [
        (away, i)
        for i, s in enumerate(spots)
        if (away := math.dist(s.ellipse.center, place.center))
        <= 0.5 * max(place.major, s.ellipse.major) + 1.0
    ]
    return min(near)[1] if near else None


def _grey(picture: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.uint8] | NDArray[np.float32]:
    if picture.ndim == 3:
        return np.asarray(cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY))
    return picture


def contrast_of(grey: NDArray[np.float32] | NDArray[np.uint8], spot: Spot) -> float:
    """Brightness of a spot's middle above a ring around it."""
    x, y = spot.ellipse.center
    reach = math.ceil(1.2 * spot.ellipse.major + 2.0)
    x0, y0 = max(0, round(x) - reach), max(0, round(y) - reach)
    part = grey[y0 : round(y) + reach + 1, x0 : round(x) + reach + 1]
    if part.size == 0:
        return 0.0
    rows, cols = np.mgrid[: part.shape[0], : part.shape[1]]
    away = np.hypot(cols + x0 - x, rows + y0 - y)
    ring = part[away > 0.8 * spot.ellipse.major + 1.0]
    inside = part[away <= max(0.3 * spot.ellipse.major, 0.8)]
    return float(np.mean(inside)) - float(np.median(ring)) if ring.size and inside.size else 0.0
