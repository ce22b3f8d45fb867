"""Reflections followed through a recording on the picture itself, with the pupil as guide.

Purpose: masks of reflections are a few cells large, come and go, and swap lamps. `GlintFollower` needs only
the place where each reflection was once (the click); from there it looks for the light itself, frame by
frame. `follow_reflections` does so for a recording's table.

Notable choices. When the eye turns, a reflection moves along with the pupil by about half of its way (the
centre of the cornea's curvature lies about half as far from the eye's centre of rotation as the pupil); how
much exactly is learnt as frames pass. So a reflection is expected where it was last seen, plus that share of
the pupil's way since. Candidates are round bright spots of its size near there; two reflections never take
the same spot, the best pair goes first, and those found tell by their common shift where to look for the
rest. A spot counts only when it is about as bright against its surroundings, and about as large, as the
reflection usually is. Where there is none, the reflection is *lost* on that frame, and keeps its place for
when it comes back; the longer it is away, the wider it is searched, and never wider than half a pupil.

What it does not know: which lamp a reflection belongs to but by its place among the others; lamps nearer to
each other than the pupil's motion leaves open may swap while they are away.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import cv2
import numpy as np
import polars as pl
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection import Spot, locate_reflection
from ocusam.eye.signals import LOST, TRACKED, ellipse_of

FloatArray = NDArray[np.float64]

SHARE_OF_PUPIL = 0.48
"""Way of a reflection over that of the pupil, before anything has been seen."""
SHARE_RANGE = (0.25, 0.9)
_SHARE_WEIGHT = 400.0  # px^2 of the pupil's motion that the first value is worth
_NEAR_PX, _NEAR_SHARE = 1.5, 0.04  # reach of the search, px and share of the pupil's diameter
_OF_MOTION = 0.12  # reach added for each px that the pupil moved
_GROWTH = 0.02  # reach added for each frame away, share of the pupil's diameter
_WIDEST = 0.5
_LEAST_CONTRAST, _LEAST_OF_USUAL = 12.0, 0.35
_SIZE_RANGE = 3.0  # of the area, either way
_MEMORY = 0.1  # how fast the usual size and contrast follow
_MAX_SPOTS = 6


@dataclass(eq=False)
class _Glint:
    """What is remembered of one reflection."""

    at: FloatArray  # where it was last seen
    pupil: FloatArray | None  # where the pupil was then
    diameter: float
    area: float
    contrast: float
    away: int = 0


@dataclass(eq=False)
class GlintFollower:
    """Follows the reflections of one eye; call `step` on one frame after another, in either direction of
    time.

    Attributes:
        share: way of a reflection over that of the pupil, as learnt so far.
    """

    share: float = SHARE_OF_PUPIL
    _glints: dict[str, _Glint] = field(default_factory=dict)
    _sums: FloatArray = field(
        default_factory=lambda: np.array([SHARE_OF_PUPIL * _SHARE_WEIGHT, _SHARE_WEIGHT])
    )

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
        for name, place in clicks.items():
            spot = locate_reflection(grey, place)
            if spot is None or math.dist(spot.ellipse.center, place.center) > 0.5 * place.major + 1.5:
                continue
            contrast = contrast_of(grey, spot)
            merged = any(
                math.dist(spot.ellipse.center, other.ellipse.center) < 0.5 * spot.ellipse.major
                for other in found.values()
            )
            if contrast < _LEAST_CONTRAST or merged:
                continue
            found[name] = spot
            self._glints[name] = _Glint(
                np.array(spot.ellipse.center),
                None if pupil is None else np.array(pupil.center),
                spot.ellipse.major,
                max(spot.area_px, 1.0),
                contrast,
            )
        return found

    def step(self, picture: NDArray[np.uint8], pupil: Ellipse | None) -> dict[str, Spot]:
        """The reflections on the next frame.

        Args:
            picture: (H, W) grey or (H, W, 3) RGB.
            pupil: measured on this frame; None in a blink or where it is lost.

        Returns:
            Spots by name, of those that are seen.
        """
        grey = _grey(picture)
        names = list(self._glints)
        expected = {name: self._expected(self._glints[name], pupil) for name in names}
        chosen = self._choose(grey, names, expected, pupil)
        missing = [n for n in names if n not in chosen]
        if missing and chosen:
            shifts = [np.array(s.ellipse.center) - expected[n] for n, s in chosen.items()]
            shift = np.median(shifts, axis=0)
            taken = [np.array(s.ellipse.center) for s in chosen.values()]
            again = self._choose(grey, missing, {n: expected[n] + shift for n in missing}, pupil, taken)
            chosen |= again
        for name in names:
            self._learn(self._glints[name], chosen.get(name), grey, pupil)
        return chosen

    def _expected(self, glint: _Glint, pupil: Ellipse | None) -> FloatArray:
        if pupil is None or glint.pupil is None:
            return glint.at
        return glint.at + self.share * (np.array(pupil.center) - glint.pupil)

    def _reach(self, glint: _Glint, pupil: Ellipse | None) -> float:
        size = 0.0 if pupil is None else pupil.major
        size = max(size, 4.0 * glint.diameter)
        moved = 0.0
        if pupil is not None and glint.pupil is not None:
            moved = float(np.hypot(*(np.array(pupil.center) - glint.pupil)))
        reach = _NEAR_PX + _NEAR_SHARE * size + _OF_MOTION * moved + _GROWTH * size * glint.away
        return min(reach, _NEAR_PX + _WIDEST * size)

    def _choose(
        self,
        grey: NDArray[np.float32],
        names: list[str],
        expected: dict[str, FloatArray],
        pupil: Ellipse | None,
        taken: list[FloatArray] | None = None,
    ) -> dict[str, Spot]:
        """All reflections choose among all spots, the best pair first."""
        spots: list[Spot] = []
        for name in names:
            glint = self._glints[name]
            for spot in _spots(grey, expected[name], self._reach(glint, pupil), glint):
                centers = [*(np.array(s.ellipse.center) for s in spots), *(taken or [])]
                if all(
                    np.hypot(*(np.array(spot.ellipse.center) - c)) > 0.5 * glint.diameter for c in centers
                ):
                    spots.append(spot)
        if not spots:
            return {}
        pairs = []
        for name in names:
            glint = self._glints[name]
            reach = self._reach(glint, pupil)
            for j, spot in enumerate(spots):
                off = float(np.hypot(*(np.array(spot.ellipse.center) - expected[name]))) / reach
                size = math.log(max(spot.area_px, 1.0) / glint.area) / math.log(_SIZE_RANGE)
                bright = contrast_of(grey, spot) / glint.contrast
                if off < 1.0 and abs(size) < 1.0 and bright > _LEAST_OF_USUAL:
                    pairs.append((0.7 * off**2 + 0.15 * size**2 + 0.15 * max(0.0, 1.0 - bright), name, j))
        chosen: dict[str, Spot] = {}
        used: set[int] = set()
        for _, name, j in sorted(pairs):
            if name not in chosen and j not in used:
                chosen[name] = spots[j]
                used.add(j)
        return chosen

    def _learn(
        self, glint: _Glint, spot: Spot | None, grey: NDArray[np.float32], pupil: Ellipse | None
    ) -> None:
        if spot is None:
            glint.away += 1
            return
        at = np.array(spot.ellipse.center)
        if pupil is not None:
            here = np.array(pupil.center)
            if glint.pupil is not None and glint.away < 5:
                way = here - glint.pupil
                if float(np.hypot(*way)) > 1.0:
                    self._sums += (float(way @ (at - glint.at)), float(way @ way))
                    self.share = float(np.clip(self._sums[0] / self._sums[1], *SHARE_RANGE))
                    self._sums *= 0.995
            glint.pupil = here
        elif glint.pupil is not None:
            # Nobody says where the pupil is: as far as the reflection tells.
            glint.pupil = glint.pupil + (at - glint.at) / self.share
        glint.at, glint.away = at, 0
        glint.area = math.exp(
            (1 - _MEMORY) * math.log(glint.area) + _MEMORY * math.log(max(spot.area_px, 1.0))
        )
        glint.contrast += _MEMORY * (contrast_of(grey, spot) - glint.contrast)


def _grey(picture: NDArray[np.uint8] | NDArray[np.float32]) -> NDArray[np.float32]:
    if picture.ndim == 3:
        picture = cv2.cvtColor(np.ascontiguousarray(picture), cv2.COLOR_RGB2GRAY)
    return np.asarray(picture, dtype=np.float32)


def contrast_of(grey: NDArray[np.float32], spot: Spot) -> float:
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


def _spots(grey: NDArray[np.float32], at: FloatArray, reach: float, glint: _Glint) -> list[Spot]:
    """Round bright spots of about the glint's size within `reach` px, the strongest."""
    sigma = max(0.25 * glint.diameter, 0.7)
    margin = math.ceil(reach + 3.0 * sigma + 2.0)
    x0, y0 = (max(0, math.floor(float(c)) - margin) for c in at)
    part = grey[
        y0 : max(y0, math.ceil(float(at[1])) + margin + 1), x0 : max(x0, math.ceil(float(at[0])) + margin + 1)
    ]
    if min(part.shape, default=0) < 5:
        return []
    blob = cv2.GaussianBlur(part, (0, 0), sigma) - cv2.GaussianBlur(part, (0, 0), 2.0 * sigma)
    top = (blob >= cv2.dilate(blob, np.ones((3, 3), np.uint8))) & (blob > 0.1 * _LEAST_CONTRAST)
    rows, cols = np.nonzero(top)
    away = np.hypot(cols + x0 - at[0], rows + y0 - at[1])
    order = [i for i in np.argsort(-blob[rows, cols]) if away[i] <= reach][:_MAX_SPOTS]
    size = (glint.diameter, glint.diameter)
    found = []
    for i in order:
        place = Ellipse((float(cols[i] + x0), float(rows[i] + y0)), size, 0.0)
        spot = locate_reflection(grey, place)
        if spot is not None and math.dist(spot.ellipse.center, place.center) < glint.diameter:
            found.append(spot)
    return found


