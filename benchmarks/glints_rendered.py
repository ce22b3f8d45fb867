"""How well are corneal reflections found on rendered clips, frame by frame?

    python benchmarks/glints_rendered.py [--clips 20] [--frames 240] [--first-seed 22000000]

Clips in the styles of training that have reflections (lamps that drop out, windows, specks, glasses; several
lamps). `eye.reflection.follow.GlintFollower` gets the true places on the first frame, two px off, and on
every frame the pupil's true centre with noise (0.5 px), or no pupil where less than 30 % of it is in sight;
no mask. A
reflection counts as visible where at least half of its true area is in sight and its middle is 12 grey levels
brighter than the ring around it, with no other within one and a half of its diameter.
Among those, one stands *alone* where on the straight way to every other reflection in sight the light falls
below 85 % of the paler of the two (above the darkest pixel near them). Blur and motion make one light of
lamps whose true outlines lie apart (a bar, a rosette); no picture shows where in it one of them ends, so a
pixel's error there says nothing about the finder. Both are counted; the project's aim speaks of all visible
ones.

Printed for each clip and over all: share of visible ones within 1 px, median error, missed, false (said to be
there while nothing of it is in sight), swapped (nearer to another reflection's truth than to its own); then
how many stand alone, and the share of those within 1 px.
"""

from __future__ import annotations

import argparse
import math
from collections import Counter
from dataclasses import replace

import numpy as np

from ocusam.core.geometry import Ellipse
from ocusam.eye.reflection import Spot
from ocusam.eye.reflection.follow import GlintFollower, contrast_of
from ocusam.synthetic.eye import EyeFrame, draw_style, iter_eye_frames

SIZE = (240, 320)
DIP = 0.85


def seen_share(frame: EyeFrame, name: str) -> float:
    """How much of a reflection is in sight, 0..1."""
    whole = frame.ellipses.get(name)
    if whole is None or name not in frame.coverage:
        return 0.0
    return float(frame.coverage[name].sum(dtype=np.int64)) / 255.0 / max(whole.area, 1e-6)


def clear(frame: EyeFrame, truth: Ellipse | None) -> bool:
    """Whether the picture shows a reflection by itself: 12 grey levels brighter than the ring around it, and
    no other nearer than one and a half of its diameter."""
    if truth is None:
        return False
    others = [e for n, e in frame.ellipses.items() if n.startswith("cr") and e is not None and e is not truth]
    if any(math.dist(e.center, truth.center) < 1.5 * truth.major for e in others):
        return False
    spot = Spot(truth, truth.area, saturated=False)
    return contrast_of(np.asarray(frame.image, np.float32), spot) >= 12.0


def alone(frame: EyeFrame, name: str) -> bool:
    """Whether the light falls on the way from a reflection to every other: see the top."""
    truth = frame.ellipses.get(name)
    if truth is None:
        return False
    grey = np.asarray(frame.image, np.float32)
    height, width = grey.shape
    for other, there in frame.ellipses.items():
        if other == name or not other.startswith("cr") or there is None:
            continue
        if seen_share(frame, other) < 0.05:
            continue
        t = np.linspace(0.0, 1.0, 2 * math.ceil(math.dist(truth.center, there.center)) + 3)
        x = truth.center[0] + t * (there.center[0] - truth.center[0])
        y = truth.center[1] + t * (there.center[1] - truth.center[1])
        cols, rows = np.rint(x).astype(int), np.rint(y).astype(int)
        inside = (cols >= 0) & (cols < width) & (rows >= 0) & (rows < height)
        if not inside[-1]:
            continue
        along, reach = grey[rows[inside], cols[inside]], round(truth.major) + 3
        i, j = max(0, int(rows[0]) - reach), max(0, int(cols[0]) - reach)
        ground = float(grey[i : rows[0] + reach + 1, j : cols[0] + reach + 1].min())
        if float(along.min()) - ground >= DIP * (min(float(along[0]), float(along[-1])) - ground):
            return False
    return True


