"""Fit the weights by which `ocusam.eye.candidates.features` tells pupils from other round things.

    python benchmarks/fit_candidates.py [--pictures 260] [--rows FILE.npz]
    python benchmarks/fit_candidates.py --judge 400 [--write] [--rows FILE.npz]

Renders one picture each of eyes with seeds 2,000,000 and up (the benchmark of the finder uses 1,000,000 and
up), takes the figures of all ellipses that are proposed on it, calls those right that overlap the true pupil
by .55 and those wrong that overlap it by less than .3, and prints the weights of a logistic regression with a
small ridge. The printed lines go into `candidates/features.py`.

With --judge the second step, to be done again with every new weights of `nano`: single pictures with seeds
2,500,000 and up are searched as `ocusam eye` does, and the probability by the picture, the network's map of
the eye and its mask of a click are weighed. The printed lines go into `workflows/find/weighing.py`; --write
puts them there. With --rows the figures are kept in a file and read again.
"""

from __future__ import annotations

import argparse
import math
import re
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ocusam.core.geometry import Ellipse
from ocusam.core.masklet import View
from ocusam.eye.candidates import WORK_SIDE, ellipses_of, prepare
from ocusam.eye.candidates.features import NAMES, describe
from ocusam.synthetic.draw import draw_style
from ocusam.synthetic.eye import iter_eye_frames, render_eye_clip
from ocusam.workflows.find import weighing
from ocusam.workflows.find.judge import judge_of
from ocusam.workflows.find.part_map import NAMES as MAP
from ocusam.workflows.find.search import Search
from ocusam.workflows.find.weighing import log_odds
from ocusam.workflows.session.models import open_predictor

FIRST_SEED = 2_000_000
FIRST_JUDGED_SEED = 2_500_000
FRAME = 2
RIDGE, RIDGE_JUDGED = 2.0, 0.5

Rows = dict[str, NDArray[np.float64]]


def collect(pictures: int) -> Rows:
    """Figures, overlaps and the number of the picture of all proposed ellipses."""
    figures, overlaps, of = [], [], []
    for i in range(pictures):
        seed = FIRST_SEED + i
        style = draw_style(np.random.default_rng(seed))
        style = replace(style, camera=replace(style.camera, views=1))
        clip = render_eye_clip(seed, num_frames=FRAME + 1, size=(WORK_SIDE, WORK_SIDE), fps=12.0, style=style)
        truth, seen = clip.ellipses["pupil"][FRAME], float(clip.pupil_visible_fraction[FRAME])
        if truth is not None and 0.05 < seen < 0.5:
            continue  # neither a pupil to find nor none
        for negative in (False, True):
            view = prepare(clip.frames[FRAME], negative=negative)
            if view is None:
                continue
            rows = ellipses_of(view)
            if not len(rows):
                continue
            figures.append(describe(view, rows).figures)
            whole = truth if truth is not None and seen >= 0.5 else None
            overlaps += [_overlap(row, whole) for row in rows]
            of += [i] * len(rows)
        if i % 20 == 0:
            sys.stderr.write(f"{i} of {pictures}\n")
    return {"figures": np.concatenate(figures), "overlap": np.array(overlaps), "picture": np.array(of)}


def _overlap(row: NDArray[np.float64], truth: Ellipse | None) -> float:
    if truth is None:
        return 0.0
    x, y, major, minor, angle = row.tolist()
    return Ellipse((x, y), (major, minor), math.degrees(angle)).iou(truth, resolution=60)


def fit(rows: Rows, wrong_share: float = 5.0, ridge: float = RIDGE) -> tuple[NDArray[np.float64], float]:
    """Logistic regression by Newton's method; every picture weighs the same on either side.

    A picture's wrong ellipses count as `wrong_share`: about five are seriously in the race on a picture; of
    the places that the network is asked about the best one is as likely right as wrong."""
    right, wrong = rows["overlap"] >= 0.55, rows["overlap"] < 0.3
    use = right | wrong
    x, y, of = rows["figures"][use], right[use].astype(np.float64), rows["picture"][use].astype(int)
    each = np.zeros(len(y))
    for side in (0.0, 1.0):
        mine = y == side
        count = np.bincount(of[mine], minlength=of.max() + 1)
        each[mine] = (wrong_share if side == 0.0 else 1.0) / count[of[mine]]
    x1 = np.concatenate([x, np.ones((len(x), 1))], axis=1)
    w = np.zeros(x1.shape[1])
    penalty = np.diag([ridge] * x.shape[1] + [1e-3])
    for _ in range(30):
        p = 1.0 / (1.0 + np.exp(-(x1 @ w)))
        gradient = x1.T @ (each * (p - y)) + penalty @ w
        hessian = (x1 * (each * p * (1 - p))[:, None]).T @ x1 + penalty
        w = w - np.linalg.solve(hessian, gradient)
    return w[:-1], float(w[-1])


def report(rows: Rows, weights: NDArray[np.float64], constant: float) -> None:
    """How often the likeliest ellipse of a picture is right."""
    chance = 1.0 / (1.0 + np.exp(-(rows["figures"] @ weights + constant)))
    could = hit = shown = 0
    for i in np.unique(rows["picture"]):
        mine = rows["picture"] == i
        best = int(np.argmax(np.where(mine, chance, -1)))
        shown += 1
        could += bool((rows["overlap"][mine] >= 0.55).any())
        hit += bool(rows["overlap"][best] >= 0.55)
    sys.stdout.write(
        f"# {shown} pictures, {could} with a right ellipse proposed, {hit} with it ranked first\n"
    )