def follow_reflections(
    signals: pl.DataFrame,
    pictures: Iterable[tuple[int, NDArray[np.uint8]]],
    anchors: Mapping[str, int],
    *,
    view: int = 0,
    origin: tuple[int, int] = (0, 0),
) -> pl.DataFrame:
    """Measure the reflections of one eye anew, on the pictures.

    Args:
        signals: a recording's table (`signals.COLUMNS`).
        pictures: frame number and the view's picture, in order of time.
        anchors: reflection's name -> frame on which its row can be trusted (the clicked one); rows before the
            last of them stay as they are.
        view: which eye.
        origin: (x, y) of the view's first pixel in the whole picture.

    Returns:
        The table, the rows of these reflections from their anchor on measured by `GlintFollower`: state
        tracked with the edge "picture", or lost and empty.
    """
    mine = signals.filter(pl.col("view") == view)
    at = {name: _ellipses(mine, name, origin) for name in ("pupil", *anchors)}
    start = max(anchors.values(), default=0)
    follower, rows = GlintFollower(), []
    followed: set[str] = set()
    for frame_idx, picture in pictures:
        if frame_idx < start:
            continue
        pupil = at["pupil"].get(frame_idx)
        if not followed:
            clicks = {name: e for name in anchors if (e := at[name].get(frame_idx)) is not None}
            spots = follower.begin(picture, clicks, pupil)
            followed = set(spots)
            if not followed:
                return signals
        else:
            spots = follower.step(picture, pupil)
        rows += [_row(frame_idx, view, name, spots.get(name), origin) for name in sorted(followed)]
    found = pl.DataFrame(
        rows, schema={**dict.fromkeys(_KEY[:2], pl.Int64), "object": pl.String, **_FOUND}, orient="row"
    )
    joined = signals.join(found, on=_KEY, how="left", maintain_order="left", suffix="_new")
    known = pl.col("_found").is_not_null()
    new = [
        pl.when(known).then(pl.col(f"{c}_new")).otherwise(pl.col(c)).alias(c) for c in _FOUND if c != "_found"
    ]
    emptied = [pl.when(known).then(None).otherwise(pl.col(c)).alias(c) for c in _NOT_FOUND]
    return joined.with_columns(*new, *emptied).select(signals.columns)


