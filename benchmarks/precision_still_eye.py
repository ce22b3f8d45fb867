"""How still does a still eye look? Scatter and bias of pupil and reflection centres under noise and blur.

    python benchmarks/precision_still_eye.py [--eyes 8] [--draws 40] [--grain 0.7] [--network 3]

A rendered eye stands still; noise is drawn anew for every frame, at ten levels of noise and blur. Compared:
(a) the centroid of the binary mask, (b) cv2.fitEllipse on the binary mask's outline, (c) ours, as `ocusam
eye` measures it on mask and picture. RMS-S2S is that of successive frames, which here are independent draws.
Bias is the distance of the mean from the truth. "stated" is the standard deviation that ours states, over the
true one.

The masks are the true coverage, reduced to the network's grid (64 x 64 over the picture), as logits
8 * (share - 0.5); a small reflection, which covers no cell, has its share taken relative to its largest.
Every frame adds noise to the logits that neighbouring cells share (Gaussian, one cell); its standard
deviation, 0.08 and 0.02 for each grey level of the picture's noise, makes centroids scatter about as those
of `nano` do. `--network N` uses the packaged `nano` itself, clicked on the true centre, on N frames an eye.
A lid covers up to half of the pupil of every other eye; those are told apart.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from ocusam.eye.signals import Measurement, measure
from ocusam.synthetic.eye import EyeFrame, iter_eye_frames, lab_style

SIZE = (360, 480)
GRID = 64
LEVELS = (
    (1, 0.5),
    (2, 0.5),
    (4, 0.5),
    (8, 0.5),
    (14, 0.5),
    (2, 1.2),
    (6, 1.2),
    (2, 2.2),
    (6, 2.2),
    (12, 2.2),
)
"""Standard deviation of the noise in grey levels, and of the blur in px."""
SEED = 21_000_000
Logits = NDArray[np.float32]
Masks = Callable[[NDArray[np.uint8], EyeFrame, str, float, np.random.Generator], Logits]


def still_eye(seed: int, blur_px: float, *, covered: bool) -> EyeFrame:
    """An eye without noise; size, gaze and pupil differ between seeds, a lid is low on covered ones."""
    rng = np.random.default_rng(seed)
    style = lab_style(1 + int(rng.integers(0, 3)))
    motion = replace(
        style.motion,
        pupil_ratio=float(rng.uniform(0.3, 0.65)),
        openness=float(rng.uniform(0.4, 0.55)) if covered else 1.0,
        openness_drift=0.0,
    )
    camera = replace(
        style.camera,
        noise=0.0,
        defocus=blur_px * 256.0 / SIZE[1],
        iris_share=float(rng.uniform(0.18, 0.4)),
    )
    return next(iter_eye_frames(seed, 1, SIZE, 60.0, replace(style, motion=motion, camera=camera)))


def noisy(
    picture: NDArray[np.uint8], level: float, grain: float, rng: np.random.Generator
) -> NDArray[np.uint8]:
    """The picture with fresh noise; `grain` px: neighbouring pixels share it."""
    noise = rng.standard_normal(picture.shape, dtype=np.float32)
    if grain > 0:
        noise = cv2.GaussianBlur(noise, (0, 0), grain)
        noise /= noise.std()
    return np.asarray(np.clip(np.round(picture + level * noise), 0, 255), np.uint8)


def drawn_mask(
    picture: NDArray[np.uint8], frame: EyeFrame, name: str, level: float, rng: np.random.Generator
) -> Logits:
    """Logits made from the truth."""
    share = cv2.resize(frame.coverage[name], (GRID, GRID), interpolation=cv2.INTER_AREA) / 255.0
    if name != "pupil":
        share = share / max(float(share.max()), 1e-6)
    noise = cv2.GaussianBlur(rng.standard_normal((GRID, GRID)), (0, 0), 1.0)
    spread = 0.08 + 0.02 * level
    return np.asarray(8.0 * (share - 0.5) + spread * noise / noise.std(), np.float32)


def network_mask() -> Masks:
    """Logits of the packaged network for a click on the true centre."""
    import ocusam

    predictor = ocusam.SAM2ImagePredictor(ocusam.build_sam2("nano"))

    def answer(
        picture: NDArray[np.uint8], frame: EyeFrame, name: str, level: float, rng: np.random.Generator
    ) -> Logits:
        truth = frame.ellipses[name]
        assert truth is not None
        predictor.set_image(np.repeat(picture[..., None], 3, axis=2))
        _, scores, low = predictor.predict(
            np.array([truth.center]), np.array([1]), multimask_output=True, return_logits=True
        )
        return np.asarray(low[int(np.argmax(scores))], np.float32)

    return answer


def centroid(mask: NDArray[np.uint8]) -> tuple[float, float]:
    """(a): mean place of the mask's pixels."""
    rows, cols = np.nonzero(mask)
    return (float(cols.mean()), float(rows.mean())) if len(rows) else (math.nan, math.nan)


