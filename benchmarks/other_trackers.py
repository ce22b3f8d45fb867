"""The pupil found by other programs and by ocusam, on the same pictures, with the same scores.

    ocusam evaluate ../shared/data/annotations.json -o real.json
    python benchmarks/rendered_test_set.py rendered --clips 1000 --part 1/2
    python benchmarks/other_trackers.py OUT --real real.json --rendered rendered --python env/bin/python

Ours is not run here: its figures come from the files of the first two commands. The other programs run in a
Python of their own (`--python`; other_detectors.py says what to install there). A detector that does not run
is left out of the table, with its error. What they found stays in OUT, so that a second call only scores.

Pictures: every annotated frame of the recordings, each eye cut out (views as `ocusam eye` divides them) at
its own resolution, and of every n-th clip of `rendered` (`--every`) all frames but the clicked one.

The task is not the same for all. **The others see one picture at a time and are told nothing**; ours had one
click on the pupil (and, where there is one to click, on the iris) and the whole video. They run with their
default settings. `detector2d-sized` was told the range of the true diameters of its eye, a quarter wider at
either end. `detector2d-tuned` was set up as a user would do it who knows the truth: that, a rectangle around
all places of the pupil in its clip, wider by its diameter, and of six intensity ranges the one that comes out
best on that eye of that clip. Every ellipse of theirs counts in the IoU, whatever its confidence.

Scores: IoU of filled whole ellipses, 0 where nothing was found; distance of the centres over the true major
axis, endless where nothing was found (median); how often a pupil is reported where none is to be seen, and
how often where one is (theirs: a confidence of .6 or more, which Pupil Labs recommend; ours: `tracked` in
recordings, a presence above 0 in rendered clips). `--sheet FILE` draws a sample of the pictures.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rendered_test_set import PICTURE, make_clip, read_lines

from ocusam.core.errors import OcusamError
from ocusam.core.geometry import Ellipse
from ocusam.eye.signals import TRACKED
from ocusam.report.overlay import Drawn, contact_sheet, draw
from ocusam.video.reader import open_video
from ocusam.workflows.inputs.views import plan_views
from ocusam.workflows.scoring.annotations import read_annotations

OURS = "ocusam"
TUNED = "detector2d-tuned"
DETECTORS = ("detector2d", "detector2d-sized", TUNED, "deepvog")
COLORS = ((255, 80, 80), (255, 160, 255), (255, 200, 60), (80, 200, 255))
INTENSITY_RANGES = (5, 11, 17, 23, 35, 50)
"""Grey levels, tried by `detector2d-tuned`; 23 is the default."""
SURE = 0.6
"""Confidence from which on a detector is taken to report a pupil."""
WIDER = 1.25
"""Of the true diameters that `detector2d-sized` is told, at either end."""
Picture = NDArray[np.uint8]
Findings = dict[str, tuple[Ellipse | None, float]]
"""Picture -> ellipse and confidence."""


@dataclass(frozen=True)
class Answer:
    """What a program said of one picture, scored.

    Attributes:
        reported: whether it says that there is a pupil.
        iou: of the whole ellipses, 0 where it has none; None where there is no pupil.
        off: distance of the centres over the true major axis; infinite where it has none.
    """

    reported: bool
    iou: float | None = None
    off: float = math.inf


@dataclass(frozen=True)
class Shown:
    """One picture: the truth, and what ocusam said.

    Attributes:
        name: of its file, without the ending.
        groups: rows of the table that it belongs to.
        truth: the pupil's whole outline, px of the picture; None: none to be seen.
        ours: ocusam's answer.
        told: "diameters" and "box", for those detectors that are told something (other_detectors.py).
    """

    name: str
    groups: tuple[str, ...]
    truth: Ellipse | None
    ours: Answer
    told: dict[str, list[float]]

    @property
    def eye(self) -> str:
        """The clip and eye that it is a frame of."""
        return self.name.rpartition("-")[0]


# ---- pictures


def told(truths: Iterable[Ellipse | None], size: tuple[int, int]) -> dict[str, list[float]]:
    """What is told of an eye, from all its true pupils in a picture of `size` (h, w)."""
    known = [truth for truth in truths if truth is not None]
    sizes = [truth.major for truth in known]
    bounds = np.array([truth.bounds for truth in known])
    low = np.maximum(bounds[:, :2].min(axis=0) - max(sizes), 0)
    high = np.minimum(bounds[:, 2:].max(axis=0) + max(sizes), (size[1] - 1, size[0] - 1))
    return {
        "diameters": [min(sizes) / WIDER, max(sizes) * WIDER],
        "box": [int(v) for v in (*np.floor(low), *np.ceil(high))],
    }


def recorded(annotations: Path, results: Path) -> Iterator[tuple[Shown, Picture]]:
    """Annotated frames of the recordings, each eye by itself; truths of low confidence are left out."""
    found = json.loads(results.read_text())["clips"]
    for clip in read_annotations(annotations):
        rows = {(r["frame_idx"], r["eye"]): r for r in found[clip.name]["frames"] if r["object"] == "pupil"}
        with open_video(clip.path) as source:
            eyes = clip.eyes(plan_views(source.size))
            for eye, view in eyes.items():
                x0, y0, x1, y1 = view.region
                own = [a for a in clip.annotations if a.eye == eye]
                pupils = (a.pupil.translated(-x0, -y0) for a in own if a.pupil is not None)
                hints = told(pupils, (y1 - y0, x1 - x0))
                for a in own:
                    if a.pupil is None and a.state != "closed":
                        continue
                    if a.pupil is not None and a.confidence == "low":
                        continue
                    row = rows[a.frame_idx, eye]
                    off = math.inf if row["error_rel"] is None else row["error_rel"]
                    ours = Answer(row["state"] == TRACKED, row["iou"], off)
                    truth = None if a.pupil is None else a.pupil.translated(-x0, -y0)
                    image = source.read(a.frame_idx).image[y0:y1, x0:x1]
                    name = f"{clip.name}-{eye}-{a.frame_idx:05d}"
                    yield (
                        Shown(name, (clip.name,), truth, ours, hints),
                        cv2.cvtColor(image, cv2.COLOR_RGB2GRAY),
                    )


def rendered(folder: Path, numbers: range) -> Iterator[tuple[Shown, Picture]]:
    """Frames of those of the rendered clips that a results folder of rendered_test_set.py holds."""
    if not (paths := sorted(folder.glob("rows*.jsonl"))):
        raise OcusamError(f"{folder} holds no rows*.jsonl of rendered_test_set.py.")
    head = json.loads(paths[0].read_text().splitlines()[0])
    cell = head["size"] ** 2 / (PICTURE[0] * PICTURE[1])
    for line in read_lines(folder, head):
        if line["clip"] not in numbers:
            continue
        clip = make_clip(line["clip"], head["frames"], cell, head["first_seed"])
        if clip.seed != line["seed"]:
            raise OcusamError(f"Clip {line['clip']} of {folder} was drawn by another renderer.")
        kind = line["strata"]
        groups = [f"rendered, {kind['conditions']}"]
        if kind["conditions"] == "ordinary" and (kind["kind"], kind["pupil"]) == ("human", "dark"):
            groups.append("of these: human, pupil dark")
        hints = told((frame.ellipses["pupil"] for frame in clip.frames), PICTURE)
        for row in line["rows"]:
            if row["object"] != "pupil":
                continue
            frame = clip.frames[row["frame"]]
            truth = frame.ellipses["pupil"] if row["present"] else None
            answer = rendered_answer(row, truth)
            name = f"clip{line['clip']:04d}-{row['frame']}"
            yield Shown(name, tuple(groups), truth, answer, hints), frame.image


def rendered_answer(row: dict[str, Any], truth: Ellipse | None) -> Answer:
    """Ours on a frame of a rendered clip, from its row.

    Raises:
        OcusamError: the row's pupil has another size than the truth.
    """
    if truth is None:
        return Answer(row["score"] > 0)
    if abs(row["major_px"] - truth.major) > 0.02:
        raise OcusamError(f"The row of frame {row['frame']} is of another picture; measure the clips anew.")
    iou, off = row["ellipse_iou_picture"], row["off_px_picture"]
    return Answer(row["score"] > 0, iou or 0.0, math.inf if off is None else off / truth.major)


def write_pictures(folder: Path, items: Iterable[tuple[Shown, Picture]]) -> list[Shown]:
    """Pictures and their list, for the detectors."""
    folder.mkdir(parents=True, exist_ok=True)
    out = []
    for shown, picture in items:
        out.append(shown)
        if not (path := folder / f"{shown.name}.png").is_file():
            cv2.imwrite(str(path), picture)
    entries = [{"name": shown.name, **shown.told} for shown in out]
    (folder / "pictures.json").write_text(json.dumps(entries))
    return out


# ---- scores


def scored(truth: Ellipse | None, found: Ellipse | None, confidence: float) -> Answer:
    """What a detector said of one picture."""
    reported = found is not None and confidence >= SURE
    if truth is None:
        return Answer(reported)
    if found is None:
        return Answer(False, 0.0)
    return Answer(reported, truth.iou(found), math.dist(truth.center, found.center) / truth.major)


def read_found(path: Path) -> tuple[dict[str, str], Findings]:
    """(versions, picture -> ellipse and confidence) of one detector."""
    head, *lines = (json.loads(text) for text in path.read_text().splitlines())
    found: Findings = {}
    for line in lines:
        whole = line["center"] is not None and min(line["axes"]) > 0
        ellipse = Ellipse(tuple(line["center"]), tuple(line["axes"]), line["angle"]) if whole else None
        found[line["name"]] = (ellipse, line["confidence"])
    return head["versions"], found


def best_of(shown: Sequence[Shown], variants: Sequence[Findings]) -> Findings:
    """Of every eye the findings of that variant whose mean IoU there is best."""
    out: Findings = {}
    for eye in dict.fromkeys(item.eye for item in shown):
        own = [item for item in shown if item.eye == eye]
        # Without confidence, so that a pupil which is not there costs nothing here.
        best = max(variants, key=lambda v: sum(scored(s.truth, *v[s.name]).iou or 0.0 for s in own))
        out |= {item.name: best[item.name] for item in own}
    return out


def shape_cell(answers: Sequence[Answer]) -> str:
    """Mean (median) IoU and median centre error of the pictures with a pupil."""
    seen = [a for a in answers if a.iou is not None]
    ious = [a.iou for a in seen if a.iou is not None]
    off = float(np.median([a.off for a in seen]))
    return f"{_figure(float(np.mean(ious)))} ({_figure(float(np.median(ious)))}), {_figure(off)}"


def report_cell(answers: Sequence[Answer]) -> str:
    """Share of pictures with a pupil where one is reported, median IoU there, and how often without one."""
    seen = [a for a in answers if a.iou is not None]
    sure = [a.iou for a in seen if a.reported and a.iou is not None]
    unseen = [a.reported for a in answers if a.iou is None]
    middle = _figure(float(np.median(sure))) if sure else "-"
    return f"{len(sure) / len(seen):.0%}, {middle}; {f'{sum(unseen)} of {len(unseen)}' if unseen else '-'}"


def _figure(value: float) -> str:
    return f"{value:.3f}".removeprefix("0") if math.isfinite(value) else "-"


def tables(shown: Sequence[Shown], answers: dict[str, dict[str, Answer]]) -> str:
    """The results in Markdown: one table for places and shapes, one for what is reported."""
    out = []
    for title, cell in (
        ("IoU mean (median), centre error", shape_cell),
        ("reported, median IoU; where there is none", report_cell),
    ):
        out.append(f"| {title} | with a pupil | {' | '.join(answers)} |")
        out.append("|---" * (len(answers) + 2) + "|")
        for group in dict.fromkeys(group for item in shown for group in item.groups):
            own = [item for item in shown if group in item.groups]
            seen = sum(item.truth is not None for item in own)
            words = [cell([found[item.name] for item in own]) for found in answers.values()]
            out.append(f"| {group} | {seen} | {' | '.join(words)} |")
        out.append("")
    return "\n".join(out)


def sheet(
    folder: Path,
    shown: Sequence[Shown],
    found: dict[str, dict[str, tuple[Ellipse | None, float]]],
    tiles: int,
) -> Picture:
    """A sample of the pictures, truth green, the detectors' ellipses in their colours, RGB."""
    drawn = []
    groups = dict.fromkeys(item.groups[0] for item in shown)
    for group in groups:
        own = [item for item in shown if item.groups[0] == group]
        for k in np.unique(np.linspace(0, len(own) - 1, -(-tiles // len(groups))).round().astype(int)):
            item = own[k]
            marks = [Drawn("truth", ellipse=item.truth, color=(0, 255, 0))]
            for (program, by_name), color in zip(found.items(), COLORS, strict=False):
                ellipse, confidence = by_name[item.name]
                marks.append(Drawn(f"{program} {confidence:.2f}", ellipse=ellipse, color=color))
            image = cv2.imread(str(folder / f"{item.name}.png"), cv2.IMREAD_GRAYSCALE)
            drawn.append(draw(image, marks, title=item.name, min_width=640))
    return contact_sheet(drawn, columns=6, tile_width=400)


# ---- running


def run_detector(name: str, python: Path, folder: Path) -> tuple[dict[str, str], Findings] | None:
    """Let a detector look at all pictures. -> its versions and findings; None, with a word why, where it does
    not run."""
    script = Path(__file__).with_name("other_detectors.py")
    done = subprocess.run(
        [str(python), str(script), name, str(folder)], stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or ["no word"]
        sys.stderr.write(f"{name} is left out: {last[0]} (what to install: {script.name})\n")
        return None
    return read_found(folder / f"{name}.jsonl")


def run_all(given: argparse.Namespace, folder: Path, shown: Sequence[Shown]) -> dict[str, Findings]:
    """What all wanted detectors found; prints their versions."""
    out: dict[str, Findings] = {}
    for name in given.detectors.split(","):
        parts = [f"detector2d-{levels}" for levels in INTENSITY_RANGES] if name == TUNED else [name]
        results = [run_detector(part, given.python, folder) for part in parts]
        known = [result for result in results if result is not None]
        if known:
            print(f"{name}: {', '.join(f'{k} {v}' for k, v in known[0][0].items())}")
            out[name] = best_of(shown, [found for _, found in known]) if name == TUNED else known[0][1]
    return out


def parse() -> argparse.Namespace:
    """The options."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("out", type=Path, help="folder for pictures and findings; made where it is not there")
    parser.add_argument("--real", type=Path, help="what `ocusam evaluate ANNOTATIONS -o FILE` wrote")
    parser.add_argument("--annotations", type=Path, default=Path("../shared/data/annotations.json"))
    parser.add_argument("--rendered", type=Path, help="results folder of rendered_test_set.py")
    parser.add_argument("--clips", type=int, default=1000, help="only clips with a number below this")
    parser.add_argument("--every", type=int, default=8, help="only clips whose number it divides")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the other programs")
    parser.add_argument("--detectors", default=",".join(DETECTORS), help="names, divided by commas")
    parser.add_argument("--sheet", type=Path, help="PNG of a sample of the pictures")
    parser.add_argument("--tiles", type=int, default=36)
    given = parser.parse_args()
    if given.real is None and given.rendered is None:
        parser.error("give --real, --rendered, or both")
    if unknown := set(given.detectors.split(",")) - set(DETECTORS):
        parser.error(f"unknown detectors {', '.join(sorted(unknown))}; known: {', '.join(DETECTORS)}")
    return given


def main() -> None:
    """Write the pictures, let the detectors look at them, print the table."""
    given = parse()
    cv2.setNumThreads(1)
    folder = given.out / "pictures"
    items: list[tuple[Shown, Picture]] = []
    if given.real is not None:
        items += recorded(given.annotations, given.real)
    if given.rendered is not None:
        items += rendered(given.rendered, range(0, given.clips, given.every))
    shown = write_pictures(folder, items)
    findings = run_all(given, folder, shown)
    answers = {OURS: {item.name: item.ours for item in shown}}
    for program, found in findings.items():
        answers[program] = {item.name: scored(item.truth, *found[item.name]) for item in shown}
    print(tables(shown, answers))
    if given.sheet is not None:
        cv2.imwrite(str(given.sheet), sheet(folder, shown, findings, given.tiles)[..., ::-1])


if __name__ == "__main__":
    main()
