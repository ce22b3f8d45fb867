"""Fit the weights by which `ocusam.eye.meant` tells which outline a click means.

    python benchmarks/fit_meant.py [--pictures 250] [--weights FILE] [--size 256] [--rows FILE.pkl]

Renders the first pictures of clips as `rendered_test_set.py` does, with seeds from 4,000,000,000 on that
nothing else uses, lets the network answer one click on the pupil and one on the iris, collects the outlines
that could be meant and their figures, and prints the weights of a logistic regression with a small ridge on
how well an outline overlaps the truth (.6: wrong, .9: right). The printed lines go into `eye/meant.py`. Every
second picture counts twice, the second time with answers as of a poorer network (a part, and too much), so
that the weights do not trust a good one blindly.

Printed too, by five-fold cross-validation: the mean overlap of what the network alone would give (its best
mask, refined on the picture's edge), of what is chosen, and of the best that could be, for ordinary and hard
pictures (`rendered_strata.py`); and how often the chosen one is worse or better by .1.
"""

from __future__ import annotations

import argparse
import pickle
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rendered_strata import look
from rendered_test_set import PICTURE, make_clip

from ocusam.core.geometry import Ellipse
from ocusam.eye import meant as m
from ocusam.model.config import get_config
from ocusam.tracking.video_predictor import SAM2VideoPredictor
from ocusam.workflows.find.clicks import answers as answers_of
from ocusam.workflows.session.models import open_predictor

FIRST_SEED = 4_000_000_000
FOLDS, RIDGE, WEIGHT = 5, 1.0, 6.0
Picture = dict[str, Any]


def collect(pictures: int, size: int, weights: Path | None) -> list[Picture]:
    """Everything about the clicks of some pictures, but for the iris's figures, which need the pupil."""
    predictor = open_predictor(get_config("nano", image_size=size), weights).predictor
    assert isinstance(predictor, SAM2VideoPredictor)
    out: list[Picture] = []
    for number in range(pictures):
        frame = make_clip(number, 1, size**2 / (PICTURE[0] * PICTURE[1]), FIRST_SEED)
        first, prompts = frame.frames[0], {p.name: p for p in frame.prompts}
        clicks = {name: tuple(p.points[0].tolist()) for name, p in prompts.items()}
        if "pupil" not in clicks:
            continue
        seen, sight = look(first), m.Sight(first.image)
        state = predictor.init_state([first.image])
        named_objects = [name for name in ("pupil", "iris") if name in clicks]
        answers = {name: answers_of(predictor.model, state, prompts[name]) for name in named_objects}
        outlines = m.pupil_outlines(sight, answers["pupil"])
        named = sight.named(answers["pupil"])
        out.append(
            {
                "number": number,
                "ordinary": seen is not None and seen.ordinary,
                "truth": {name: first.ellipses[name] for name in answers},
                "answers": answers,
                "clicks": clicks,
                "image": first.image,
                "pupil": _rows(
                    outlines,
                    [m.describe_pupil(sight, named, clicks["pupil"], o) for o in outlines],
                    first.ellipses["pupil"],
                ),
                "alone": {
                    name: _alone(sight, name, own, first.ellipses[name]) for name, own in answers.items()
                },
            }
        )
        if number % 2:
            out.append(_spoiled(out[-1], np.random.default_rng([FIRST_SEED, number])))
        if number % 20 == 0:
            sys.stderr.write(f"{number} of {pictures}\n")
    return out


def _spoiled(picture: Picture, rng: np.random.Generator) -> Picture:
    """The same picture with answers as of a poorer network: a part of what is meant, and too much."""
    answers: dict[str, list[m.Answer]] = {}
    every = [answer.logits for own in picture["answers"].values() for answer in own]
    for name, own in picture["answers"].items():
        best = max(own, key=lambda answer: answer.predicted_iou).logits
        height, width = best.shape
        x, y = picture["clicks"][name]
        x, y = x / PICTURE[1] * width, y / PICTURE[0] * height
        angle = rng.uniform(0, 2 * np.pi)
        rows, columns = np.mgrid[:height, :width]
        # The cut passes close by the click, which stays inside.
        beyond = (columns - x) * np.cos(angle) + (rows - y) * np.sin(angle) > rng.uniform(1, 4)
        part = np.where(beyond, np.minimum(best, -4.0), best).astype(np.float32)
        sure = float(rng.uniform(0.3, 0.95))
        answers[name] = [m.Answer(part, sure), m.Answer(np.max(every, axis=0), sure)]
    sight = m.Sight(picture["image"])
    outlines, named = m.pupil_outlines(sight, answers["pupil"]), sight.named(answers["pupil"])
    figures = [m.describe_pupil(sight, named, picture["clicks"]["pupil"], o) for o in outlines]
    return {
        **picture,
        "answers": answers,
        "pupil": _rows(outlines, figures, picture["truth"]["pupil"]),
        "alone": {},  # not among the figures that are printed
    }