def plain_fit(mask: NDArray[np.uint8]) -> tuple[float, float]:
    """(b): cv2.fitEllipse on the largest outline."""
    outlines, _ = cv2.findContours(mask, cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    outline = max(outlines, key=cv2.contourArea, default=None)
    if outline is None or len(outline) < 5:
        return math.nan, math.nan
    (x, y), _, _ = cv2.fitEllipse(outline)
    return float(x), float(y)


@dataclass(frozen=True)
class Row:
    """One eye, one object, one level."""

    level: int
    name: str
    covered: bool
    s2s: tuple[float, float, float]  # px, of (a), (b), (c)
    bias: tuple[float, float, float]  # px
    refined: float  # share of frames on the picture's edge
    stated: dict[str, float]  # stated standard deviation over the true one, by what


def scatter(values: NDArray[np.float64]) -> float:
    """Root of the mean variance of the columns."""
    return float(np.sqrt(np.nanvar(values, axis=0, ddof=1).mean()))


def stated_over_true(found: list[Measurement]) -> dict[str, float]:
    """The median stated standard deviation over the scatter of what it speaks of."""
    rows = [m for m in found if m.ellipse is not None and m.edge == "picture"]
    if len(rows) < 0.8 * len(found) or len(rows) < 8:
        return {}
    shapes = [m.ellipse for m in rows if m.ellipse is not None]
    true = {
        "center_sd_px": scatter(np.array([e.center for e in shapes])),
        "major_sd_px": scatter(np.array([[e.major] for e in shapes])),
        "minor_sd_px": scatter(np.array([[e.minor] for e in shapes])),
    }
    turn = np.exp(2j * np.deg2rad([e.angle for e in shapes]))
    mean = turn.mean() / max(abs(turn.mean()), 1e-12)
    true["angle_sd_deg"] = float(np.rad2deg(np.angle(turn / mean)).std(ddof=1)) / 2.0
    out = {}
    for what, value in true.items():
        said = [s for m in rows if (s := getattr(m, what, None)) is not None]
        if said and value > 0:
            out[what] = float(np.median(said)) / value
    return out


def examine(frame: EyeFrame, name: str, level: int, grain: float, draws: int, masks: Masks, seed: int) -> Row:
    """All draws of one eye at one level."""
    rng = np.random.default_rng([seed, level])
    truth = frame.ellipses[name]
    assert truth is not None
    places: list[list[tuple[float, float]]] = [[], [], []]
    found: list[Measurement] = []
    for _ in range(draws):
        picture = noisy(frame.image, LEVELS[level][0], grain, rng)
        logits = masks(picture, frame, name, LEVELS[level][0], rng)
        mask = (cv2.resize(logits, SIZE[::-1], interpolation=cv2.INTER_LINEAR) > 0).astype(np.uint8)
        m = measure(logits, SIZE, name, predicted_iou=0.9, object_score=5.0, picture=picture)
        found.append(m)
        places[0].append(centroid(mask))
        places[1].append(plain_fit(mask))
        places[2].append(m.ellipse.center if m.ellipse is not None else (math.nan, math.nan))
    xy = np.array(places)
    s2s = np.sqrt(np.nanmean((np.diff(xy, axis=1) ** 2).sum(axis=2), axis=1))
    bias = np.hypot(*(np.nanmean(xy, axis=1) - np.array(truth.center)).T)
    return Row(
        level,
        "pupil" if name == "pupil" else "reflection",
        frame.pupil_visible_fraction < 0.98,
        (float(s2s[0]), float(s2s[1]), float(s2s[2])),
        (float(bias[0]), float(bias[1]), float(bias[2])),
        float(np.mean([m.edge == "picture" for m in found])),
        stated_over_true(found),
    )


def report(rows: list[Row], title: str) -> None:
    """One line a level."""
    print(f"\n{title}: RMS-S2S px (a) (b) (c), less than (a); bias (c) median, largest; stated over true")
    for level, (noise, blur) in enumerate(LEVELS):
        part = [r for r in rows if r.level == level]
        if not part:
            continue
        a, b, c = np.nanmedian(np.array([r.s2s for r in part]), axis=0)
        less = np.nanmedian([1.0 - r.s2s[2] / r.s2s[0] for r in part])
        bias = [r.bias[2] for r in part]
        said = []
        for what in ("center_sd_px", "major_sd_px", "minor_sd_px", "angle_sd_deg"):
            values = [r.stated[what] for r in part if what in r.stated]
            if values:
                low, mid, high = np.percentile(values, [10, 50, 90])
                said.append(f"{what.split('_')[0]} {mid:.2f} ({low:.2f}-{high:.2f})")
        print(
            f"noise {noise:2d} blur {blur:.1f}: {a:.3f} {b:.3f} {c:.3f}  {less:4.0%}; bias "
            f"{np.nanmedian(bias):.3f}"
            f" {np.nanmax(bias):.3f}; refined {np.mean([r.refined for r in part]):.0%}; {', '.join(said)}"
        )
        sys.stdout.flush()


def main() -> None:
    """Render, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--eyes", type=int, default=8, help="eyes, half of them under a low lid (default 8)")
    parser.add_argument("--draws", type=int, default=40, help="frames of each eye and level (default 40)")
    parser.add_argument("--grain", type=float, default=0.0, help="px over which noise is shared (default 0)")
    parser.add_argument("--network", type=int, default=0, help="frames with masks by `nano` instead")
    parser.add_argument("--levels", default="0,1,2,3,4,5,6,7,8,9", help="which of the ten levels")
    parser.add_argument("--first-seed", type=int, default=SEED)
    parser.add_argument("--out", type=Path, help="a JSON file of all rows")
    given = parser.parse_args()
    masks, draws = (network_mask(), given.network) if given.network else (drawn_mask, given.draws)
    rows = []
    for i in range(given.eyes):
        for level in map(int, given.levels.split(",")):
            frame = still_eye(given.first_seed + i, LEVELS[level][1], covered=i % 2 == 1)
            for name, coverage in frame.coverage.items():
                if name in ("iris", "sclera") or coverage.max() < 250 or frame.ellipses[name] is None:
                    continue
                if name == "pupil" and frame.pupil_visible_fraction < 0.5:
                    continue
                rows.append(examine(frame, name, level, given.grain, draws, masks, given.first_seed + i))
    for covered, where in ((False, "open"), (True, "under a lid")):
        report([r for r in rows if r.name == "pupil" and r.covered == covered], f"pupil, {where}")
    report([r for r in rows if r.name == "reflection"], "reflection")
    if given.out:
        given.out.write_text(json.dumps([r.__dict__ for r in rows], indent=1) + "\n")


if __name__ == "__main__":
    main()
