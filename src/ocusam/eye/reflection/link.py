"""Which of the spots of a whole recording are corneal reflections, and which is which.

Purpose: spots were found on every frame for itself (`find`). `discover` picks out those that behave like
reflections of lamps; `anchored` starts from clicks instead; `GlintFollower` (`follow`) then goes through the
recording from there, forward and backward.

Notable choices. A reflection goes along with the pupil by about half of the pupil's way, a highlight of the
lid or a lash does not go along, and noise comes and goes. So the places of all spots of a stretch are looked
at less a share of the pupil's place: what heaps up there on half of the frames is a reflection, if it heaps
up better so than where the picture stands still. The share is that with which most heaps up. Of several
stretches the one that shows most is where following begins.

What it does not know: lamps that shine only outside the stretches looked at; a mark on the cornea that goes
along as well (there is none such in pictures of eyes we know).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection.follow import SHARE_OF_PUPIL, Glint, GlintFollower, nearest
from ocusam.eye.reflection.spot import Spot

FloatArray = NDArray[np.float64]
MAX_GLINTS = 8
LEAST_PRESENCE = 0.5
"""Share of a stretch's frames on which a reflection must be seen."""
LEAST_CONTRAST = 20.0
SHARES = (0.35, 0.42, 0.48, 0.54, 0.62)
LIKE_AREA, LIKE_CONTRAST = 0.35, 0.5
WIDEST = 1.1
"""How far a reflection may lie from the one that stands out most, in diameters of the pupil."""
_NEAR_PX, _NEAR_SHARE = 1.0, 0.04  # how close together a reflection's places lie
_LEAST_FRAMES = 8
_STILL = 0.6  # a heap that is so much tighter in the standing picture is none of the eye's
_MOST_POINTS = 1500


@dataclass(frozen=True, eq=False)
class Seen:
    """One frame.

    Attributes:
        frame_idx: its number.
        pupil: None where it is not tracked.
        spots: found near it.
    """

    frame_idx: int
    pupil: Ellipse | None
    spots: list[Spot]


@dataclass(frozen=True, eq=False)
class Start:
    """Where following begins.

    Attributes:
        frame_idx: the frame.
        share: way of a reflection over that of the pupil.
        glints: by name; their places are what is left of a spot's place less the share of the pupil's.
        score: how much is seen there.
    """

    frame_idx: int
    share: float
    glints: dict[str, Glint]
    score: float

    def follower(self, pupil: Ellipse) -> GlintFollower:
        """A new one, at the frame."""
        out = GlintFollower.knowing(self.share)
        out.pupil = np.array(pupil.center)
        out.origin = self.share * out.pupil
        for name, g in self.glints.items():
            out.glints[name] = Glint(g.place.copy(), g.diameter, g.area, g.contrast)
        return out


def discover(stretch: Sequence[Seen], limit: int = MAX_GLINTS) -> Start | None:
    """The reflections of a stretch of frames, None where there are none.

    Args:
        stretch: frames in order; those without a pupil are left out.
        limit: at most so many, those seen most often.

    Returns:
        Names are cr0, cr1, ... from left to right.
    """
    frames = [seen for seen in stretch if seen.pupil is not None]
    frames = frames[:: max(1, math.ceil(sum(len(s.spots) for s in frames) / _MOST_POINTS))]
    if len(frames) < _LEAST_FRAMES:
        return None
    spots = [(i, s) for i, seen in enumerate(frames) for s in seen.spots if s.contrast >= LEAST_CONTRAST]
    if not spots:
        return None
    at = np.array([s.ellipse.center for _, s in spots])
    of = np.array([i for i, _ in spots])
    pupil = np.array([seen.pupil.center for seen in frames if seen.pupil is not None])
    size = float(np.median([seen.pupil.major for seen in frames if seen.pupil is not None]))
    near = _NEAR_PX + _NEAR_SHARE * size
    found = {share: _heaps(at - share * pupil[of], of, len(frames), near) for share in SHARES}
    value = {s: sum(_worth(at[h] - s * pupil[of[h]], of[h], near) for h in hs) for s, hs in found.items()}
    best = max(SHARES, key=lambda share: value[share])
    heaps = [h for h in found[best] if _goes_along(at[h], pupil[of[h]], best)]
    if not heaps:
        return None
    heaps = sorted(_alike(heaps, spots, pupil, size), key=lambda h: -len(set(of[h])))[:limit]
    # Begin where most of them are seen.
    count = np.zeros(len(frames), dtype=np.int64)
    for h in heaps:
        count[np.unique(of[h])] += 1
    begin = int(np.argmax(count))
    glints: dict[str, Glint] = {}
    places = [np.median(at[h] - best * pupil[of[h]], axis=0) for h in heaps]
    for k in np.argsort([place[0] for place in places], kind="stable"):
        members = [spots[j][1] for j in heaps[k]]
        glints[f"cr{len(glints)}"] = Glint(
            places[k],
            float(np.median([s.ellipse.major for s in members])),
            max(float(np.median([s.area_px for s in members])), 1.0),
            float(np.median([s.contrast for s in members])),
        )
    score = sum(len(set(of[h])) for h in heaps) / len(frames)
    return Start(frames[begin].frame_idx, best, glints, score)