def collect_judged(pictures: int, path: Path | None) -> Rows:
    """What is known of all places that a search keeps on single pictures: log odds by the picture, the map's
    figures (0 without a map), the overlap with the mask of a click (NaN where the network was not asked)."""
    judge = judge_of(open_predictor("nano").predictor)
    values: list[tuple[float, ...]] = []
    overlaps: list[float] = []
    of: list[int] = []
    for i in range(pictures):
        seed = FIRST_JUDGED_SEED + i
        style = draw_style(np.random.default_rng(seed))
        style = replace(style, camera=replace(style.camera, views=1))
        *_, frame = iter_eye_frames(seed, FRAME + 1, (WORK_SIDE, WORK_SIDE), 12.0, style)
        truth, visible = frame.ellipses["pupil"], frame.pupil_visible_fraction
        if 0.05 < visible < 0.4:
            continue
        search = Search(View(0, (0, 0, WORK_SIDE, WORK_SIDE)), judge, ())
        search.add(0, frame.image)
        search.close_round()
        asked = {id(p.candidate): p.agreement for p in search.judged}
        for place in search.seen[0].places:
            seen = place.seen if place.seen is not None else (0.0,) * len(MAP)
            agreement = asked.get(id(place.candidate), math.nan)
            values.append((log_odds(place.candidate.probability), *seen, agreement))
            shown = truth is not None and visible >= 0.4
            overlaps.append(place.candidate.ellipse.iou(truth, resolution=60) if shown and truth else 0.0)
            of.append(i)
        if i % 10 == 9 and values:
            sys.stderr.write(f"{i + 1} of {pictures}\n")
            if path is not None:
                np.savez_compressed(path, **_rows(values, overlaps, of))
    return _rows(values, overlaps, of)


def _rows(values: list[tuple[float, ...]], overlaps: list[float], of: list[int]) -> Rows:
    return {"figures": np.array(values), "overlap": np.array(overlaps), "picture": np.array(of)}


def asked_only(rows: Rows) -> Rows:
    """The places that the network was asked about."""
    use = np.isfinite(rows["figures"][:, -1])
    return {name: values[use] for name, values in rows.items()}


def by_limit(rows: Rows, folds: int = 5) -> str:
    """Right and wrong choices of the best place of each picture by limit; weights of other pictures."""
    score, fold = np.zeros(len(rows["overlap"])), rows["picture"].astype(int) % folds
    for k in range(folds):
        weights, constant = fit({n: v[fold != k] for n, v in rows.items()}, 1.0, RIDGE_JUDGED)
        score[fold == k] = 1.0 / (1.0 + np.exp(-(rows["figures"][fold == k] @ weights + constant)))
    pictures = [np.flatnonzero(rows["picture"] == i) for i in np.unique(rows["picture"])]
    best = np.array([mine[np.argmax(score[mine])] for mine in pictures])
    could = sum(bool((rows["overlap"][mine] >= 0.3).any()) for mine in pictures)
    lines = [f"# {len(pictures)} pictures, {could} with a place that overlaps the pupil by 0.3"]
    for limit in (0.4, 0.5, 0.6, 0.7, 0.8, 0.9):
        chosen = best[score[best] >= limit]
        right = int((rows["overlap"][chosen] >= 0.3).sum())
        lines.append(f"# limit {limit}: {right} right, {len(chosen) - right} wrong")
    return "\n".join(lines) + "\n"


def report_judged(rows: Rows, *, write: bool) -> None:
    """Print the weights of `workflows/find/weighing.py`, and with `write` put them there."""
    told = {}
    asked = asked_only(rows)
    for name, mine, columns in (("_MAP_AND_CLICK", asked, 6), ("_MAP", rows, 5)):
        used = {**mine, "figures": mine["figures"][:, :columns]}
        weights, constant = fit(used, 1.0, RIDGE_JUDGED)
        values = [round(float(v), 2) for v in (*weights, *[0.0] * (6 - columns), constant)]
        told[name] = f"{name} = ({', '.join(str(v) for v in values)})"
        sys.stdout.write(f"{by_limit(used)}{told[name]}\n")
    if write:
        path = Path(weighing.__file__)
        text = path.read_text(encoding="utf-8")
        for name, line in told.items():
            text = re.sub(rf"^{name} = .*$", line, text, flags=re.MULTILINE)
        path.write_text(text, encoding="utf-8")


def main() -> None:
    """Collect, fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=400)
    parser.add_argument("--judge", type=int, help="weigh picture, map and click on so many pictures")
    parser.add_argument("--write", action="store_true", help="with --judge: put the weights into the source")
    parser.add_argument("--rows", type=Path, help="file to keep the figures in")
    options = parser.parse_args()
    if options.rows is not None and options.rows.is_file():
        rows = dict(np.load(options.rows))
    else:
        rows = collect_judged(options.judge, options.rows) if options.judge else collect(options.pictures)
        if options.rows is not None:
            np.savez_compressed(options.rows, **rows)
    if options.judge:
        report_judged(rows, write=options.write)
        return
    weights, constant = fit(rows)
    report(rows, weights, constant)
    for name, weight in zip(NAMES, weights, strict=True):
        sys.stdout.write(f"{name}: {weight:.2f}\n")
    sys.stdout.write(f"constant: {constant:.2f}\n")


if __name__ == "__main__":
    main()