def add_iris(pictures: list[Picture], pupils: list[Ellipse | None]) -> None:
    """The iris's figures, around the pupils that were chosen."""
    for picture, pupil in zip(pictures, pupils, strict=True):
        if "iris" not in picture["answers"]:
            picture["iris"] = []
            continue
        sight, answers = m.Sight(picture["image"]), picture["answers"]["iris"]
        outlines, named = m.iris_outlines(sight, answers, pupil), sight.named(answers)
        click = picture["clicks"]["iris"]
        picture["iris"] = _rows(
            outlines,
            [m.describe_iris(sight, named, click, pupil, o) for o in outlines],
            picture["truth"]["iris"],
        )


def _rows(outlines: list[m.Outline], figures: list[Any], truth: Ellipse) -> list[tuple[Any, float, Ellipse]]:
    return [
        (f, truth.iou(o.ellipse, resolution=100), o.ellipse)
        for o, f in zip(outlines, figures, strict=True)
        if f is not None
    ]


def _alone(sight: m.Sight, name: str, answers: list[m.Answer], truth: Ellipse) -> float:
    """Overlap of the network's best mask, refined."""
    best = [max(answers, key=lambda answer: answer.predicted_iou)]
    every = m.pupil_outlines(sight, best) if name == "pupil" else m.iris_outlines(sight, best, None)
    own = [o for o in every if o.source == "network"]
    return truth.iou(own[0].ellipse, resolution=100) if own else 0.0


def fit(rows: list[list[tuple[Any, float, Ellipse]]]) -> NDArray[np.float64]:
    """Logistic regression by Newton's method; every picture weighs the same. The constant comes last."""
    x = np.array([[*f, 1.0] for own in rows for f, _, _ in own], dtype=np.float64)
    y = np.clip((np.array([iou for own in rows for _, iou, _ in own]) - 0.6) / 0.3, 0.0, 1.0)
    each = np.array([WEIGHT / len(own) for own in rows for _ in own])
    w = np.zeros(x.shape[1])
    penalty = np.diag([RIDGE] * (x.shape[1] - 1) + [1e-3])
    for _ in range(40):
        p = 1.0 / (1.0 + np.exp(-(x @ w)))
        hessian = (x * (each * p * (1 - p))[:, None]).T @ x + penalty
        w = w - np.linalg.solve(hessian, x.T @ (each * (p - y)) + penalty @ w)
    return w


def chosen(
    own: list[tuple[Any, float, Ellipse]], w: NDArray[np.float64]
) -> tuple[float, float, Ellipse] | None:
    """Overlap, probability and outline of the likeliest."""
    if not own:
        return None
    odds = [float(f @ w[:-1] + w[-1]) for f, _, _ in own]
    k = int(np.argmax(odds))
    return own[k][1], 1.0 / (1.0 + np.exp(-odds[k])), own[k][2]


def cross_validated(pictures: list[Picture], name: str) -> list[tuple[float, float, Ellipse] | None]:
    """What weights fitted on the other folds choose."""
    out: list[tuple[float, float, Ellipse] | None] = [None] * len(pictures)
    for fold in range(FOLDS):
        w = fit([p[name] for p in pictures if p["number"] % FOLDS != fold and p[name]])
        for i, picture in enumerate(pictures):
            if picture["number"] % FOLDS == fold:
                out[i] = chosen(picture[name], w)
    return out


def report(pictures: list[Picture], found: list[tuple[float, float, Ellipse] | None], name: str) -> None:
    """Print what was won."""
    for kind in (True, False):
        mine = [
            (p["alone"][name], f, max((row[1] for row in p[name]), default=0.0))
            for p, f in zip(pictures, found, strict=True)
            if p["ordinary"] == kind and name in p["alone"]
        ]
        for least in (0.0, 0.3, 0.4, 0.5, 0.8):
            some = [(a, f[0], o) for a, f, o in mine if f is not None and f[1] >= least]
            if some:
                a, b, best = np.array(some).T
                print(
                    f"{name} {'ordinary' if kind else 'hard'} from {least} on: {len(a)} of {len(mine)}, "
                    f"network {a.mean():.3f}, chosen {b.mean():.3f}, best {best.mean():.3f}, "
                    f"worse {int((b < a - 0.1).sum())}, better {int((b > a + 0.1).sum())}"
                )


def main() -> None:
    """Collect, fit, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=250)
    parser.add_argument("--size", type=int, default=256, help="side of the network's input, px")
    parser.add_argument("--weights", type=Path, help="other weights than the packaged ones")
    parser.add_argument("--rows", type=Path, help="keep what was collected here, and read it again")
    given = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    if given.rows is not None and given.rows.is_file():
        pictures = pickle.loads(given.rows.read_bytes())
    else:
        pictures = collect(given.pictures, given.size, given.weights)
        if given.rows is not None:
            given.rows.write_bytes(pickle.dumps(pictures))
    found = cross_validated(pictures, "pupil")
    report(pictures, found, "pupil")
    add_iris(pictures, [None if f is None or f[1] < 0.3 else f[2] for f in found])
    report(pictures, cross_validated(pictures, "iris"), "iris")
    for name in ("pupil", "iris"):
        w = fit([p[name] for p in pictures if p[name]])
        names = m.PUPIL_WEIGHTS if name == "pupil" else m.IRIS_WEIGHTS
        print(f"{name.upper()}_WEIGHTS = {dict(zip(names, np.round(w, 3).tolist(), strict=True))}")


if __name__ == "__main__":
    main()