def _heaps(places: FloatArray, of: NDArray[np.int64], frames: int, near: float) -> list[NDArray[np.int64]]:
    """Groups of spots that lie together on at least `LEAST_PRESENCE` of the frames, the largest first."""
    left = np.ones(len(places), dtype=np.bool_)
    close = np.hypot(*(places[:, None] - places[None]).transpose(2, 0, 1)) < near
    out: list[NDArray[np.int64]] = []
    while left.any():
        count = (close & left[None]).sum(axis=1) * left
        middle = places[(close[int(np.argmax(count))]) & left].mean(axis=0)
        mine = np.flatnonzero(left & (np.hypot(*(places - middle).T) < near))
        if len(set(of[mine])) < LEAST_PRESENCE * frames:
            break
        out.append(mine)
        left &= np.hypot(*(places - middle).T) >= 1.5 * near
    return out


def _worth(places: FloatArray, of: NDArray[np.int64], near: float) -> float:
    """Frames on which a heap is seen, fewer the wider it lies."""
    return len(set(of)) * (1.0 - 0.5 * float(np.sqrt(places.var(axis=0).sum())) / near)


def _goes_along(at: FloatArray, pupil: FloatArray, share: float) -> bool:
    """Whether a spot's places are tighter less the share of the pupil's than as they are."""
    moving = float(np.sqrt((at - share * pupil).var(axis=0).sum()))
    still = float(np.sqrt(at.var(axis=0).sum()))
    return not still < _STILL * moving


def _alike(
    heaps: list[NDArray[np.int64]], spots: list[tuple[int, Spot]], pupil: FloatArray, size: float
) -> list[NDArray[np.int64]]:
    """Those about as large and bright as the one that stands out most, near the pupil's middle: lamps of one
    camera are alike, what glistens on lids and lashes is smaller."""
    area = np.array([np.median([spots[j][1].area_px for j in h]) for h in heaps])
    bright = np.array([np.median([spots[j][1].contrast for j in h]) for h in heaps])
    off = np.array([np.array(spots[h[0]][1].ellipse.center) - pupil[spots[h[0]][0]] for h in heaps]) / size
    best = int(np.argmax(bright * np.sqrt(area) * np.exp(-(off**2).sum(axis=1))))
    alike = (area >= LIKE_AREA * area[best]) & (area <= area[best] / LIKE_AREA)
    alike &= bright >= LIKE_CONTRAST * bright[best]
    alike &= np.hypot(*(off - off[best]).T) < WIDEST
    return [h for h, same in zip(heaps, alike.tolist(), strict=True) if same]


def anchored(clicks: Mapping[str, Sequence[tuple[Seen, Ellipse]]]) -> Start | None:
    """Start from places that are known.

    Args:
        clicks: name -> frames, with about where it is and how large, px; the first that shows a spot there
            counts.
    """
    glints: dict[str, Glint] = {}
    begin: int | None = None
    for name, places in clicks.items():
        for seen, place in places:
            spot = nearest(seen.spots, place) if seen.pupil is not None else None
            if spot is None or seen.pupil is None:
                continue
            glints[name] = Glint.of(spot, SHARE_OF_PUPIL * np.array(seen.pupil.center))
            begin = seen.frame_idx if begin is None else begin
            break
    return None if begin is None else Start(begin, SHARE_OF_PUPIL, glints, float(len(glints)))