def judge(
    frame: EyeFrame, spots: dict[str, Spot], names: list[str], count: Counter[str], errors: list[float]
) -> None:
    """Compare one frame with its truth."""
    truth = {n: e for n in names if (e := frame.ellipses.get(n)) is not None and seen_share(frame, n) > 0.05}
    for name in names:
        spot, share = spots.get(name), seen_share(frame, name)
        if share >= 0.5 and clear(frame, truth.get(name)):
            count["visible"] += 1
            by_itself = alone(frame, name)
            count["alone"] += by_itself
            if spot is None:
                count["missed"] += 1
                continue
            error = math.dist(spot.ellipse.center, truth[name].center)
            errors.append(error)
            count["within"] += error <= 1.0
            count["within alone"] += by_itself and error <= 1.0
        if spot is None or not truth:
            count["false"] += spot is not None
            continue
        near = {n: math.dist(spot.ellipse.center, e.center) for n, e in truth.items()}
        best = min(near, key=lambda n: near[n])
        if best != name and near[best] < 0.5 * truth[best].major + 1.0:
            count["swapped"] += 1
        elif share < 0.05:
            count["false"] += 1


def one_clip(seed: int, frames: int, fps: float) -> tuple[Counter[str], list[float]] | None:
    """All frames of one clip; None where it has no reflection to start from."""
    style = draw_style(np.random.default_rng(seed))
    if style.kind != "human" or style.camera.views > 1 or not style.light.leds:
        return None
    style = replace(style, camera=replace(style.camera, dropout=0.0))
    rng = np.random.default_rng(seed)
    follower, names = GlintFollower(), []
    count: Counter[str] = Counter()
    errors: list[float] = []
    for frame in iter_eye_frames(seed, frames, SIZE, fps, style):
        whole = frame.ellipses["pupil"]
        x, y = rng.normal(0.0, 0.5, 2)
        pupil = None
        if whole is not None and frame.pupil_visible_fraction > 0.3:
            pupil = whole.translated(float(x), float(y))
        if not names:
            starts = {n: e for n, e in frame.ellipses.items() if n.startswith("cr") and e is not None}
            starts = {n: e for n, e in starts.items() if seen_share(frame, n) > 0.8 and clear(frame, e)}
            if pupil is None or not starts:
                return None
            clicks = {
                n: Ellipse((e.center[0] + 1.4, e.center[1] - 1.4), (6.0, 6.0)) for n, e in starts.items()
            }
            names = list(follower.begin(frame.image, clicks, pupil))
            if not names:
                return None
            continue
        judge(frame, follower.step(frame.image, pupil), names, count, errors)
    return count, errors


def line(title: str, count: Counter[str], errors: list[float]) -> str:
    """Figures of one clip or of all."""
    seen = max(count["visible"], 1)
    return (
        f"{title}: {count['visible']} visible, within 1 px {count['within'] / seen:.1%}, median error "
        f"{np.median(errors) if errors else math.nan:.2f} px, missed {count['missed'] / seen:.1%}, false "
        f"{count['false'] / seen:.1%}, swapped {count['swapped'] / seen:.1%}; "
        f"{count['alone']} alone, within 1 px {count['within alone'] / max(count['alone'], 1):.1%}"
    )


def main() -> None:
    """Render, follow, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--clips", type=int, default=20)
    parser.add_argument("--frames", type=int, default=240)
    parser.add_argument("--fps", type=float, default=120.0)
    parser.add_argument("--first-seed", type=int, default=22_000_000)
    given = parser.parse_args()
    total: Counter[str] = Counter()
    every: list[float] = []
    done, seed = 0, given.first_seed
    while done < given.clips:
        made = one_clip(seed, given.frames, given.fps)
        if made is not None:
            print(line(str(seed), *made), flush=True)
            total, every, done = total + made[0], every + made[1], done + 1
        seed += 1
    print(line("all", total, every))


if __name__ == "__main__":
    main()