_KEY = ["frame_idx", "view", "object"]
_FOUND: dict[str, type[pl.DataType]] = {
    "_found": pl.Boolean,
    "state": pl.String,
    "center_x_px": pl.Float64,
    "center_y_px": pl.Float64,
    "major_px": pl.Float64,
    "minor_px": pl.Float64,
    "angle_deg": pl.Float64,
    "area_px": pl.Float64,
    "edge": pl.String,
    "center_sd_px": pl.Float64,
}
_NOT_FOUND = ("rim_share", "fit_rms_px", "parts")  # of the mask, which no longer says anything here


def _row(
    frame_idx: int, view: int, name: str, spot: Spot | None, origin: tuple[int, int]
) -> tuple[object, ...]:
    if spot is None:
        return (frame_idx, view, name, True, LOST, *(None,) * 8)
    e = spot.ellipse.translated(*origin)
    return (
        frame_idx, view, name, True, TRACKED,
        *e.center, e.major, e.minor, e.angle, spot.area_px, "picture", spot.center_sd_px,
    )  # fmt: skip


def _ellipses(mine: pl.DataFrame, name: str, origin: tuple[int, int]) -> dict[int, Ellipse]:
    """Frame -> ellipse of one object, px of the view."""
    rows = mine.filter((pl.col("object") == name) & (pl.col("state") == TRACKED))
    shapes = ((int(row["frame_idx"]), ellipse_of(row)) for row in rows.iter_rows(named=True))
    return {frame: e.translated(-origin[0], -origin[1]) for frame, e in shapes if e is not None}
